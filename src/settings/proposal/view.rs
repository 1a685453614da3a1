//! A proposal as shown to people: content, verdicts, and the reasons why it cannot take effect now.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    database::{self, Connection},
    proposals::{self, ApprovalStatus, Edition, Failure, Plan, ProposedValue, State, Verdict},
    settings::{
        entry::StoredSetting,
        proposal::{
            apply::needed_approvals,
            blocks::{Block, Checker, blocks},
            error::Error,
        },
        schema::{Kind, Schema},
        store,
        writer::SettingsWriter,
    },
    text::hex,
};

/// The longest list of verdicts of a proposal.
const MAX_VERDICTS: i64 = 100;

/// The longest list of overlapping proposals.
const MAX_OVERLAPS: i64 = 50;

/// A proposed value beside the current one.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProposedChange {
    /// The key.
    pub key: String,
    /// The proposed value; null if redacted.
    pub value: Value,
    /// Whether the value was removed because the key is a secret, or was one. Such an edition is never applied.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub redacted: bool,
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
    /// SHA-256 of the content of the edition and of a random salt, in hexadecimal digits.
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
    /// The newest 100 verdicts on all editions, oldest first. `standing` has every verdict that counts.
    pub verdicts: Vec<Verdict>,
    /// The number of all verdicts.
    pub verdict_count: i64,
    /// Why an open proposal cannot take effect now; empty if it can.
    pub blocks: Vec<Block>,
    /// The newest 50 other open proposals that change the same settings, oldest first.
    pub overlaps: Vec<Overlap>,
    /// The number of all open proposals that change the same settings.
    pub overlap_count: i64,
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
    writer: &SettingsWriter,
    number: i64,
    edition: Option<i32>,
) -> Result<ProposalView, Error> {
    let snapshot = writer.settings.snapshot();
    let checker = Checker { schema: &snapshot.schema, scanner: &writer.scanner };
    database::read_with_retry(&writer.pool, async |conn| {
        read(conn, &checker, number, edition).await
    })
    .await
}

async fn read(
    conn: &mut Connection,
    checker: &Checker<'_>,
    number: i64,
    edition: Option<i32>,
) -> Result<ProposalView, Error> {
    let schema = checker.schema;
    let proposal = proposals::find(conn, number).await?.ok_or(Error::NotFound(number))?;
    let number_shown = edition.unwrap_or(proposal.edition);
    let content = proposals::find_edition(conn, proposal.id, number_shown).await?;
    let content = content.ok_or(Error::EditionNotFound { number, edition: number_shown })?;
    let needed = needed_approvals(schema, &content);
    let approval_status =
        proposals::approval_status(conn, proposal.id, number_shown, needed).await?;
    let (verdicts, verdict_count) =
        proposals::newest_verdicts(conn, proposal.id, MAX_VERDICTS).await?;
    let keys: Vec<String> = content.edits.keys().cloned().collect();
    let rows = store::some(conn, &keys).await?;
    let is_open = proposal.state == State::Open && number_shown == proposal.edition;
    let (blocks, (overlaps, overlap_count)) = if is_open {
        (
            blocks(conn, checker, (&proposal, &content), &approval_status).await?,
            proposals::overlapping(conn, number, &keys, MAX_OVERLAPS).await?,
        )
    } else {
        (Vec::new(), (Vec::new(), 0))
    };
    let acknowledged_by = match proposal.bypassed_by {
        Some(_) => proposals::first_acknowledgement(conn, proposal.id).await?,
        None => None,
    };
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
        verdict_count,
        blocks,
        overlaps: overlaps.into_iter().map(|(number, at)| Overlap { number, at }).collect(),
        overlap_count,
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
    // An older release may have stored the value of a secret among the settings.
    let is_secret = schema.find(&key).is_some_and(|definition| definition.kind == Kind::Secret);
    let current = rows.iter().find(|row| row.key == key && !is_secret && !proposed.redacted);
    ProposedChange {
        value: proposed.value,
        redacted: proposed.redacted,
        version: proposed.version,
        current_value: current.and_then(|row| row.value.clone()),
        current_version: current.and_then(|row| row.version),
        needed: schema.find(&key).map_or(0, |definition| definition.approvals),
        key,
    }
}
