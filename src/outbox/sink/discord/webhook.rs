//! The client of a Discord webhook.

use std::{fmt, time::Duration};

use reqwest::{Method, StatusCode, Url, header};
use serde::Deserialize;
use serde_json::json;

use crate::{
    config::Secret,
    outbound::{AddressPolicy, CallLimits, Outbound, OutboundError, OutboundResponse},
    outbox::sink::{
        discord::embed::{Embed, within_limits},
        error::DeliveryError,
    },
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum size of a response that is read.
const RESPONSE_BYTES: usize = 64 * 1024;

/// The longest accepted rate limit: a longer wait must surface as a backlog.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// A webhook of Discord. Cheap to clone.
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

/// The body of a 429.
#[derive(Deserialize)]
struct RateLimited {
    retry_after: f64,
}

impl Discord {
    /// Creates a client for the webhook at `address`, restricted by `policy`.
    ///
    /// # Errors
    /// TLS is unavailable, or the address is not a URL.
    pub fn new(address: &Secret, policy: AddressPolicy) -> Result<Self, OutboundError> {
        let mut url = Url::parse(address.expose())
            .map_err(|_| OutboundError::Unreachable("the address is not a URL".to_owned()))?;
        // Without `wait`, Discord reports success before the message is stored.
        url.query_pairs_mut().append_pair("wait", "true");
        let bounds = CallLimits {
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TIMEOUT,
            max_body_bytes: RESPONSE_BYTES,
            address_policy: policy,
        };
        Ok(Self { http: Outbound::new(bounds)?, url })
    }

    /// Posts `embeds` as a message: the first ten, within 6,000 characters and without mentions.
    ///
    /// # Errors
    /// The message was not delivered, or the outcome is unknown.
    pub async fn send(&self, embeds: &[Embed]) -> Result<(), DeliveryError> {
        let body = json!({"embeds": within_limits(embeds), "allowed_mentions": {"parse": []}});
        let agent = concat!("DiscordBot (brune, ", env!("CARGO_PKG_VERSION"), ")");
        let request = self.http.request(Method::POST, self.url.clone());
        let request = request.header(header::USER_AGENT, agent).json(&body);
        outcome(&self.http.send(request).await?)
    }
}

fn outcome(response: &OutboundResponse) -> Result<(), DeliveryError> {
    let status = response.status;
    let why = format!("status {}", status.as_u16());
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => {
            Err(DeliveryError::Later { why, after: Some(retry_after(response)) })
        }
        // Discord counts calls of deleted webhooks and blocks clients with many.
        StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED => {
            Err(DeliveryError::Gone(format!("{why}: the webhook does not exist")))
        }
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
            Err(DeliveryError::Refused(format!("{why}: the message was rejected")))
        }
        _ => Err(DeliveryError::later(why)),
    }
}

/// Returns the pause after a 429: from the body, which has fractions of seconds, else from the header, else a second.
fn retry_after(response: &OutboundResponse) -> Duration {
    let body = serde_json::from_slice::<RateLimited>(&response.body);
    let header = || response.headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse::<f64>().ok();
    let seconds = body.map(|body| body.retry_after).ok().or_else(header).unwrap_or(1.0);
    Duration::try_from_secs_f64(seconds).unwrap_or(MAX_RETRY_AFTER).min(MAX_RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn response(status: u16, body: &str) -> OutboundResponse {
        let status = StatusCode::from_u16(status).unwrap();
        OutboundResponse { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn the_status_decides_whether_and_when_to_retry() {
        let after = |body: &str| match outcome(&response(429, body)) {
            Err(DeliveryError::Later { after, .. }) => after.unwrap(),
            result => panic!("{result:?}"),
        };
        assert_eq!(
            after(r#"{"retry_after": 64.57, "global": false}"#),
            Duration::from_millis(64_570)
        );
        assert_eq!(after("no JSON"), Duration::from_secs(1));
        assert_eq!(after(r#"{"retry_after": 1e300}"#), MAX_RETRY_AFTER);
        assert_eq!(after(r#"{"retry_after": -1}"#), MAX_RETRY_AFTER);
        for (status, is_gone) in
            [(404, true), (401, true), (403, false), (500, false), (302, false)]
        {
            let error = outcome(&response(status, "")).unwrap_err();
            assert_eq!(matches!(error, DeliveryError::Gone(_)), is_gone, "{status}");
        }
        assert!(matches!(outcome(&response(400, "")), Err(DeliveryError::Refused(_))));
        assert!(outcome(&response(204, "")).is_ok());
    }
}
