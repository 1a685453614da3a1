//! Where messages go.

mod alert;
pub mod discord;
mod webhook;

use std::{fmt, time::Duration};

use reqwest::Url;
use sha2::{Digest as _, Sha256};

use crate::{
    config::{Alerts, Secret},
    outbound::{AddressPolicy, OutboundError, is_private_url},
    outbox::{Message, Subscription, Topic},
};
use discord::Discord;
use webhook::Webhook;

/// Why a message did not arrive. Never holds an address: that may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// It may arrive when it is tried again.
    #[error("{why}")]
    Later {
        /// What happened.
        why: String,
        /// Not before so long, when the other side asked for it.
        after: Option<Duration>,
    },
    /// The other side will never take this message; others it may.
    #[error("{0}")]
    Refused(String),
    /// The other side is gone for good, and its address is not to be called again.
    #[error("{0}")]
    Gone(String),
}

impl DeliveryError {
    /// It failed as `why` says, and may be tried again whenever it suits.
    #[must_use]
    pub fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None }
    }
}

impl From<OutboundError> for DeliveryError {
    fn from(fault: OutboundError) -> Self {
        Self::later(fault.to_string())
    }
}

/// What people want to hear of: sessions come and go too often for them.
const FOR_PEOPLE: [Topic; 6] = [
    Topic::SettingsChanged,
    Topic::SettingsRolledBack,
    Topic::SettingsImported,
    Topic::SettingsRefused,
    Topic::SecretsCleaned,
    Topic::InstanceUnhealthy,
];

/// Why a sink cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSink {
    /// Its address is one of this machine or of a private network.
    #[error(
        "{0}: is an address of this machine or of a private network; if that is meant, set ALERT_ALLOW_PRIVATE \
         to `true`"
    )]
    Private(&'static str),
    /// It is to hear of what there is not.
    #[error("ALERT_EVENTS: there is no event {0}; known are {known}", known = Topic::ALL.map(Topic::as_str).join(", "))]
    NoSuchTopic(String),
    /// It cannot be called at all.
    #[error("{variable}: {fault}; write another address")]
    Fault {
        /// The variable that holds its address.
        variable: &'static str,
        /// What is wrong.
        fault: OutboundError,
    },
}

/// Somewhere messages go.
#[derive(Clone)]
pub struct Sink {
    name: &'static str,
    topics: Vec<Topic>,
    /// The digest of its address: what is gone for good is gone at one address.
    address: [u8; 32],
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Discord { discord: Discord, public_url: Option<String> },
    Webhook(Webhook),
}

/// The webhook of Discord's that `alerts` name, if they do.
///
/// # Errors
/// It cannot be called.
pub fn discord(alerts: &Alerts) -> Result<Option<Discord>, InvalidSink> {
    let Some(address) = &alerts.discord else { return Ok(None) };
    let (variable, reach) = ("DISCORD_WEBHOOK_URL", reach(alerts));
    let url = url(variable, address, reach)?;
    let discord = Discord::new(&Secret::new(url.into()), reach);
    discord.map(Some).map_err(|fault| InvalidSink::Fault { variable, fault })
}

fn reach(alerts: &Alerts) -> AddressPolicy {
    if alerts.allow_private { AddressPolicy::Anywhere } else { AddressPolicy::Public }
}

/// The sinks that `alerts` name.
///
/// # Errors
/// One of them cannot be called.
pub fn sinks(alerts: &Alerts) -> Result<Vec<Sink>, InvalidSink> {
    let reach = reach(alerts);
    let public_url = alerts.public_url.clone();
    let mut sinks = Vec::new();
    if let (Some(address), Some(discord)) = (&alerts.discord, discord(alerts)?) {
        let kind = Kind::Discord { discord, public_url: public_url.clone() };
        sinks.push(Sink::new("discord", FOR_PEOPLE.to_vec(), address, kind));
    }
    if let Some(address) = &alerts.webhook {
        let variable = "ALERT_WEBHOOK_URL";
        let url = url(variable, address, reach)?;
        let webhook = Webhook::new(url, alerts.signing.clone(), reach, public_url)
            .map_err(|fault| InvalidSink::Fault { variable, fault })?;
        let topics = wanted(alerts.events.as_deref())?;
        sinks.push(Sink::new("webhook", topics, address, Kind::Webhook(webhook)));
    }
    Ok(sinks)
}

/// `address`, if it is one that may be called as far as can be seen: what a name leads to is looked at with
/// every call.
fn url(variable: &'static str, address: &Secret, reach: AddressPolicy) -> Result<Url, InvalidSink> {
    let url = Url::parse(address.expose().trim());
    let fault = |_| OutboundError::Unreachable("the address is no URL".to_owned());
    let url = url.map_err(fault).map_err(|fault| InvalidSink::Fault { variable, fault })?;
    if reach == AddressPolicy::Public && is_private_url(&url) {
        return Err(InvalidSink::Private(variable));
    }
    Ok(url)
}

fn wanted(events: Option<&[String]>) -> Result<Vec<Topic>, InvalidSink> {
    let Some(events) = events else { return Ok(Topic::ALL.to_vec()) };
    let topic = |it: &String| Topic::parse(it).ok_or_else(|| InvalidSink::NoSuchTopic(it.clone()));
    events.iter().map(topic).collect()
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Sink {
    fn new(name: &'static str, topics: Vec<Topic>, address: &Secret, kind: Kind) -> Self {
        let address = Sha256::digest(address.expose().trim()).into();
        Self { name, topics, address, kind }
    }

    /// Its name, by which messages are kept for it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// For an [`Outbox`](super::Outbox) that keeps messages for it.
    #[must_use]
    pub fn subscription(&self) -> Subscription {
        Subscription { sink: self.name.to_owned(), topics: self.topics.clone() }
    }

    pub(super) fn address(&self) -> &[u8] {
        &self.address
    }

    pub(super) async fn deliver(&self, message: &Message) -> Result<(), DeliveryError> {
        match &self.kind {
            Kind::Discord { discord, public_url } => {
                discord.send(&[alert::embed(message, public_url.as_deref())]).await
            }
            Kind::Webhook(webhook) => webhook.post(message).await,
        }
    }
}
