//! The destinations of messages.

mod alert;
pub mod discord;
mod error;
mod webhook;

use std::fmt;

use reqwest::Url;
use sha2::{Digest as _, Sha256};

pub use error::DeliveryError;

use crate::{
    config::{Alerts, Secret},
    outbound::{AddressPolicy, OutboundError, is_private_url},
    outbox::message::{Message, Subscription, Topic},
};
use discord::Discord;
use webhook::Webhook;

/// The topics for people: sessions start and end too often.
const DISCORD_TOPICS: [Topic; 12] = [
    Topic::SettingsChanged,
    Topic::SettingsRolledBack,
    Topic::SettingsImported,
    Topic::SettingsRefused,
    Topic::ProposalWritten,
    Topic::ProposalJudged,
    Topic::ProposalSettled,
    Topic::ProposalBypassed,
    Topic::RolloutMoved,
    Topic::StartsStopped,
    Topic::SecretsCleaned,
    Topic::InstanceUnhealthy,
];

/// An invalid configuration of a sink.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSink {
    /// The address is loopback or private.
    #[error(
        "{0}: is a loopback or private address; set ALERT_ALLOW_PRIVATE to `true` to permit such addresses"
    )]
    Private(&'static str),
    /// A configured topic is unknown.
    #[error("ALERT_EVENTS: unknown event {0}; known events: {known}", known = Topic::ALL.map(Topic::as_str).join(", "))]
    UnknownTopic(String),
    /// The address cannot be called.
    #[error("{variable}: {error}; set another address")]
    Address {
        /// The variable that holds the address.
        variable: &'static str,
        /// The cause.
        error: OutboundError,
    },
}

/// A destination of messages.
#[derive(Clone)]
pub struct Sink {
    name: &'static str,
    topics: Vec<Topic>,
    /// The digest of the address: a sink is disabled for one address.
    address_digest: [u8; 32],
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Discord { discord: Discord, public_url: Option<String> },
    Webhook(Webhook),
}

/// Creates the Discord webhook of `alerts`, if configured.
///
/// # Errors
/// The address is invalid, or TLS is unavailable.
pub fn discord(alerts: &Alerts) -> Result<Option<Discord>, InvalidSink> {
    let Some(address) = &alerts.discord else { return Ok(None) };
    let variable = "DISCORD_WEBHOOK_URL";
    let policy = address_policy(alerts);
    let url = parse_address(variable, address, policy)?;
    // The parsed URL, because the configured text may have outer white space.
    let discord = Discord::new(&Secret::new(url.into()), policy);
    discord.map(Some).map_err(|error| InvalidSink::Address { variable, error })
}

fn address_policy(alerts: &Alerts) -> AddressPolicy {
    if alerts.allow_private { AddressPolicy::Anywhere } else { AddressPolicy::Public }
}

/// Creates the sinks of `alerts`.
///
/// # Errors
/// The first invalid sink.
pub fn sinks(alerts: &Alerts) -> Result<Vec<Sink>, InvalidSink> {
    let public_url = alerts.public_url.clone();
    let mut sinks = Vec::new();
    if let (Some(address), Some(discord)) = (&alerts.discord, discord(alerts)?) {
        let kind = Kind::Discord { discord, public_url: public_url.clone() };
        // Messages are stored under the name, so a rename would orphan stored messages.
        sinks.push(Sink::new("discord", DISCORD_TOPICS.to_vec(), address, kind));
    }
    if let Some(address) = &alerts.webhook {
        let variable = "ALERT_WEBHOOK_URL";
        let policy = address_policy(alerts);
        let url = parse_address(variable, address, policy)?;
        let webhook = Webhook::new(url, alerts.signing.clone(), policy, public_url)
            .map_err(|error| InvalidSink::Address { variable, error })?;
        let topics = parse_topics(alerts.events.as_deref())?;
        sinks.push(Sink::new("webhook", topics, address, Kind::Webhook(webhook)));
    }
    Ok(sinks)
}

/// Parses `address` and checks a literal IP address.
fn parse_address(
    variable: &'static str,
    address: &Secret,
    policy: AddressPolicy,
) -> Result<Url, InvalidSink> {
    let url = Url::parse(address.expose().trim()).map_err(|_| InvalidSink::Address {
        variable,
        error: OutboundError::Unreachable("the address is not a URL".to_owned()),
    })?;
    // Only a literal address can be checked before the call, because DNS may change.
    if policy == AddressPolicy::Public && is_private_url(&url) {
        return Err(InvalidSink::Private(variable));
    }
    Ok(url)
}

/// Parses the configured topics; all topics by default.
fn parse_topics(events: Option<&[String]>) -> Result<Vec<Topic>, InvalidSink> {
    let Some(events) = events else { return Ok(Topic::ALL.to_vec()) };
    let topic = |event: &String| {
        // Rejected at startup, because events of a misspelt topic would be missed silently.
        Topic::parse(event).ok_or_else(|| InvalidSink::UnknownTopic(event.clone()))
    };
    events.iter().map(topic).collect()
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only the name, because an address may hold a secret.
        f.debug_struct("Sink").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Sink {
    fn new(name: &'static str, topics: Vec<Topic>, address: &Secret, kind: Kind) -> Self {
        // The database stores the digest, because the address may contain a secret.
        let address_digest = Sha256::digest(address.expose().trim()).into();
        Self { name, topics, address_digest, kind }
    }

    /// Returns the name, under which messages are stored.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// Returns the subscription for an [`Outbox`](super::Outbox).
    #[must_use]
    pub fn subscription(&self) -> Subscription {
        Subscription { sink: self.name.to_owned(), topics: self.topics.clone() }
    }

    pub(super) fn address_digest(&self) -> &[u8] {
        &self.address_digest
    }

    pub(super) async fn deliver(&self, message: &Message) -> Result<(), DeliveryError> {
        match &self.kind {
            Kind::Discord { discord, public_url } => {
                discord.send(&[discord::embed(message, public_url.as_deref())]).await
            }
            Kind::Webhook(webhook) => webhook.post(message).await,
        }
    }
}
