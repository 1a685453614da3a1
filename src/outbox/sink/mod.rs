//! Where messages go.

pub mod discord;

use std::time::Duration;

use crate::outbound::Fault;

/// Why a message did not arrive. Never holds an address: that may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
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

impl Failed {
    /// It failed as `why` says, and may be tried again whenever it suits.
    #[must_use]
    pub fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None }
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::later(fault.to_string())
    }
}
