//! Standard Webhooks (<https://www.standardwebhooks.com>): signed requests with `CloudEvents`.

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
        message::Message,
        sink::{alert, error::DeliveryError},
    },
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(20);
/// The maximum size of a response that is read; the body is ignored.
const RESPONSE_BYTES: usize = 64 * 1024;

/// The longest accepted `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// A webhook endpoint. Cheap to clone.
#[derive(Clone)]
pub(super) struct Webhook {
    http: Outbound,
    url: Url,
    /// The signing secrets, newest first.
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
    /// Creates a client for `url`, restricted by `policy`, that signs with `secrets`. Events link to the console at
    /// `public_url`.
    ///
    /// # Errors
    /// TLS is unavailable.
    pub(super) fn new(
        url: Url,
        secrets: Vec<Secret>,
        policy: AddressPolicy,
        public_url: Option<String>,
    ) -> Result<Self, OutboundError> {
        let bounds = CallLimits {
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TIMEOUT,
            max_body_bytes: RESPONSE_BYTES,
            address_policy: policy,
        };
        let clock = Clock::system();
        Ok(Self { http: Outbound::new(bounds)?, url, secrets, clock, public_url })
    }

    /// Posts `message`.
    ///
    /// # Errors
    /// The message was not delivered, or the outcome is unknown.
    pub(super) async fn post(&self, message: &Message) -> Result<(), DeliveryError> {
        let body = event(message, self.public_url.as_deref()).to_string();
        let id = message.id.to_string();
        let at = self.clock.now().timestamp();
        // During a rotation, every secret signs, and the receiver accepts either signature.
        let signatures = self.secrets.iter().map(|secret| sign(secret, &id, at, &body));
        let signatures: Option<Vec<_>> = signatures.collect();
        let signatures =
            signatures.ok_or_else(|| DeliveryError::later("invalid signing secret"))?;
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

/// Returns `message` as a `CloudEvent`.
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

/// Signs a request; returns `None` if the secret is not base64.
fn sign(secret: &Secret, id: &str, at: i64, body: &str) -> Option<String> {
    let secret = secret.expose();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

fn outcome(response: &OutboundResponse) -> Result<(), DeliveryError> {
    let status = response.status;
    let why = format!("status {}", status.as_u16());
    match status {
        _ if status.is_success() => Ok(()),
        // 410 is the convention of Standard Webhooks for an endpoint to unsubscribe.
        StatusCode::GONE => {
            Err(DeliveryError::Gone(format!("{why}: the endpoint accepts no more messages")))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let header = response.headers.get(header::RETRY_AFTER);
            let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
            let after = seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
            Err(DeliveryError::Later { why, after })
        }
        _ => Err(DeliveryError::later(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_matches_the_specification() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signature = sign(&secret, id, 1_614_265_330, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
