//! Responses of OpenAI, and the classification of errors.

use std::time::Duration;

use chrono::DateTime;
use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::Value;

use crate::{
    config::Secret,
    ids::RequestId,
    outbound::{self, OutboundResponse},
    sessions::{
        realtime::{error::RealtimeError, secret::MintedSecret},
        rules::{MODEL, PROMPT_ID, PROMPT_VERSION},
    },
};

/// Maximum length of ids and secrets in bytes; observed lengths are about forty.
const MAX_NAME_BYTES: usize = 1024;

/// An error with details that are safe to log.
#[derive(Debug)]
pub(super) struct ProviderError {
    pub(super) error: RealtimeError,
    pub(super) status: Option<u16>,
    pub(super) code: Option<String>,
    pub(super) param: Option<String>,
    /// Boxed, because the text is in place.
    pub(super) request_id: Option<Box<RequestId>>,
}

impl ProviderError {
    pub(super) fn no_response(error: outbound::OutboundError) -> Self {
        let error = RealtimeError::Away(error);
        Self { error, status: None, code: None, param: None, request_id: None }
    }
}

/// Reads the client secret from a response.
///
/// # Errors
/// The classified error of the provider, or an unusable response.
pub(super) fn read(response: &OutboundResponse) -> Result<MintedSecret, ProviderError> {
    // Error responses of proxies are often not JSON; the status suffices then.
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let request_id = response.headers.get("x-request-id").and_then(|value| value.to_str().ok());
    // Validated, because the id is logged and stored.
    let request_id = request_id.and_then(RequestId::parse);
    let provider_error = |error, code, param| {
        let status = Some(response.status.as_u16());
        let request_id = request_id.clone().map(Box::new);
        ProviderError { error, status, code, param, request_id }
    };
    if response.status.is_success() {
        let unusable = |problem| provider_error(RealtimeError::Unusable(problem), None, None);
        return minted_secret(&body, request_id.clone()).map_err(unusable);
    }
    let code = loggable(&body["error"]["code"]);
    let param = loggable(&body["error"]["param"]);
    // Both members are checked, because the word may be the code or the type.
    let is_quota = [&code, &loggable(&body["error"]["type"])]
        .iter()
        .any(|word| word.as_deref() == Some("insufficient_quota"));
    let error = match response.status {
        // Before the status: an exhausted quota arrives as 429, but a retry is pointless.
        _ if is_quota => RealtimeError::Quota,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RealtimeError::Credentials,
        StatusCode::TOO_MANY_REQUESTS => RealtimeError::Busy(retry_after(&response.headers)),
        status if status.is_server_error() => RealtimeError::Busy(retry_after(&response.headers)),
        // Redirects are not followed, because the request carries the API key.
        status if status.is_redirection() => RealtimeError::Unusable("is a redirect"),
        status => match rejected_settings(status, code.as_deref(), param.as_deref()) {
            Some(keys) => RealtimeError::Setting(keys),
            None => RealtimeError::Refused,
        },
    };
    Err(provider_error(error, code, param))
}

fn minted_secret(
    body: &Value,
    request_id: Option<RequestId>,
) -> Result<MintedSecret, &'static str> {
    if !body.is_object() {
        return Err("is not a JSON object");
    }
    let client_secret = name(&body["value"]).ok_or("has no client secret")?;
    let expires_at =
        body["expires_at"].as_i64().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let expires_at = expires_at.ok_or("has no expiry of the client secret")?;
    let session_id = name(&body["session"]["id"]).ok_or("has no session id")?;
    Ok(MintedSecret {
        client_secret: Secret::new(client_secret),
        expires_at,
        session_id,
        request_id,
    })
}

/// Returns an id or secret that is safe to store: visible ASCII of limited length.
fn name(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let is_safe = (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_safe.then(|| text.to_owned())
}

/// Returns a word that is safe to log: lower-case letters, `_` and `.`, so never an API key.
fn loggable(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.');
    ((1..=64).contains(&text.len()) && text.bytes().all(is_plain)).then(|| text.to_owned())
}

/// Returns the settings that caused the error.
fn rejected_settings(
    status: StatusCode,
    code: Option<&str>,
    param: Option<&str>,
) -> Option<&'static [&'static str]> {
    match (param, code) {
        (Some("session.model"), _) | (None, Some("model_not_found")) => Some(&[MODEL]),
        (Some("session.prompt.id"), _) => Some(&[PROMPT_ID]),
        (Some("session.prompt.version"), _) => Some(&[PROMPT_VERSION]),
        // An error of the whole prompt does not say whether the id or the version is wrong.
        (Some(param), _) if param.starts_with("session.prompt") => {
            Some(&[PROMPT_ID, PROMPT_VERSION])
        }
        (Some(_), Some("model_not_found")) => Some(&[MODEL]),
        // The error of a deleted prompt is not documented. Requests refer only to prompts and models.
        (None, _) if status == StatusCode::NOT_FOUND => Some(&[PROMPT_ID, PROMPT_VERSION]),
        _ => None,
    }
}

/// Returns the delay of a `Retry-After` header in seconds. Dates are ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
