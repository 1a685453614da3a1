//! Embeds within Discord's limits.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::outbox::sink::discord::text::{cut, length};

/// Discord's limits on embeds, in characters.
// Source: "Embed Limits" in Discord's documentation of messages.
const EMBEDS: usize = 10;
const FIELDS: usize = 25;
const TITLE: usize = 256;
const DESCRIPTION: usize = 4096;
const FIELD_NAME: usize = 256;
const FIELD_VALUE: usize = 1024;
const FOOTER: usize = 2048;
/// The limit of all texts in all embeds of a request.
const TOTAL: usize = 6000;

/// A card in a Discord message. Texts that are too long are cut.
#[derive(Debug, Clone, Default)]
pub struct Embed {
    /// The headline, without markdown.
    pub title: String,
    /// The text, as markdown: escape foreign texts with [`plain`](super::plain) or [`code`](super::code).
    pub description: String,
    /// The link of the headline.
    pub url: Option<String>,
    /// The colour of the edge, as 0xRRGGBB.
    pub color: u32,
    /// When the event happened.
    pub at: Option<DateTime<Utc>>,
    /// Names, and values as markdown.
    pub fields: Vec<(&'static str, String)>,
    /// The footer, without markdown.
    pub footer: String,
}

/// Serializes as many of `embeds` as a request may contain, cut to the limits.
pub(super) fn within_limits(embeds: &[Embed]) -> Vec<Value> {
    let mut budget = CharacterBudget(TOTAL);
    embeds.iter().take(EMBEDS).map_while(|embed| embed.within(&mut budget)).collect()
}

/// The characters left for all embeds of a request.
struct CharacterBudget(usize);

impl CharacterBudget {
    /// Cuts `text` to `limit` and to the budget; returns `None` for an empty text.
    fn spend(&mut self, text: &str, limit: usize) -> Option<Value> {
        // Discord trims texts and does not count outer white space.
        let text = cut(text.trim(), limit.min(self.0));
        // Cannot underflow: the cut text is no longer than the budget.
        self.0 -= length(&text);
        (!text.is_empty()).then_some(Value::String(text))
    }
}

impl Embed {
    /// Serializes the embed within `budget`.
    fn within(&self, budget: &mut CharacterBudget) -> Option<Value> {
        // The description is last, so that a long text never crowds out short ones.
        let title = budget.spend(&self.title, TITLE);
        let footer = budget.spend(&self.footer, FOOTER).map(|text| json!({"text": text}));
        let field = |(name, value): &(&'static str, String)| {
            // Discord rejects the whole request if a value is empty.
            let value = if value.trim().is_empty() { "-" } else { value };
            let name = budget.spend(name, FIELD_NAME)?;
            let value = budget.spend(value, FIELD_VALUE)?;
            Some(json!({"name": name, "value": value, "inline": true}))
        };
        // `map_while`: once the budget is spent, a further field would be empty and rejected.
        let fields: Vec<Value> = self.fields.iter().take(FIELDS).map_while(field).collect();
        let fields = (!fields.is_empty()).then_some(Value::Array(fields));
        let description = budget.spend(&self.description, DESCRIPTION);
        let mut embed = Map::new();
        let texts = [
            ("title", title),
            ("footer", footer),
            ("fields", fields),
            ("description", description),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                embed.insert(name.to_owned(), value);
            }
        }
        // Before the colour is added, because Discord rejects a card without any text.
        if embed.is_empty() {
            return None;
        }
        embed.insert("color".to_owned(), self.color.into());
        if let Some(url) = &self.url {
            embed.insert("url".to_owned(), url.as_str().into());
        }
        if let Some(at) = self.at {
            let timestamp = at.to_rfc3339_opts(SecondsFormat::Millis, true);
            embed.insert("timestamp".to_owned(), timestamp.into());
        }
        Some(Value::Object(embed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the length of all texts in `embeds`.
    fn total_length(embeds: &Value) -> usize {
        let text = |pointer: &str, value: &Value| {
            value.pointer(pointer).and_then(Value::as_str).map_or(0, length)
        };
        let fields = |embed: &Value| -> usize {
            let fields = embed["fields"].as_array().cloned().unwrap_or_default();
            fields.iter().map(|field| text("/name", field) + text("/value", field)).sum()
        };
        let embed_length = |embed: &Value| {
            let texts = ["/title", "/description", "/footer/text"];
            texts.iter().map(|pointer| text(pointer, embed)).sum::<usize>() + fields(embed)
        };
        embeds.as_array().unwrap().iter().map(embed_length).sum()
    }

    #[test]
    fn embeds_are_cut_to_the_limits() {
        for long in ["x".repeat(9_000), "é".repeat(9_000), "🎛".repeat(9_000)] {
            let embed = Embed {
                title: long.clone(),
                description: long.clone(),
                fields: vec![("By", long.clone()); 40],
                footer: long.clone(),
                ..Embed::default()
            };
            let embeds = Value::Array(within_limits(&vec![embed; 12]));
            assert!(total_length(&embeds) <= TOTAL, "{}", total_length(&embeds));
            assert!(length(embeds[0]["title"].as_str().unwrap()) <= TITLE);
            assert!(length(embeds[0]["fields"][0]["value"].as_str().unwrap()) <= FIELD_VALUE);
            assert!(embeds[0]["title"].as_str().unwrap().ends_with('…'));
        }
        let short = Embed { title: "a".to_owned(), ..Embed::default() };
        assert_eq!(within_limits(&vec![short; 12]).len(), EMBEDS);
    }

    #[test]
    fn empty_texts_are_omitted() {
        let embed = Embed {
            title: " ".to_owned(),
            fields: vec![("By", String::new())],
            ..Embed::default()
        };
        let embeds = within_limits(&[embed]);
        assert_eq!(embeds[0].get("title"), None);
        assert_eq!(embeds[0]["fields"][0]["value"], "-");
    }
}
