//! Discord: texts as embeds, posted to a webhook whose address is itself the secret.

use std::{fmt, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::{Method, StatusCode, Url, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    config::Secret,
    outbound::{AddressPolicy, CallLimits, Outbound, OutboundError, OutboundResponse},
    outbox::sink::DeliveryError,
};

/// How long a call may take, and how much of an answer is read.
const CONNECT: Duration = Duration::from_secs(5);
const TOTAL: Duration = Duration::from_secs(15);
const LARGEST: usize = 64 * 1024;

/// The longest that a limit on the rate is believed: past it somebody should hear of the rest.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Discord's limits on embeds, in characters.
const EMBEDS: usize = 10;
const FIELDS: usize = 25;
const TITLE: usize = 256;
const DESCRIPTION: usize = 4096;
const FIELD_NAME: usize = 256;
const FIELD_VALUE: usize = 1024;
const FOOTER: usize = 2048;
/// Of all texts of all embeds of one call.
const ALL: usize = 6000;

/// Something to be shown, as a card. Texts that are too long are cut.
#[derive(Debug, Clone, Default)]
pub struct Embed {
    /// Its headline; no markdown.
    pub title: String,
    /// Its text; markdown, so whatever came from elsewhere goes through [`plain`] or [`code`].
    pub description: String,
    /// Where the headline leads.
    pub url: Option<String>,
    /// The colour of its edge, as 0xRRGGBB.
    pub color: u32,
    /// When it happened.
    pub at: Option<DateTime<Utc>>,
    /// Names with values in markdown.
    pub fields: Vec<(&'static str, String)>,
    /// What stands small at its end; no markdown.
    pub footer: String,
}

/// A webhook of Discord's. Cheap to clone.
#[derive(Clone)]
pub struct Discord {
    http: Outbound,
    url: Url,
}

impl fmt::Debug for Discord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Discord(***)")
    }
}

/// What is answered to too many calls.
#[derive(Deserialize)]
struct RateLimited {
    retry_after: f64,
}

impl Discord {
    /// The webhook at `address`, called where `reach` allows.
    ///
    /// # Errors
    /// TLS cannot be set up on this machine, or the address is no URL.
    pub fn new(address: &Secret, reach: AddressPolicy) -> Result<Self, OutboundError> {
        let mut url = Url::parse(address.expose())
            .map_err(|_| OutboundError::Unreachable("the address is no URL".to_owned()))?;
        // Without it a message that was not kept is no error.
        url.query_pairs_mut().append_pair("wait", "true");
        let bounds = CallLimits {
            connect_timeout: CONNECT,
            total_timeout: TOTAL,
            max_body_bytes: LARGEST,
            address_policy: reach,
        };
        Ok(Self { http: Outbound::new(bounds)?, url })
    }

    /// Posts `embeds` as one message: the first ten, within 6,000 characters. Nobody is mentioned by it.
    ///
    /// # Errors
    /// It did not arrive, or nobody knows whether it did.
    pub async fn send(&self, embeds: &[Embed]) -> Result<(), DeliveryError> {
        let body = json!({"embeds": fitted(embeds), "allowed_mentions": {"parse": []}});
        let agent = concat!("DiscordBot (brune, ", env!("CARGO_PKG_VERSION"), ")");
        let request = self.http.request(Method::POST, self.url.clone());
        let request = request.header(header::USER_AGENT, agent).json(&body);
        outcome(&self.http.send(request).await?)
    }
}

fn outcome(answer: &OutboundResponse) -> Result<(), DeliveryError> {
    let status = answer.status;
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => {
            let why = format!("answered {}", status.as_u16());
            Err(DeliveryError::Later { why, after: Some(patience(answer)) })
        }
        // It counts calls of what is gone, and locks out who makes many.
        StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED => {
            Err(DeliveryError::Gone(format!("answered {}: the webhook is gone", status.as_u16())))
        }
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Err(DeliveryError::Refused(
            format!("answered {}: not a message it takes", status.as_u16()),
        )),
        _ => Err(DeliveryError::later(format!("answered {}", status.as_u16()))),
    }
}

/// How long to wait after a 429: fractions of seconds in the body, else whole ones in the header, else one.
fn patience(answer: &OutboundResponse) -> Duration {
    let told = serde_json::from_slice::<RateLimited>(&answer.body).map(|it| it.retry_after).ok();
    let header = || answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse::<f64>().ok();
    let seconds = told.or_else(header).unwrap_or(1.0);
    Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
}

/// `text` without meaning as markdown, and without mentions.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | '\'' | '"' | '%' | '&' | '/') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    // A link would be made of it whatever stands before its slashes.
    escaped.replace("//", "/\u{200b}/")
}

/// `text` as code, where nothing has a meaning; cut after `most` characters.
#[must_use]
pub fn code(text: &str, most: usize) -> String {
    // Nothing but the mark itself ends it, and an empty one is none.
    let text = text.replace('`', "\u{2cb}");
    let text = if text.trim().is_empty() { format!("\u{200b}{text}") } else { text };
    format!("`{}`", cut(&text, most))
}

/// `text`, or as much of it as `most` characters hold, with an ellipsis; as Discord counts them, which is in
/// units of UTF-16.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if length(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let fits = |c: &char| {
        let fits = c.len_utf16() <= left;
        left = left.saturating_sub(c.len_utf16());
        fits
    };
    let kept: String = text.chars().take_while(fits).collect();
    if most == 0 { kept } else { kept + "…" }
}

fn length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// As many of `embeds` as one call may hold, cut to its limits.
fn fitted(embeds: &[Embed]) -> Vec<Value> {
    let mut room = Room(ALL);
    embeds.iter().take(EMBEDS).map_while(|it| it.fitted(&mut room)).collect()
}

/// The characters that are left of those that all embeds share.
struct Room(usize);

impl Room {
    /// `text` as far as `most` and what is left allow; `None` when nothing is left of it.
    fn take(&mut self, text: &str, most: usize) -> Option<Value> {
        let text = cut(text.trim(), most.min(self.0));
        self.0 -= length(&text);
        (!text.is_empty()).then_some(Value::String(text))
    }
}

impl Embed {
    /// What is short goes first, so that a long text takes no room from it.
    fn fitted(&self, room: &mut Room) -> Option<Value> {
        let mut embed = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                embed.insert(name.to_owned(), value);
            }
        };
        put("title", room.take(&self.title, TITLE));
        put("footer", room.take(&self.footer, FOOTER).map(|text| json!({"text": text})));
        let field = |(name, value): &(&'static str, String)| {
            // One without a value is refused, and with it all the rest.
            let value = if value.trim().is_empty() { "-" } else { value };
            let (name, value) = (room.take(name, FIELD_NAME)?, room.take(value, FIELD_VALUE)?);
            Some(json!({"name": name, "value": value, "inline": true}))
        };
        let fields: Vec<Value> = self.fields.iter().take(FIELDS).map_while(field).collect();
        put("fields", (!fields.is_empty()).then_some(Value::Array(fields)));
        put("description", room.take(&self.description, DESCRIPTION));
        let told = embed.len();
        let mut put = |name: &str, value: Value| drop(embed.insert(name.to_owned(), value));
        put("color", self.color.into());
        if let Some(url) = &self.url {
            put("url", url.as_str().into());
        }
        if let Some(at) = self.at {
            put("timestamp", at.to_rfc3339_opts(SecondsFormat::Millis, true).into());
        }
        (told != 0).then_some(Value::Object(embed))
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> OutboundResponse {
        let status = StatusCode::from_u16(status).unwrap();
        OutboundResponse { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    /// The characters of every text in `embeds`.
    fn told(embeds: &Value) -> usize {
        let text = |pointer: &str, it: &Value| {
            it.pointer(pointer).and_then(Value::as_str).map_or(0, length)
        };
        let fields = |it: &Value| -> usize {
            let fields = it["fields"].as_array().cloned().unwrap_or_default();
            fields.iter().map(|it| text("/name", it) + text("/value", it)).sum()
        };
        let one = |it: &Value| {
            text("/title", it) + text("/description", it) + text("/footer/text", it) + fields(it)
        };
        embeds.as_array().unwrap().iter().map(one).sum()
    }

    #[test]
    fn whatever_is_told_fits_the_limits() {
        for long in ["x".repeat(9_000), "é".repeat(9_000), "🎛".repeat(9_000)] {
            let embed = Embed {
                title: long.clone(),
                description: long.clone(),
                fields: vec![("By", long.clone()); 40],
                footer: long.clone(),
                ..Embed::default()
            };
            let embeds = Value::Array(fitted(&vec![embed; 12]));
            assert!(told(&embeds) <= ALL, "{}", told(&embeds));
            assert!(length(embeds[0]["title"].as_str().unwrap()) <= TITLE);
            assert!(length(embeds[0]["fields"][0]["value"].as_str().unwrap()) <= FIELD_VALUE);
            assert!(embeds[0]["title"].as_str().unwrap().ends_with('…'));
        }
        let short = Embed { title: "a".to_owned(), ..Embed::default() };
        assert_eq!(fitted(&vec![short; 12]).len(), EMBEDS);
    }

    #[test]
    fn a_text_is_cut_between_characters_and_an_empty_one_is_left_out() {
        assert_eq!(cut("🎛🎛🎛", 5), "🎛🎛…");
        assert_eq!(cut("🎛🎛🎛", 6), "🎛🎛🎛");
        assert_eq!(cut("abc", 0), "");
        let embed = Embed {
            title: " ".to_owned(),
            fields: vec![("By", String::new())],
            ..Embed::default()
        };
        let fitted = fitted(&[embed]);
        assert_eq!(fitted[0].get("title"), None);
        assert_eq!(fitted[0]["fields"][0]["value"], "-");
    }

    #[test]
    fn nothing_that_came_from_elsewhere_is_markdown() {
        assert_eq!(plain("**a** <@1> [b](c)"), r"\*\*a\*\* \<\@1\> \[b\]\(c\)");
        assert!(!plain("https://evil.test").contains("//"));
        assert_eq!(code("a`b", 10), "`aˋb`");
        assert_eq!(code("", 10), "`\u{200b}`");
        assert_eq!(code("abcdef", 4), "`abc…`");
    }

    #[test]
    fn an_answer_says_whether_to_come_again_and_when() {
        let after = |body: &str| match outcome(&answer(429, body)) {
            Err(DeliveryError::Later { after, .. }) => after.unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            after(r#"{"retry_after": 64.57, "global": false}"#),
            Duration::from_millis(64_570)
        );
        assert_eq!(after("no JSON"), Duration::from_secs(1));
        assert_eq!(after(r#"{"retry_after": 1e300}"#), LONGEST_WAIT);
        assert_eq!(after(r#"{"retry_after": -1}"#), LONGEST_WAIT);
        for (status, gone) in [(404, true), (401, true), (403, false), (500, false), (302, false)] {
            let failed = outcome(&answer(status, "")).unwrap_err();
            assert_eq!(matches!(failed, DeliveryError::Gone(_)), gone, "{status}");
        }
        assert!(matches!(outcome(&answer(400, "")), Err(DeliveryError::Refused(_))));
        assert!(outcome(&answer(204, "")).is_ok());
    }
}
