//! The check under the lock that a change has its approvals. The database checks the same at the commit.

use crate::{
    audit::Actor,
    database::Connection,
    proposals::{self, Applied, NewEdition, Plan, ProposedValue},
    settings::{
        change::{
            edit::Approval,
            outcome::{ChangeResult, Error, ProtectedKey},
        },
        schema::Definition,
    },
};

/// Checks that no freeze and no missing approval prevents a change of the settings `changing`.
///
/// # Errors
/// `ApprovalRequired` for protected settings, `Frozen` in a freeze.
pub(in crate::settings) async fn check(
    conn: &mut Connection,
    changing: &[&Definition],
    approval: Approval,
) -> Result<(), Error> {
    if changing.is_empty() || approval == Approval::Emergency {
        return Ok(());
    }
    if let Some(freeze) = proposals::active_freeze(conn).await? {
        return Err(Error::Frozen(Box::new(freeze)));
    }
    let protected: Vec<_> = match approval {
        Approval::None => protected_keys(changing).collect(),
        Approval::Emergency | Approval::Proposal | Approval::Promotion => Vec::new(),
    };
    if protected.is_empty() { Ok(()) } else { Err(Error::ApprovalRequired(protected)) }
}

fn protected_keys(changing: &[&Definition]) -> impl Iterator<Item = ProtectedKey> {
    let protected = changing.iter().filter(|definition| definition.approvals > 0);
    protected.map(|definition| ProtectedKey {
        key: definition.key.clone(),
        needed: definition.approvals,
    })
}

/// Records an emergency in the transaction of its change: an applied proposal, which somebody else has to acknowledge.
/// Returns the number.
pub(in crate::settings) async fn record_emergency(
    conn: &mut Connection,
    actor: &Actor,
    result: &ChangeResult,
) -> sqlx::Result<i64> {
    let edits = result.changed.iter().map(|change| {
        let version = i64::from(change.version) - 1;
        let version = (version > 0).then_some(version);
        let value = change.new_value.to_json();
        (change.key.clone(), ProposedValue { value, redacted: false, version })
    });
    let content = NewEdition { edits: edits.collect(), plan: Plan::default() };
    let number = proposals::insert(conn, actor, &content).await?;
    let applied = Applied { revision: result.revision, is_emergency: true, evidence: None };
    proposals::mark_applied(conn, number, actor, applied).await?;
    Ok(number)
}
