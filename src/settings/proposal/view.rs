//! A proposal as shown to people: content, verdicts, and the reasons why it cannot take effect now.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    database::{self, Connection, Pool},
    proposals::{
        self, ApprovalStatus, Edition, Failure, Plan, Proposal, ProposedValue, State, Verdict,
        VerdictKind,
    },
    settings::{
        current::GlobalSettingsService,
        entry::StoredSetting,
        proposal::{apply::needed_approvals, error::Error},
        schema::Schema,
        store,
    },
    text::hex,
};

/// A proposed value beside the current one.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProposedChange {
    /// The key.
    pub key: String,
    /// The proposed value.
    pub value: Value,
    /// The version that must be current before the change; null for a setting without a value.
    #[schema(required)]
    pub version: Option<i64>,
    /// The current value; null for a setting without a value.
    pub current_value: Option<Value>,
    /// The current version.
    #[schema(required)]
    pub current_version: Option<i32>,
    /// How many other people must approve a change of the setting today.
    pub needed: i16,
}

/// A reason why a proposal cannot take effect now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProposalBlock)]
pub struct Block {
    /// `not_approved`, `not_due`, `change_frozen`, `version_conflict`, `predecessor` or `invalid`.
    #[schema(example = "not_approved")]
    pub code: &'static str,
    /// The reason in words.
    pub detail: String,
}

/// Another open proposal that changes one of the settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProposalOverlap)]
pub struct Overlap {
    /// The number.
    pub number: i64,
    /// When the other proposal is applied by itself.
    #[schema(required)]
    pub at: Option<DateTime<Utc>>,
}

/// A proposal with an edition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Proposal)]
pub struct ProposalView {
    /// The number.
    pub number: i64,
    /// The state.
    pub state: State,
    /// The shown edition.
    pub edition: i32,
    /// The number of editions; the last one is current.
    pub editions: i32,
    /// SHA-256 of the content of the edition, in hexadecimal digits.
    pub digest: String,
    /// The reason of the edition.
    pub reason: String,
    /// The author of the edition.
    pub written_by: String,
    /// When the edition was written.
    pub written_at: DateTime<Utc>,
    /// The author of the first edition.
    pub created_by: String,
    /// When the proposal was made.
    pub created_at: DateTime<Utc>,
    /// The changes of the edition, by key.
    pub changes: Vec<ProposedChange>,
    /// When the edition takes effect.
    pub plan: Plan,
    /// The approvals and objections of the edition.
    pub standing: ApprovalStatus,
    /// All verdicts on all editions, oldest first.
    pub verdicts: Vec<Verdict>,
    /// Why an open proposal cannot take effect now; empty if it can.
    pub blocks: Vec<Block>,
    /// Other open proposals that change the same settings.
    pub overlaps: Vec<Overlap>,
    /// Who applied the proposal without its approvals, in an emergency.
    #[schema(required)]
    pub bypassed_by: Option<String>,
    /// Who acknowledged the emergency.
    #[schema(required)]
    pub acknowledged_by: Option<String>,
    /// The revision of the change.
    #[schema(required)]
    pub applied_revision: Option<i64>,
    /// Who ended the proposal.
    #[schema(required)]
    pub ended_by: Option<String>,
    /// Why the proposal ended.
    #[schema(required)]
    pub end_reason: Option<String>,
    /// When the proposal ended.
    #[schema(required)]
    pub ended_at: Option<DateTime<Utc>>,
    /// Why the proposal failed.
    #[schema(required)]
    pub failure: Option<Failure>,
}

/// Reads the proposal `number` with an edition, by default the current one.
///
/// # Errors
/// `NotFound`, also for an edition that does not exist.
pub async fn find_proposal(
    pool: &Pool,
    settings: &GlobalSettingsService,
    number: i64,
    edition: Option<i32>,
) -> Result<ProposalView, Error> {
    let snapshot = settings.snapshot();
    database::read_with_retry(pool, async |conn| {
        read(conn, &snapshot.schema, number, edition).await
    })
    .await
}

async fn read(
    conn: &mut Connection,
    schema: &Schema,
    number: i64,
    edition: Option<i32>,
) -> Result<ProposalView, Error> {
    let proposal = proposals::find(conn, number).await?.ok_or(Error::NotFound(number))?;
    let number_shown = edition.unwrap_or(proposal.edition);
    let content = proposals::find_edition(conn, proposal.id, number_shown).await?;
    let content = content.ok_or(Error::NotFound(number))?;
    let needed = needed_approvals(schema, &content);
    let approval_status =
        proposals::approval_status(conn, proposal.id, number_shown, needed).await?;
    let verdicts = proposals::verdicts(conn, proposal.id).await?;
    let keys: Vec<String> = content.edits.keys().cloned().collect();
    let rows = store::some(conn, &keys).await?;
    let is_open = proposal.state == State::Open && number_shown == proposal.edition;
    let (blocks, overlaps) = if is_open {
        (
            blocks(conn, &proposal, &content, &approval_status, &rows).await?,
            proposals::overlapping(conn, number, &keys).await?,
        )
    } else {
        (Vec::new(), Vec::new())
    };
    let acknowledged = verdicts.iter().find(|verdict| {
        verdict.verdict == VerdictKind::Acknowledge.as_str() && proposal.bypassed_by.is_some()
    });
    let acknowledged_by = acknowledged.map(|verdict| verdict.given_by.clone());
    let Edition { reason, written_by, edits, plan, digest, written_at, .. } = content;
    Ok(ProposalView {
        number,
        state: proposal.state,
        edition: number_shown,
        editions: proposal.edition,
        digest: hex(&digest),
        reason,
        written_by,
        written_at,
        created_by: proposal.created_by,
        created_at: proposal.created_at,
        changes: edits.into_iter().map(|edit| proposed_change(schema, &rows, edit)).collect(),
        plan,
        standing: approval_status,
        verdicts,
        blocks,
        overlaps: overlaps.into_iter().map(|(number, at)| Overlap { number, at }).collect(),
        bypassed_by: proposal.bypassed_by,
        acknowledged_by,
        applied_revision: proposal.applied_revision,
        ended_by: proposal.ended_by,
        end_reason: proposal.end_reason,
        ended_at: proposal.ended_at,
        failure: proposal.failure,
    })
}

fn proposed_change(
    schema: &Schema,
    rows: &[StoredSetting],
    (key, proposed): (String, ProposedValue),
) -> ProposedChange {
    let current = rows.iter().find(|row| row.key == key);
    ProposedChange {
        value: proposed.value,
        version: proposed.version,
        current_value: current.and_then(|row| row.value.clone()),
        current_version: current.and_then(|row| row.version),
        needed: schema.find(&key).map_or(0, |definition| definition.approvals),
        key,
    }
}

/// Returns every reason why the current edition of an open proposal cannot take effect now.
async fn blocks(
    conn: &mut Connection,
    proposal: &Proposal,
    content: &Edition,
    approval_status: &ApprovalStatus,
    rows: &[StoredSetting],
) -> Result<Vec<Block>, Error> {
    let mut blocks = Vec::new();
    let mut block = |code, detail: String| blocks.push(Block { code, detail });
    if !approval_status.is_approved() {
        block("not_approved", Error::NotApproved(Box::new(approval_status.clone())).to_string());
    }
    if let Some(due_at) = proposal.due_at.filter(|due_at| *due_at > proposal.read_at) {
        block("not_due", Error::NotDue(due_at).to_string());
    }
    if let Some(freeze) = proposals::active_freeze(conn).await? {
        block("change_frozen", crate::settings::Error::Frozen(Box::new(freeze)).to_string());
    }
    let mut predecessor_versions = BTreeMap::new();
    if let Some(after) = content.plan.after {
        let predecessor = proposals::find(conn, after).await?;
        if predecessor.is_none_or(|proposal| proposal.state != State::Applied) {
            block("predecessor", Error::Predecessor(after).to_string());
        }
        let keys: Vec<_> = content.edits.keys().cloned().collect();
        predecessor_versions = proposals::versions_written_by(conn, after, &keys).await?;
    }
    let stale_keys: Vec<_> = content
        .edits
        .iter()
        .filter(|(key, proposed)| {
            let current = rows.iter().find(|row| row.key == **key).and_then(|row| row.version);
            let expected = predecessor_versions.get(*key).copied().or(proposed.version);
            // Without an expected version, the predecessor sets the version when it is applied.
            expected.is_some() && current.map(i64::from) != expected
        })
        .map(|(key, _)| key.as_str())
        .collect();
    if !stale_keys.is_empty() {
        block("version_conflict", format!("changed meanwhile: {}", stale_keys.join(", ")));
    }
    Ok(blocks)
}
