//! The errors of statements and transactions.

use std::error::Error as _;

use crate::database::sqlstate::{Class, classify};

/// A failed statement or transaction.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// The database is unreachable, overloaded or too slow. Nothing was stored.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// An operator has to act: the disk is full, a privilege is missing, a trigger of somebody else raises an error.
    /// Nothing was stored.
    #[error("the database rejected the statement until an operator intervenes")]
    Blocked(#[source] sqlx::Error),
    /// The audit entry of a change was rejected, so nothing was stored.
    #[error("the audit entry could not be inserted")]
    Unrecorded(#[source] sqlx::Error),
    /// COMMIT was sent and not acknowledged: the change may or may not be stored.
    #[error("the database did not say whether the change was committed")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// A bug: the statement is wrong, or violates a constraint that should hold.
    #[error("the database refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl TransactionError {
    /// Classifies an error of an insert into the audit trail: a change without its entry is never stored.
    #[must_use]
    pub fn from_audit_insert(err: sqlx::Error) -> Self {
        // A lost connection says nothing about the entry, so such an error stays retryable.
        if is_unavailable(&err) { Self::Unavailable(err) } else { Self::Unrecorded(err) }
    }

    /// Whether a retry may succeed and nothing was stored.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(source) => !is_timeout(source),
            Self::OutcomeUnknown(_) | Self::Refused(_) | Self::Blocked(_) | Self::Unrecorded(_) => {
                false
            }
        }
    }

    /// Whether the change may or may not be stored.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown(_))
    }

    /// Whether a stored value cannot be read, such as a number beyond the range of a float.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Refused(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)))
    }

    /// Whether a retry may succeed, for work that first finds out whether the attempt before was stored.
    #[must_use]
    pub fn is_transient_or_outcome_unknown(&self) -> bool {
        self.is_transient() || self.is_outcome_unknown()
    }

    /// Returns the name of the violated constraint.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        let source = self.source()?.downcast_ref::<sqlx::Error>()?;
        source.as_database_error()?.constraint()
    }
}

impl From<sqlx::Error> for TransactionError {
    fn from(err: sqlx::Error) -> Self {
        if is_unavailable(&err) {
            Self::Unavailable(err)
        } else if needs_operator(&err) {
            Self::Blocked(err)
        } else {
            Self::Refused(err)
        }
    }
}

fn is_unavailable(err: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match err {
        // `Protocol` is a connection out of step with the server; a new connection may work.
        E::Io(_)
        | E::Tls(_)
        | E::PoolTimedOut
        | E::PoolClosed
        | E::WorkerCrashed
        | E::Protocol(_) => true,
        E::Database(source) => {
            source.code().is_some_and(|code| classify(&code) == Class::Transient)
        }
        _ => false,
    }
}

fn needs_operator(err: &sqlx::Error) -> bool {
    let code = err.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| classify(&code) == Class::Operator)
}

/// Whether the deadline was spent on waiting, so that no time is left for a retry.
fn is_timeout(err: &sqlx::Error) -> bool {
    matches!(err, sqlx::Error::PoolTimedOut)
}

/// Whether the cause of `err` is a lost connection or another transient state of the server.
pub(super) fn is_retryable(err: &(dyn std::error::Error + 'static)) -> bool {
    match err.downcast_ref::<sqlx::Error>() {
        Some(cause) => is_unavailable(cause) && !is_timeout(cause),
        // Errors of use cases wrap the error of the driver.
        None => err.source().is_some_and(is_retryable),
    }
}
