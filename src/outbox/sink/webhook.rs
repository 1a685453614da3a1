//! Standard Webhooks (<https://www.standardwebhooks.com>): signed calls of a service that takes `CloudEvents`.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::SecondsFormat;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, StatusCode, Url, header};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    clock::Clock,
    config::Secret,
    outbound::{AddressPolicy, CallLimits, Outbound, OutboundError, OutboundResponse},
    outbox::{
        Message,
        sink::{DeliveryError, alert},
    },
};

/// How long a call may take, and how much of an answer is read; nothing of it is used.
const CONNECT: Duration = Duration::from_secs(5);
const TOTAL: Duration = Duration::from_secs(20);
const LARGEST: usize = 64 * 1024;

/// The longest that is waited because the other side asks for it.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A service that takes webhooks. Cheap to clone.
#[derive(Clone)]
pub(super) struct Webhook {
    http: Outbound,
    url: Url,
    /// What its calls are signed with, newest first.
    secrets: Vec<Secret>,
    clock: Clock,
    public_url: Option<String>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(***)")
    }
}

impl Webhook {
    /// The service at `url`, called where `reach` allows and signed for with `secrets`; people reach this one at
    /// `public_url`.
    ///
    /// # Errors
    /// TLS cannot be set up on this machine.
    pub(super) fn new(
        url: Url,
        secrets: Vec<Secret>,
        reach: AddressPolicy,
        public_url: Option<String>,
    ) -> Result<Self, OutboundError> {
        let bounds = CallLimits {
            connect_timeout: CONNECT,
            total_timeout: TOTAL,
            max_body_bytes: LARGEST,
            address_policy: reach,
        };
        let clock = Clock::system();
        Ok(Self { http: Outbound::new(bounds)?, url, secrets, clock, public_url })
    }

    /// Sends `message`.
    ///
    /// # Errors
    /// It did not arrive, or nobody knows whether it did.
    pub(super) async fn post(&self, message: &Message) -> Result<(), DeliveryError> {
        let body = event(message, self.public_url.as_deref()).to_string();
        let (id, at) = (message.id.to_string(), self.clock.now().timestamp());
        let signatures = self.secrets.iter().map(|secret| sign(secret, &id, at, &body));
        let signatures = signatures.collect::<Option<Vec<_>>>();
        let signatures =
            signatures.ok_or_else(|| DeliveryError::later("the secret signs nothing"))?;
        let request = self.http.request(Method::POST, self.url.clone());
        let request = request
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signatures.join(" "))
            .header(header::CONTENT_TYPE, "application/cloudevents+json")
            .body(body);
        outcome(&self.http.send(request).await?)
    }
}

/// `message` as a `CloudEvent`.
fn event(message: &Message, public_url: Option<&str>) -> Value {
    let mut data = message.payload.clone();
    if let Some(fields) = data.as_object_mut() {
        if let Some(count) = message.older_sessions {
            fields.insert("sessions_on_older_settings".to_owned(), count.into());
        }
        if let Some(url) = public_url {
            fields.insert("url".to_owned(), alert::link(url, message).into());
        }
    }
    json!({
        "specversion": "1.0",
        "id": message.id,
        "source": public_url.unwrap_or("/brune"),
        "type": format!("brune.{}", message.topic),
        "time": message.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        "subject": alert::subject(message),
        "datacontenttype": "application/json",
        "data": data,
    })
}

/// The signature of a call with this id, at this second, with this body; `None` if the secret is none.
fn sign(secret: &Secret, id: &str, at: i64, body: &str) -> Option<String> {
    let secret = secret.expose();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

fn outcome(answer: &OutboundResponse) -> Result<(), DeliveryError> {
    let status = answer.status;
    let why = format!("answered {}", status.as_u16());
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::GONE => Err(DeliveryError::Gone(format!("{why}: it wants no more"))),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let after = answer.headers.get(header::RETRY_AFTER).and_then(|it| it.to_str().ok());
            let after = after.and_then(|it| it.parse().ok()).map(Duration::from_secs);
            Err(DeliveryError::Later { why, after: after.map(|it| it.min(LONGEST_WAIT)) })
        }
        _ => Err(DeliveryError::later(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signature = sign(&secret, id, 1_614_265_330, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
