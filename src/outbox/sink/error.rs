//! Delivery errors.

use std::time::Duration;

use crate::outbound::OutboundError;

/// Why a message was not delivered. Never contains an address, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Delivery may succeed later.
    #[error("{why}")]
    Later {
        /// The cause.
        why: String,
        /// The pause that the sink asked for, if any.
        after: Option<Duration>,
    },
    /// The sink rejects the message permanently, but may accept others.
    #[error("{0}")]
    Refused(String),
    /// The address is permanently invalid and must not be called again.
    #[error("{0}")]
    Gone(String),
}

impl DeliveryError {
    /// Creates an error for a retry without a given pause.
    #[must_use]
    pub fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None }
    }
}

impl From<OutboundError> for DeliveryError {
    fn from(error: OutboundError) -> Self {
        // Retried even with an unknown outcome, because delivery is at least once.
        Self::later(error.to_string())
    }
}
