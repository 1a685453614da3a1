//! The content of a new edition: validated as the change would be if it were applied now.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::{
    database::Connection,
    proposals::{self, NewEdition, Plan, ProposedValue, State},
    settings::{
        change::{self, Edit, Error as ChangeError, ResolvedEdit},
        entry::Entry,
        proposal::{error::Error, rollout::require_rollable},
        schema::Schema,
    },
};

/// The longest time until a schedule.
const MAX_AHEAD: TimeDelta = TimeDelta::days(366);

/// The longest grace period, a week.
const MAX_GRACE_MINUTES: i32 = 7 * 24 * 60;

/// A proposed change set, as requested.
#[derive(Debug, Clone)]
pub struct ProposalChange {
    /// The changes.
    pub edits: Vec<Edit>,
    /// When the changes take effect.
    pub plan: Plan,
}

/// Validates `change` under the lock. `number` is the number of an existing proposal.
pub(super) async fn draft(
    conn: &mut Connection,
    schema: &Schema,
    change: &ProposalChange,
    number: Option<i64>,
) -> Result<NewEdition, Error> {
    let plan = &change.plan;
    check_schedule(conn, plan).await?;
    let predecessor_values = predecessor_values(conn, plan, number).await?;
    let (edits, _) = change::resolve(schema, &change.edits, false, None)?;
    let keys = edits.iter().map(|edit| edit.definition.key.as_str());
    // Other settings take effect at once for everybody, so a rollout could not compare users.
    if plan.rollout.is_some() {
        require_rollable(schema, keys)?;
    }
    // The predecessor determines the version of the settings that both change.
    let is_inherited =
        |edit: &ResolvedEdit<'_>| predecessor_values.contains_key(&edit.definition.key);
    let without_version = edits.iter().filter(|edit| edit.version.is_none() && !is_inherited(edit));
    let keys: Vec<_> = without_version.map(|edit| edit.definition.key.clone()).collect();
    if !keys.is_empty() {
        return Err(ChangeError::VersionRequired(keys).into());
    }
    let before = change::current_entries(conn, schema, &edits).await?;
    // Also of a setting that the predecessor changes: nobody knows the version that the predecessor will write.
    let conflicts = change::version_conflicts(conn, schema, &edits, &before).await?;
    if !conflicts.is_empty() {
        return Err(ChangeError::Stale(conflicts).into());
    }
    check_result(schema, &edits, &before, &predecessor_values)?;
    let edits = edits.iter().map(|edit| {
        let key = edit.definition.key.clone();
        // Without a version, the current version counts if the predecessor does not change the setting.
        let version =
            before.get(&key).map(|entry| edit.version.unwrap_or_else(|| i64::from(entry.version)));
        (key, ProposedValue { value: edit.value.to_json(), redacted: false, version })
    });
    Ok(NewEdition { edits: edits.collect(), plan: plan.clone() })
}

/// Checks the time of `plan` by the database's clock.
async fn check_schedule(conn: &mut Connection, plan: &Plan) -> Result<(), Error> {
    let invalid = |field, detail: &str| Err(Error::Plan { field, detail: detail.to_owned() });
    let Some(at) = plan.at else {
        return match plan.grace_minutes {
            Some(_) => invalid("grace_minutes", "requires `at`"),
            None => Ok(()),
        };
    };
    let now = proposals::now(conn).await?;
    if at <= now {
        return invalid("at", "must be in the future");
    }
    if at > now + MAX_AHEAD {
        return invalid("at", "must be within 366 days");
    }
    match plan.grace_minutes {
        // At least a minute, because workers check only every second.
        Some(minutes) if !(1..=MAX_GRACE_MINUTES).contains(&minutes) => {
            invalid("grace_minutes", "must be 1 to 10080")
        }
        _ => Ok(()),
    }
}

/// Returns the values of the proposal on which `plan` builds, by key.
async fn predecessor_values(
    conn: &mut Connection,
    plan: &Plan,
    number: Option<i64>,
) -> Result<BTreeMap<String, ProposedValue>, Error> {
    let Some(after) = plan.after else { return Ok(BTreeMap::new()) };
    let invalid = |detail: &str| Error::Plan { field: "after", detail: detail.to_owned() };
    // Only earlier numbers, so that no two proposals wait for each other.
    if number.is_some_and(|number| after >= number) {
        return Err(invalid("must be the number of an earlier proposal"));
    }
    let predecessor = proposals::find(conn, after).await?;
    let predecessor = predecessor.ok_or_else(|| invalid("must be the number of a proposal"))?;
    if !matches!(predecessor.state, State::Open | State::Rolling | State::Applied) {
        return Err(invalid("must be a proposal that is open, rolling or applied"));
    }
    let edition = proposals::find_edition(conn, predecessor.id, predecessor.edition).await?;
    Ok(edition.map(|edition| edition.edits).unwrap_or_default())
}

/// Checks the settings as they would be after the change, and that the change has an effect.
fn check_result(
    schema: &Schema,
    edits: &[ResolvedEdit<'_>],
    before: &BTreeMap<String, Entry>,
    predecessor_values: &BTreeMap<String, ProposedValue>,
) -> Result<(), Error> {
    let inherited = change::proposed_values(schema, predecessor_values);
    let value_before =
        |key: &str| inherited.get(key).or_else(|| before.get(key).map(|entry| &entry.value));
    let violations = change::check_related(schema, edits, value_before);
    if !violations.is_empty() {
        return Err(ChangeError::Invalid(violations).into());
    }
    let changes = |edit: &ResolvedEdit<'_>| value_before(&edit.definition.key) != Some(&edit.value);
    if edits.iter().any(changes) { Ok(()) } else { Err(Error::NothingChanges) }
}
