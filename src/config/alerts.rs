//! Where messages to other services go, and how they are delivered.

use std::time::Duration;

use crate::config::{Secret, address, reading::Reading};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What a signing secret begins with (Standard Webhooks).
const SIGNING: &str = "whsec_";

/// Where alerts go.
#[derive(Debug, Clone, Default)]
pub struct Alerts {
    /// A webhook of Discord's (`DISCORD_WEBHOOK_URL`): the address itself is the secret.
    pub discord: Option<Secret>,
    /// A service that takes webhooks (`ALERT_WEBHOOK_URL`).
    pub webhook: Option<Secret>,
    /// What its messages are signed with (`ALERT_WEBHOOK_SECRET`, a line each), newest first.
    pub signing: Vec<Secret>,
    /// What the webhook wants to hear of (`ALERT_EVENTS`); everything when `None`.
    pub events: Option<Vec<String>>,
    /// Whether an address may be one of this machine or of a private network (`ALERT_ALLOW_PRIVATE`).
    pub allow_private: bool,
    /// Where people reach the service (`BRUNE_PUBLIC_URL`), without a slash at its end.
    pub public_url: Option<String>,
}

/// How messages are delivered.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// Whether this instance delivers (`BRUNE_OUTBOX_WORKER_ENABLED`).
    pub enabled: bool,
    /// Between two looks for what others stored (`BRUNE_OUTBOX_WORKER_INTERVAL_MS`).
    pub interval: Duration,
    /// Messages taken at once (`BRUNE_OUTBOX_WORKER_BATCH_SIZE`).
    pub batch: u16,
    /// How long a worker may be silent before another takes its place (`BRUNE_OUTBOX_WORKER_LEASE_MS`).
    pub lease: Duration,
    /// How often a delivery is tried again (`BRUNE_OUTBOX_MAX_RETRIES`).
    pub max_retries: u16,
    /// The wait before the first repeat, at most (`BRUNE_OUTBOX_RETRY_BASE_MS`); it doubles with each.
    pub retry_base: Duration,
}

impl Alerts {
    pub(super) fn read(reading: &mut Reading<'_>) -> Self {
        let allow_private = reading.boolean("ALERT_ALLOW_PRIVATE", false);
        let discord = address(reading, "DISCORD_WEBHOOK_URL", allow_private);
        let webhook = address(reading, "ALERT_WEBHOOK_URL", allow_private);
        let signing = signing(reading);
        if webhook.is_some() && signing.is_empty() {
            let way_out = "make one with `echo whsec_$(openssl rand -base64 32)`";
            let what = "is not set, and nothing is sent to ALERT_WEBHOOK_URL unsigned";
            if matches!(reading.env.secret("ALERT_WEBHOOK_SECRET"), Ok(None)) {
                reading.fault("ALERT_WEBHOOK_SECRET", what, way_out);
            }
        }
        let events = reading.text("ALERT_EVENTS");
        let events = events.map(|it| {
            let list = || it.split(',').map(|it| it.trim().to_owned()).collect();
            serde_json::from_str(&it).unwrap_or_else(|_| list())
        });
        Self { discord, webhook, signing, events, allow_private, public_url: public_url(reading) }
    }
}

/// The address in `name`. Only within one's own network may it go without TLS.
fn address(reading: &mut Reading<'_>, name: &str, allow_private: bool) -> Option<Secret> {
    let address = reading.secret(name)?;
    match address::web(address.expose()) {
        Ok(url) if url.scheme() == "https" || allow_private => Some(address),
        Ok(_) => {
            let way_out = "use `https://`, or set ALERT_ALLOW_PRIVATE to `true` for a receiver of your own network";
            reading.fault(name, "would be called without TLS", way_out);
            None
        }
        Err(error) => {
            reading.fault(name, error.what, error.fix);
            None
        }
    }
}

fn signing(reading: &mut Reading<'_>) -> Vec<Secret> {
    const NAME: &str = "ALERT_WEBHOOK_SECRET";
    let Some(given) = reading.secret(NAME) else { return Vec::new() };
    let lines: Vec<&str> = given.expose().lines().map(str::trim).collect();
    let fits = |line: &&str| {
        let bytes = line.strip_prefix(SIGNING).and_then(|it| STANDARD.decode(it).ok());
        bytes.is_some_and(|it| (24..=64).contains(&it.len()))
    };
    if 2 < lines.len() {
        let way_out = "keep the new secret and the one before it";
        reading.fault(NAME, "holds more than two lines", way_out);
    } else if !lines.iter().all(fits) {
        let what = "is not `whsec_` with 24 to 64 bytes in base64 after it";
        reading.fault(NAME, what, "make one with `echo whsec_$(openssl rand -base64 32)`");
    }
    lines.into_iter().map(|it| Secret::new(it.to_owned())).collect()
}

fn public_url(reading: &mut Reading<'_>) -> Option<String> {
    const NAME: &str = "BRUNE_PUBLIC_URL";
    let text = reading.text(NAME)?;
    match address::root(&text) {
        Ok(url) => Some(url.as_str().trim_end_matches('/').to_owned()),
        Err(error) => {
            reading.fault(NAME, error.what, error.fix);
            None
        }
    }
}

impl Delivery {
    pub(super) fn read(reading: &mut Reading<'_>) -> Self {
        Self {
            enabled: reading.boolean("BRUNE_OUTBOX_WORKER_ENABLED", true),
            interval: reading.milliseconds("BRUNE_OUTBOX_WORKER_INTERVAL_MS", 1_000, 100..=600_000),
            batch: reading.number("BRUNE_OUTBOX_WORKER_BATCH_SIZE", 20, 1..=1_000),
            lease: reading.milliseconds("BRUNE_OUTBOX_WORKER_LEASE_MS", 30_000, 1_000..=600_000),
            max_retries: reading.number("BRUNE_OUTBOX_MAX_RETRIES", 10, 0..=100),
            retry_base: reading.milliseconds("BRUNE_OUTBOX_RETRY_BASE_MS", 1_000, 10..=600_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, Needs};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const URL: &str = "https://alerts.test/hook";

    /// What is wrong with `pairs`.
    fn faults(pairs: &[(&str, &str)]) -> String {
        let pairs = [("HOME", "/home/ana")].iter().chain(pairs);
        let environment = Environment::of_pairs(pairs.copied());
        let loaded = Config::load(&environment, Needs::Serve);
        loaded.err().map(|it| it.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_webhook_is_signed_and_goes_over_tls() {
        let with = |url, secret: &str, private| {
            let given = [("ALERT_WEBHOOK_URL", url), ("ALERT_WEBHOOK_SECRET", secret)];
            faults(&[&given[..], &[("ALERT_ALLOW_PRIVATE", private)]].concat())
        };
        assert_eq!(with(URL, SECRET, "false"), "");
        assert_eq!(with(URL, &format!("{SECRET}\n{SECRET}\n"), "false"), "");
        assert_eq!(with("http://127.0.0.1:9000/", SECRET, "true"), "");
        assert!(with(URL, "", "false").contains("ALERT_WEBHOOK_SECRET: is not set"));
        assert!(with("http://alerts.test/hook", SECRET, "false").contains("without TLS"));
        for wrong in ["hunter22", "whsec_hunter22", "whsec_!!!!", "whsec_aHVudGVyMg=="] {
            let told = with(URL, wrong, "false");
            assert!(told.contains("ALERT_WEBHOOK_SECRET: is not `whsec_`"), "{told}");
            assert!(!told.contains(wrong), "{told}");
        }
        let told = with(URL, &[SECRET; 3].join("\n"), "false");
        assert!(told.contains("more than two lines"), "{told}");
        for wrong in ["ftp://hunter22", "hunter22", "https://"] {
            let told = with(wrong, SECRET, "false");
            assert!(told.contains("ALERT_WEBHOOK_URL: must "), "{told}");
            assert!(!told.contains("hunter22"), "{told}");
        }
    }

    #[test]
    fn where_people_reach_the_service_is_an_address_without_extras() {
        let read = |text: &str| {
            let environment =
                Environment::of_pairs([("HOME", "/home/ana"), ("BRUNE_PUBLIC_URL", text)]);
            Config::load(&environment, Needs::Serve).map(|it| it.alerts.public_url)
        };
        assert_eq!(read("https://a.test/").unwrap().unwrap(), "https://a.test");
        assert_eq!(read("https://a.test/brune/").unwrap().unwrap(), "https://a.test/brune");
        for wrong in ["a.test", "ftp://a.test", "https://a.test/?q=1", "https://u:p@a.test/"] {
            assert!(read(wrong).unwrap_err().to_string().contains("BRUNE_PUBLIC_URL"), "{wrong}");
        }
    }
}
