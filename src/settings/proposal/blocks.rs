//! Why an open proposal cannot take effect now: the checks of an application, without the application.

use std::{collections::BTreeMap, slice};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    audit::Reason,
    compute,
    database::Connection,
    proposals::{self, ApprovalStatus, Edition, Proposal, ProposedValue, State},
    secret_scanner::SecretScanner,
    settings::{
        change::{self, Edit, Error as ChangeError, ResolvedEdit},
        proposal::{
            apply::{edits_of, redacted},
            error::Error,
            rollout::not_rollable,
        },
        rules::Violation,
        schema::Schema,
        value::SettingValue,
    },
};

/// A reason why a proposal cannot take effect now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProposalBlock)]
pub struct Block {
    /// `not_approved`, `not_due`, `change_frozen`, `predecessor`, `version_conflict`, `rollout_running`,
    /// `rollout_conflict`, `not_rollable` or `invalid`; `invalid` and `rollout_conflict` once for each error.
    #[schema(example = "not_approved")]
    pub code: &'static str,
    /// The reason in words.
    pub detail: String,
}

impl Block {
    fn new(code: &'static str, detail: &impl ToString) -> Self {
        Self { code, detail: detail.to_string() }
    }

    fn invalid(detail: String) -> Self {
        Self { code: "invalid", detail }
    }
}

/// The declarations and the secrets by which an edition is checked.
pub(super) struct Checker<'a> {
    pub(super) schema: &'a Schema,
    pub(super) scanner: &'a SecretScanner,
}

/// The results of the proposal on which an edition builds.
#[derive(Default)]
struct Predecessor {
    /// The versions that an applied predecessor wrote.
    versions: BTreeMap<String, i64>,
    /// The values that an open predecessor will write.
    values: BTreeMap<String, ProposedValue>,
    block: Option<Block>,
}

/// Returns every reason why the current edition of an open proposal cannot take effect now.
pub(super) async fn blocks(
    conn: &mut Connection,
    checker: &Checker<'_>,
    (proposal, content): (&Proposal, &Edition),
    approval_status: &ApprovalStatus,
) -> Result<Vec<Block>, Error> {
    let mut blocks = Vec::new();
    if !approval_status.is_approved() {
        let reason = Error::NotApproved(Box::new(approval_status.clone()));
        blocks.push(Block::new("not_approved", &reason));
    }
    if let Some(due_at) = proposal.due_at.filter(|due_at| *due_at > proposal.read_at) {
        blocks.push(Block::new("not_due", &Error::NotDue(due_at)));
    }
    if let Some(freeze) = proposals::active_freeze(conn).await? {
        blocks.push(Block::new("change_frozen", &ChangeError::Frozen(Box::new(freeze))));
    }
    let mut predecessor = find_predecessor(conn, content).await?;
    blocks.extend(predecessor.block.take());
    blocks.extend(content_blocks(conn, checker, content, &predecessor).await?);
    Ok(blocks)
}

async fn find_predecessor(conn: &mut Connection, content: &Edition) -> Result<Predecessor, Error> {
    let Some(after) = content.plan.after else { return Ok(Predecessor::default()) };
    let block = |state| Some(Block::new("predecessor", &Error::Predecessor(after, state)));
    let Some(earlier) = proposals::find(conn, after).await? else {
        return Ok(Predecessor { block: block(State::Open), ..Predecessor::default() });
    };
    if earlier.state == State::Applied {
        let keys: Vec<_> = content.edits.keys().cloned().collect();
        let versions = proposals::versions_written_by(conn, after, &keys).await?;
        return Ok(Predecessor { versions, ..Predecessor::default() });
    }
    let edition = proposals::find_edition(conn, earlier.id, earlier.edition).await?;
    let values = edition.map(|edition| edition.edits).unwrap_or_default();
    Ok(Predecessor { values, block: block(earlier.state), ..Predecessor::default() })
}

/// Returns the errors that an application of `content` would have.
async fn content_blocks(
    conn: &mut Connection,
    checker: &Checker<'_>,
    content: &Edition,
    predecessor: &Predecessor,
) -> Result<Vec<Block>, Error> {
    let schema = checker.schema;
    let edits = edits_of(content, &predecessor.versions);
    let (resolved, mut invalid) = resolve(checker, content, &edits).await?;
    let before = change::current_entries(conn, schema, &resolved).await?;
    let conflicts = change::version_conflicts(conn, schema, &resolved, &before).await?;
    let stale_keys: Vec<_> = conflicts.iter().map(|conflict| conflict.key.as_str()).collect();
    let earlier = change::proposed_values(schema, &predecessor.values);
    let value_before =
        |key: &str| earlier.get(key).or_else(|| before.get(key).map(|entry| &entry.value));
    invalid.extend(change::check_related(schema, &resolved, value_before).iter().map(sentence));
    let is_change =
        |edit: &ResolvedEdit<'_>| value_before(&edit.definition.key) != Some(&edit.value);
    if invalid.is_empty() && conflicts.is_empty() && !resolved.iter().any(is_change) {
        invalid.push(Error::NothingChanges.to_string());
    }
    let stale = (!stale_keys.is_empty()).then(|| {
        Block::new("version_conflict", &format!("changed meanwhile: {}", stale_keys.join(", ")))
    });
    let rollout_blocks = rollout_blocks(conn, schema, content, &resolved, &value_before).await?;
    let invalid = invalid.into_iter().map(Block::invalid);
    Ok(stale.into_iter().chain(invalid).chain(rollout_blocks).collect())
}

/// Returns why the running rollout, if any, prevents the application of `content`, and why the rollout of `content`
/// cannot begin.
async fn rollout_blocks<'v>(
    conn: &mut Connection,
    schema: &Schema,
    content: &Edition,
    edits: &'v [ResolvedEdit<'_>],
    value_before: impl Fn(&str) -> Option<&'v SettingValue>,
) -> Result<Vec<Block>, Error> {
    let mut blocks = Vec::new();
    let keys = not_rollable(schema, content);
    if !keys.is_empty() {
        blocks.push(Block::new("not_rollable", &Error::NotRollable(keys)));
    }
    let Some(running) = change::current_rollout(conn).await? else { return Ok(blocks) };
    // Any running rollout prevents another one, whatever the settings.
    let obstacle = match content.plan.rollout {
        Some(_) => Some(running.running()),
        None => running.obstacle(schema, edits, value_before),
    };
    match obstacle {
        Some(ChangeError::RolloutConflict { violations, .. }) => blocks.extend(
            violations.iter().map(|error| Block::new("rollout_conflict", &sentence(error))),
        ),
        Some(err) => blocks.push(Block::new("rollout_running", &err)),
        None => (),
    }
    Ok(blocks)
}

/// Returns the edits that are valid by themselves, and the errors of the others.
async fn resolve<'s>(
    checker: &Checker<'s>,
    content: &Edition,
    edits: &[Edit],
) -> Result<(Vec<ResolvedEdit<'s>>, Vec<String>), Error> {
    let schema = checker.schema;
    // The database accepts no reason that `parse` refuses.
    let reason = Reason::parse(&content.reason).unwrap_or_else(|_| Reason::withheld());
    let scan = || change::scan(checker.scanner, schema, &reason, edits.iter());
    let matches = compute::run(change::size(edits.iter()), scan).await.unwrap_or_default();
    let mut sentences: Vec<_> = matches.violations().iter().map(sentence).collect();
    sentences.extend(matches.reason.map(|kind| format!("the reason {}", kind.detail())));
    let redacted: Vec<_> = redacted(schema, content).collect();
    sentences.extend(redacted.iter().map(|key| sentence(&Violation::redacted(key))));
    let mut resolved = Vec::new();
    // One by one, because an application stops at the first kind of error.
    for edit in edits.iter().filter(|edit| !redacted.contains(&edit.key.as_str())) {
        match change::resolve(schema, slice::from_ref(edit), false, None) {
            Ok((edit, _)) => resolved.extend(edit),
            Err(ChangeError::Locked(keys)) => sentences.extend(
                keys.iter().map(|key| format!("{key} is a secret or part of the infrastructure")),
            ),
            Err(ChangeError::Invalid(violations)) => {
                sentences.extend(violations.iter().map(sentence));
            }
            Err(err) => return Err(err.into()),
        }
    }
    Ok((resolved, sentences))
}

fn sentence(violation: &Violation) -> String {
    let Violation { key, code, detail, .. } = violation;
    if *code == Violation::UNKNOWN_KEY {
        return format!("{key} is not a setting of the catalog");
    }
    format!("{key} {detail}")
}
