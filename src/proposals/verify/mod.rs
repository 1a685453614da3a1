//! Verification of stored decisions: does the audit trail support each edition, verdict and protected change?
//!
//! Triggers enforce the rules for every writer. This check finds what the owner of the tables changed without them.

mod store;

use sha2::{Digest as _, Sha256};

use self::store::Content;
use crate::{
    compute,
    database::{Connection, OnSuccess, Pool, Transaction, TransactionError},
};

/// The number of editions read at once. An edition can have hundreds of values.
const PAGE: i64 = 100;

/// A decision or a change that the audit trail does not support.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// The content of an edition differs from its digest.
    #[error(
        "edition {edition} of proposal {proposal} was altered: its content differs from its digest"
    )]
    Altered {
        /// The number of the proposal.
        proposal: i64,
        /// The edition.
        edition: i32,
    },
    /// The value of an edition is missing, and no cleanup of secrets is recorded.
    #[error(
        "edition {edition} of proposal {proposal} has no value, and the audit trail has no cleanup of the secret"
    )]
    Redacted {
        /// The number of the proposal.
        proposal: i64,
        /// The edition.
        edition: i32,
    },
    /// An edition, a verdict or an end of a proposal without an entry of the trail.
    #[error(
        "the audit trail has no entry `{event}` by {person} of edition {edition} of proposal {proposal}"
    )]
    Unrecorded {
        /// The number of the proposal.
        proposal: i64,
        /// The edition.
        edition: i32,
        /// The event.
        event: String,
        /// The person.
        person: String,
    },
    /// An entry of the trail without the edition, verdict or end that the entry records.
    #[error(
        "proposal {proposal} lost or altered `{event}` by {person} of edition {edition}, which the audit trail records"
    )]
    Lost {
        /// The number of the proposal.
        proposal: i64,
        /// The edition.
        edition: i32,
        /// The event.
        event: String,
        /// The person.
        person: String,
    },
    /// A protected setting was changed without a proposal.
    #[error(
        "{key} is protected and was changed without a proposal in revision {revision} (audit entry {entry})"
    )]
    NoProposal {
        /// The number of the entry.
        entry: i64,
        /// The setting.
        key: String,
        /// The revision.
        revision: i64,
    },
    /// A protected setting was changed to another value than the proposal of the revision has.
    #[error("audit entry {entry} changed {key} to another value than proposal {proposal} has")]
    OtherValue {
        /// The number of the entry.
        entry: i64,
        /// The setting.
        key: String,
        /// The number of the proposal.
        proposal: i64,
    },
    /// A protected setting was changed without the approvals, or against an objection.
    #[error(
        "audit entry {entry} changed {key} by proposal {proposal} with {approvals} of {needed} approvals and \
         {objections} objections"
    )]
    NotApproved {
        /// The number of the entry.
        entry: i64,
        /// The setting.
        key: String,
        /// The number of the proposal.
        proposal: i64,
        /// The approvals by people who wrote no edition.
        approvals: i64,
        /// The approvals that were needed.
        needed: i64,
        /// The objections.
        objections: i64,
    },
}

/// The result of a verification.
#[derive(Debug, Default)]
pub struct Verification {
    /// The number of editions.
    pub editions: i64,
    /// The number of changes of protected settings since their protection.
    pub changes: i64,
    /// The number of those changes that somebody made in an emergency.
    pub emergencies: i64,
    /// The number of emergencies that nobody has acknowledged.
    pub unacknowledged: i64,
    /// The breaches; of each kind of query at most 100.
    pub breaches: Vec<Breach>,
}

/// Verifies every edition, verdict, end and protected change against the audit trail, whose chain
/// [`audit::verify`](crate::audit::verify) verifies.
pub async fn verify(pool: &Pool) -> Result<Verification, TransactionError> {
    // Without the limits of a request: the trail may be large.
    let mut transaction = Transaction::begin_unlimited(pool).await?;
    let result = run(transaction.conn()).await.map_err(TransactionError::from);
    // Nothing was written, so no commit is needed.
    transaction.finish(result, OnSuccess::Rollback).await
}

async fn run(conn: &mut Connection) -> sqlx::Result<Verification> {
    let mut verification = Verification::default();
    verify_editions(conn, &mut verification).await?;
    let differences = store::differences(conn).await?;
    verification.breaches.extend(differences.into_iter().map(Breach::from));
    let counts = store::counts(conn).await?;
    verification.changes = counts.changes;
    verification.emergencies = counts.emergencies;
    verification.unacknowledged = counts.unacknowledged;
    let changes = store::unsupported_changes(conn).await?;
    verification.breaches.extend(changes.into_iter().map(Breach::from));
    Ok(verification)
}

/// Computes the digest of every edition, page by page.
async fn verify_editions(
    conn: &mut Connection,
    verification: &mut Verification,
) -> sqlx::Result<()> {
    let mut position = (0, 0);
    loop {
        let page = store::contents(conn, position, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        position = (last.proposal, last.edition);
        verification.editions += i64::try_from(page.len()).unwrap_or(i64::MAX);
        let size = page.iter().map(|content| content.edits.len()).sum();
        // Hashing a page takes milliseconds, so the work leaves the runtime's workers.
        let breaches = compute::run(size, || page.iter().filter_map(check).collect::<Vec<_>>());
        verification.breaches.extend(breaches.await);
    }
}

fn check(content: &Content) -> Option<Breach> {
    let (proposal, edition) = (content.proposal, content.edition);
    match (&content.salt, content.is_redacted) {
        (Some(salt), false) => (digest(salt, content) != content.digest)
            .then_some(Breach::Altered { proposal, edition }),
        // The salt goes with a value, so the digest stands for the removed content.
        (None, true) => {
            (!content.is_cleanup_recorded).then_some(Breach::Redacted { proposal, edition })
        }
        (Some(_), true) | (None, false) => Some(Breach::Altered { proposal, edition }),
    }
}

/// Computes the digest like the trigger `brune_proposal_edition_write`.
fn digest(salt: &[u8], content: &Content) -> Vec<u8> {
    let mut hash = Sha256::new().chain_update(salt);
    // Lengths make the concatenation unambiguous.
    for field in [&content.edits, &content.plan, &content.reason] {
        hash.update(format!("{}:{field},", field.len()));
    }
    hash.finalize().to_vec()
}

impl From<store::Difference> for Breach {
    fn from(row: store::Difference) -> Self {
        let store::Difference { proposal, edition, event, person, is_recorded } = row;
        if is_recorded {
            Self::Lost { proposal, edition, event, person }
        } else {
            Self::Unrecorded { proposal, edition, event, person }
        }
    }
}

impl From<store::UnsupportedChange> for Breach {
    fn from(row: store::UnsupportedChange) -> Self {
        let store::UnsupportedChange { entry, key, revision, .. } = row;
        let Some(proposal) = row.proposal else {
            return Self::NoProposal { entry, key, revision };
        };
        if !row.is_same_value {
            return Self::OtherValue { entry, key, proposal };
        }
        let store::UnsupportedChange { approvals, needed, objections, .. } = row;
        Self::NotApproved { entry, key, proposal, approvals, needed, objections }
    }
}
