//! Errors of the realtime provider.

use std::time::Duration;

use crate::outbound;

/// The reason why the realtime provider issued no client secret. Never quotes the provider.
#[derive(Debug, thiserror::Error)]
pub enum RealtimeError {
    /// The provider rejected these settings.
    #[error("the realtime provider rejected {}", .0.join(", "))]
    Setting(&'static [&'static str]),
    /// The provider rejected the API key.
    #[error(
        "the realtime provider rejected OPENAI_API_KEY; set a key with access to realtime sessions, and restart"
    )]
    Credentials,
    /// The quota of the account is exhausted.
    #[error("the quota of the realtime provider is exhausted; check the billing of the account")]
    Quota,
    /// The provider is overloaded, with the requested delay.
    #[error("the realtime provider is busy")]
    Busy(Option<Duration>),
    /// The provider rejected the request.
    #[error("the realtime provider rejected the request")]
    Refused,
    /// The response contains no client secret.
    #[error("the realtime provider's response {0}")]
    Unusable(&'static str),
    /// The provider did not respond.
    #[error("the realtime provider did not respond: {0}")]
    Away(outbound::OutboundError),
}

impl RealtimeError {
    /// Whether a retry may succeed. After a 5xx an unused secret may exist, which expires.
    pub(super) fn is_transient(&self) -> bool {
        // Without a connection nothing was sent, but after a timeout a secret may exist.
        matches!(self, Self::Busy(_) | Self::Away(outbound::OutboundError::Unreachable(_)))
    }

    /// Returns the delay that the provider requested.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Busy(wait) => *wait,
            _ => None,
        }
    }

    /// Whether only an operator can fix the cause.
    pub(super) fn needs_operator(&self) -> bool {
        matches!(self, Self::Credentials | Self::Quota | Self::Setting(_))
    }

    /// Returns the metric label.
    pub(super) fn outcome(&self) -> &'static str {
        use outbound::OutboundError as F;
        // Every label has a series from the start, see `metrics/realtime.rs`.
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
