//! What the provider answered, and what that means.

use std::time::Duration;

use chrono::DateTime;
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    config::Secret,
    ids::RequestId,
    outbound::{self, OutboundResponse},
    sessions::{
        realtime::{MintedSecret, wait},
        rules::{MODEL, PROMPT_ID, PROMPT_VERSION},
    },
};

/// Bytes of the provider's names and secrets; those seen have some forty.
const NAME_BYTES: usize = 1024;

/// Why the realtime provider gave no client secret. None of these holds a word of the provider's.
#[derive(Debug, thiserror::Error)]
pub enum RealtimeFault {
    /// It refused these settings.
    #[error("the realtime provider refused {}", .0.join(", "))]
    Setting(&'static [&'static str]),
    /// It refused our key.
    #[error(
        "the realtime provider refused OPENAI_API_KEY; set one that may open sessions, and restart"
    )]
    Credentials,
    /// The account has nothing left.
    #[error("the realtime provider's quota is used up; see the account's billing")]
    Quota,
    /// It asked for patience.
    #[error("the realtime provider is busy")]
    Busy(Option<Duration>),
    /// It refused the request as a whole.
    #[error("the realtime provider refused the request")]
    Refused,
    /// It answered something that is no client secret.
    #[error("the realtime provider's answer {0}")]
    Unusable(&'static str),
    /// There was no answer.
    #[error("the realtime provider did not answer: {0}")]
    Away(outbound::OutboundError),
}

impl RealtimeFault {
    /// Whether surely nothing was made, and the next call may go well.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Away(outbound::OutboundError::Unreachable(_)))
    }

    /// How long the provider asked to wait.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Busy(wait) => *wait,
            _ => None,
        }
    }

    /// Whether nothing but an operator can mend it.
    pub(super) fn is_for_an_operator(&self) -> bool {
        matches!(self, Self::Credentials | Self::Quota | Self::Setting(_))
    }

    /// As it is counted.
    pub(super) fn outcome(&self) -> &'static str {
        use outbound::OutboundError as F;
        match self {
            Self::Setting(_) => "setting_refused",
            Self::Credentials => "credentials",
            Self::Quota => "quota",
            Self::Busy(_) => "busy",
            Self::Refused => "refused",
            Self::Unusable(_) | Self::Away(F::TooLarge(_)) => "unusable",
            Self::Away(F::Timeout) => "late",
            Self::Away(F::Unreachable(_) | F::PrivateAddress) => "unreachable",
            Self::Away(F::Interrupted(_)) => "broken",
        }
    }
}

/// A failure with what may be logged of it.
#[derive(Debug)]
pub(super) struct ProviderError {
    pub(super) fault: RealtimeFault,
    pub(super) status: Option<u16>,
    pub(super) code: Option<String>,
    pub(super) param: Option<String>,
    pub(super) request_id: Option<RequestId>,
}

impl ProviderError {
    pub(super) fn of_fault(fault: outbound::OutboundError) -> Self {
        let fault = RealtimeFault::Away(fault);
        Self { fault, status: None, code: None, param: None, request_id: None }
    }
}

/// The client secret in `answer`.
pub(super) fn read(answer: &OutboundResponse) -> Result<MintedSecret, ProviderError> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let request_id = answer.headers.get("x-request-id").and_then(|it| it.to_str().ok());
    let request_id = request_id.and_then(RequestId::parse);
    let told = |fault, code, param| {
        let (status, request_id) = (Some(answer.status.as_u16()), request_id.clone());
        ProviderError { fault, status, code, param, request_id }
    };
    if answer.status.is_success() {
        let unusable = |what| told(RealtimeFault::Unusable(what), None, None);
        return minted(&body, request_id.clone()).map_err(unusable);
    }
    let (code, param) = (word(&body["error"]["code"]), word(&body["error"]["param"]));
    let is_quota = [&code, &word(&body["error"]["type"])]
        .iter()
        .any(|it| it.as_deref() == Some("insufficient_quota"));
    let fault = match answer.status {
        _ if is_quota => RealtimeFault::Quota,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RealtimeFault::Credentials,
        StatusCode::TOO_MANY_REQUESTS => RealtimeFault::Busy(wait(&answer.headers)),
        status if status.is_server_error() => RealtimeFault::Busy(wait(&answer.headers)),
        status if status.is_redirection() => RealtimeFault::Unusable("leads elsewhere"),
        status => match setting(status, code.as_deref(), param.as_deref()) {
            Some(keys) => RealtimeFault::Setting(keys),
            None => RealtimeFault::Refused,
        },
    };
    Err(told(fault, code, param))
}

fn minted(body: &Value, request_id: Option<RequestId>) -> Result<MintedSecret, &'static str> {
    if !body.is_object() {
        return Err("is no JSON object");
    }
    let client_secret = name(&body["value"]).ok_or("holds no client secret")?;
    let expires_at = body["expires_at"].as_i64().and_then(|it| DateTime::from_timestamp(it, 0));
    let expires_at = expires_at.ok_or("does not say until when its client secret is good")?;
    let session_id = name(&body["session"]["id"]).ok_or("does not name the session")?;
    Ok(MintedSecret {
        client_secret: Secret::new(client_secret),
        expires_at,
        session_id,
        request_id,
    })
}

/// A text of the provider's that may be kept: visible ASCII, and not too much of it.
fn name(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let fits =
        (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// A word of the provider's that may be logged: one that no key could be.
fn word(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let plain = |it: u8| it.is_ascii_lowercase() || matches!(it, b'_' | b'.');
    ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

/// The settings that the provider means.
fn setting(
    status: StatusCode,
    code: Option<&str>,
    param: Option<&str>,
) -> Option<&'static [&'static str]> {
    match (param, code) {
        (Some("session.model"), _) | (None, Some("model_not_found")) => Some(&[MODEL]),
        (Some("session.prompt.id"), _) => Some(&[PROMPT_ID]),
        (Some("session.prompt.version"), _) => Some(&[PROMPT_VERSION]),
        (Some(param), _) if param.starts_with("session.prompt") => {
            Some(&[PROMPT_ID, PROMPT_VERSION])
        }
        (Some(_), Some("model_not_found")) => Some(&[MODEL]),
        // How it says that a prompt is gone is not documented; of what we name, only prompts and models can be.
        (None, _) if status == StatusCode::NOT_FOUND => Some(&[PROMPT_ID, PROMPT_VERSION]),
        _ => None,
    }
}
