//! Receivers of alerts, and the delivery of messages.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use validator::Validate;

use crate::config::{
    Secret, address,
    numbers::{Milliseconds, RangeOfUnits as _},
    reader::Reader,
};

const WEBHOOK_SECRET: &str = "ALERT_WEBHOOK_SECRET";

/// The prefix of a signing secret (Standard Webhooks).
const SIGNING_PREFIX: &str = "whsec_";

const GENERATE: &str = "generate one with `echo whsec_$(openssl rand -base64 32)`";

/// Receivers of alerts.
#[derive(Debug, Clone, Default)]
pub struct Alerts {
    /// A Discord webhook (`DISCORD_WEBHOOK_URL`), whose address is a secret.
    pub discord: Option<Secret>,
    /// A service that receives webhooks (`ALERT_WEBHOOK_URL`).
    pub webhook: Option<Secret>,
    /// The signing secrets of the webhook (`ALERT_WEBHOOK_SECRET`, one per line), newest first.
    pub signing: Vec<Secret>,
    /// The topics that the webhook subscribes to (`ALERT_EVENTS`); all when `None`.
    pub events: Option<Vec<String>>,
    /// Whether addresses of this machine and of private networks are permitted (`ALERT_ALLOW_PRIVATE`).
    pub allow_private: bool,
    /// The public address of the service (`BRUNE_PUBLIC_URL`), without a trailing slash.
    pub public_url: Option<String>,
}

/// Delivery of messages to other services.
#[derive(Debug, Clone, Copy, Validate)]
pub struct Delivery {
    /// Whether this instance runs the worker (`BRUNE_OUTBOX_WORKER_ENABLED`).
    pub enabled: bool,
    /// The pause between two polls for messages of other instances (`BRUNE_OUTBOX_WORKER_INTERVAL_MS`).
    #[validate(range(min = 100, max = 600_000, code = "BRUNE_OUTBOX_WORKER_INTERVAL_MS"))]
    pub interval: Duration,
    /// The most messages of one batch (`BRUNE_OUTBOX_WORKER_BATCH_SIZE`).
    #[validate(range(min = 1, max = 1_000, code = "BRUNE_OUTBOX_WORKER_BATCH_SIZE"))]
    pub batch: u16,
    /// How long a lease lasts without renewal (`BRUNE_OUTBOX_WORKER_LEASE_MS`).
    #[validate(range(min = 1_000, max = 600_000, code = "BRUNE_OUTBOX_WORKER_LEASE_MS"))]
    pub lease: Duration,
    /// The most retries of a delivery (`BRUNE_OUTBOX_MAX_RETRIES`).
    #[validate(range(min = 0, max = 100, code = "BRUNE_OUTBOX_MAX_RETRIES"))]
    pub max_retries: u16,
    /// The longest backoff before the first retry (`BRUNE_OUTBOX_RETRY_BASE_MS`), doubled for each further retry.
    #[validate(range(min = 10, max = 600_000, code = "BRUNE_OUTBOX_RETRY_BASE_MS"))]
    pub retry_base: Duration,
}

impl Alerts {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let allow_private = reader.boolean("ALERT_ALLOW_PRIVATE", false);
        let discord = address(reader, "DISCORD_WEBHOOK_URL", allow_private);
        let webhook = address(reader, "ALERT_WEBHOOK_URL", allow_private);
        let signing = signing(reader);
        if webhook.is_some()
            && signing.is_empty()
            && matches!(reader.environment.secret(WEBHOOK_SECRET), Ok(None))
        {
            let problem = "is required with ALERT_WEBHOOK_URL, since every webhook is signed";
            reader.reject(WEBHOOK_SECRET, problem, GENERATE);
        }
        // A JSON array as in other variables, or a comma-separated list for shells.
        let events = reader.text("ALERT_EVENTS").map(|text| {
            let split = || text.split(',').map(|topic| topic.trim().to_owned()).collect();
            serde_json::from_str(&text).unwrap_or_else(|_| split())
        });
        Self { discord, webhook, signing, events, allow_private, public_url: public_url(reader) }
    }
}

/// Reads the address of a webhook, which must use TLS outside private networks.
fn address(reader: &mut Reader<'_>, variable: &str, allow_private: bool) -> Option<Secret> {
    let address = reader.secret(variable)?;
    match address::web(address.expose()) {
        // Without TLS, the token in the address would be readable on the way.
        Ok(url) if url.scheme() == "https" || allow_private => Some(address),
        Ok(_) => {
            let fix = "set ALERT_ALLOW_PRIVATE to `true` for a receiver on a private network";
            reader.reject(variable, "must begin with https://", fix);
            None
        }
        Err(error) => {
            reader.reject(variable, error.problem, error.fix);
            None
        }
    }
}

fn signing(reader: &mut Reader<'_>) -> Vec<Secret> {
    let Some(secret) = reader.secret(WEBHOOK_SECRET) else { return Vec::new() };
    let lines: Vec<&str> = secret.expose().lines().map(str::trim).collect();
    let is_valid = |line: &&str| {
        let bytes = line.strip_prefix(SIGNING_PREFIX).and_then(|text| STANDARD.decode(text).ok());
        bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len()))
    };
    if lines.len() > 2 {
        let fix = "keep the new secret and the previous one";
        reader.reject(WEBHOOK_SECRET, "must have at most two lines", fix);
    } else if !lines.iter().all(is_valid) {
        let problem = "must be `whsec_` followed by 24 to 64 bytes in base64";
        reader.reject(WEBHOOK_SECRET, problem, GENERATE);
    }
    lines.into_iter().map(|line| Secret::new(line.to_owned())).collect()
}

fn public_url(reader: &mut Reader<'_>) -> Option<String> {
    const VARIABLE: &str = "BRUNE_PUBLIC_URL";
    let text = reader.text(VARIABLE)?;
    match address::root(&text) {
        // Links append paths that begin with a slash.
        Ok(url) => Some(url.as_str().trim_end_matches('/').to_owned()),
        Err(error) => {
            reader.reject(VARIABLE, error.problem, error.fix);
            None
        }
    }
}

impl Delivery {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let interval = reader.number("BRUNE_OUTBOX_WORKER_INTERVAL_MS", Milliseconds(1_000));
        let lease = reader.number("BRUNE_OUTBOX_WORKER_LEASE_MS", Milliseconds(30_000));
        let retry_base = reader.number("BRUNE_OUTBOX_RETRY_BASE_MS", Milliseconds(1_000));
        let delivery = Self {
            enabled: reader.boolean("BRUNE_OUTBOX_WORKER_ENABLED", true),
            interval: interval.into(),
            batch: reader.number("BRUNE_OUTBOX_WORKER_BATCH_SIZE", 20),
            lease: lease.into(),
            max_retries: reader.number("BRUNE_OUTBOX_MAX_RETRIES", 10),
            retry_base: retry_base.into(),
        };
        reader.validate(&delivery);
        delivery
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, Needs};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const URL: &str = "https://alerts.test/hook";

    fn errors(pairs: &[(&str, &str)]) -> String {
        let pairs = [("HOME", "/home/ana")].iter().chain(pairs);
        let environment = Environment::from_pairs(pairs.copied());
        let config = Config::load(&environment, Needs::Serve);
        config.err().map(|errors| errors.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_webhook_is_signed_and_uses_tls() {
        let errors = |url, secret: &str, private| {
            let webhook = [("ALERT_WEBHOOK_URL", url), ("ALERT_WEBHOOK_SECRET", secret)];
            errors(&[&webhook[..], &[("ALERT_ALLOW_PRIVATE", private)]].concat())
        };
        assert_eq!(errors(URL, SECRET, "false"), "");
        assert_eq!(errors(URL, &format!("{SECRET}\n{SECRET}\n"), "false"), "");
        assert_eq!(errors("http://127.0.0.1:9000/", SECRET, "true"), "");
        assert!(errors(URL, "", "false").contains("ALERT_WEBHOOK_SECRET: is required with"));
        let text = errors("http://alerts.test/hook", SECRET, "false");
        assert!(text.contains("ALERT_WEBHOOK_URL: must begin with https://;"), "{text}");
        for secret in ["hunter22", "whsec_hunter22", "whsec_!!!!", "whsec_aHVudGVyMg=="] {
            let text = errors(URL, secret, "false");
            assert!(text.contains("ALERT_WEBHOOK_SECRET: must be `whsec_`"), "{text}");
            assert!(!text.contains(secret), "{text}");
        }
        let text = errors(URL, &[SECRET; 3].join("\n"), "false");
        assert!(text.contains("at most two lines"), "{text}");
        for url in ["ftp://hunter22", "hunter22", "https://"] {
            let text = errors(url, SECRET, "false");
            assert!(text.contains("ALERT_WEBHOOK_URL: must "), "{text}");
            assert!(!text.contains("hunter22"), "{text}");
        }
    }

    #[test]
    fn the_public_url_is_an_address_without_extras() {
        let read = |text: &str| {
            let environment =
                Environment::from_pairs([("HOME", "/home/ana"), ("BRUNE_PUBLIC_URL", text)]);
            Config::load(&environment, Needs::Serve).map(|config| config.alerts.public_url)
        };
        assert_eq!(read("https://a.test/").unwrap().unwrap(), "https://a.test");
        assert_eq!(read("https://a.test/brune/").unwrap().unwrap(), "https://a.test/brune");
        for url in ["a.test", "ftp://a.test", "https://a.test/?q=1", "https://u:p@a.test/"] {
            assert!(read(url).unwrap_err().to_string().contains("BRUNE_PUBLIC_URL"), "{url}");
        }
    }
}
