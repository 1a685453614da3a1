//! The one write path: keep secrets out, resolve, lock, compare versions, check the whole, write, audit. Everything that
//! changes a setting ends here, so a rule added here holds everywhere.

mod apply;
mod notice;
mod outcome;
mod screen;

pub use outcome::{Changed, ChangedKey, Conflict, Error, SecretFound};
pub(super) use screen::{UNDECLARED, find_in_values, name, screen};

use std::collections::HashSet;

use crate::{
    audit::{self, Action, Actor, NewEntry, Reason},
    compute,
    database::{Connection, Deadline, OnSuccess, Pool, Retry, Transaction},
    idempotency,
    json::StrictJson,
    settings::{
        change::apply::{Batch, Resolved},
        reload,
        rules::{self, Violation},
        schema::{Definition, KeyClass, Schema},
        service::GlobalSettingsService,
        value::SettingValue,
    },
};

/// One wished-for value, as it came in.
#[derive(Debug, Clone)]
pub struct Edit {
    /// What to change.
    pub key: String,
    /// What to.
    pub value: StrictJson,
    /// The version it must still be at; may be left out when the whole's revision is given.
    pub version: Option<i64>,
}

/// What is asked of a write, whatever it writes.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// The revisions of which one must still be current (`If-Match`).
    pub revisions: Option<Vec<i64>>,
    /// Leave out what may not be written, and apply the rest (`Prefer: handling=lenient`).
    pub lenient: bool,
    /// Check everything, store nothing.
    pub dry_run: bool,
    /// What makes a repeat the same request.
    pub idempotency: Option<idempotency::Key>,
}

/// Applies `edits` in one transaction, all or nothing.
pub async fn update(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    edits: &[Edit],
    terms: &WriteOptions,
) -> Result<Changed, Error> {
    update_as(Action::Update, pool, settings, actor, edits, terms).await
}

/// [`update`], told on the trail as `action`.
pub(super) async fn update_as(
    action: Action,
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    edits: &[Edit],
    terms: &WriteOptions,
) -> Result<Changed, Error> {
    let deadline = Deadline::standard();
    let mut attempts = Retry::until(deadline);
    loop {
        let batch = RequestedChange { action, actor, edits, terms };
        let result = attempt(pool, settings, &batch, deadline).await;
        match result {
            Err(Error::CatalogMoved) if attempts.next().await => {
                reload::refresh(pool, settings).await?;
            }
            Err(Error::Database(failure)) if failure.is_transient() && attempts.next().await => (),
            result => {
                if result.as_ref().is_ok_and(|it| !it.changed.is_empty()) && !terms.dry_run {
                    settings.notify_local_write();
                    settings.outbox().wake();
                }
                return result;
            }
        }
    }
}

/// A change set as it is asked for.
struct RequestedChange<'a> {
    action: Action,
    actor: &'a Actor,
    edits: &'a [Edit],
    terms: &'a WriteOptions,
}

async fn attempt(
    pool: &Pool,
    settings: &GlobalSettingsService,
    wanted: &RequestedChange<'_>,
    deadline: Deadline,
) -> Result<Changed, Error> {
    let &RequestedChange { action, actor, edits, terms } = wanted;
    let snapshot = settings.snapshot();
    let (scanner, schema) = (settings.secret_scanner(), &snapshot.schema);
    let (found, checked) = compute::run(size(edits), || {
        let found = screen::find(scanner, schema, &actor.reason, edits);
        let checked = resolve(schema, edits, terms.lenient, found.as_ref());
        (found, checked)
    })
    .await;
    let (resolved, refused) = match checked {
        Err(refusal @ (Error::Locked(_) | Error::SecretLike(_))) => {
            if !terms.dry_run {
                let keys = screen::concerned(schema, edits, found.as_ref());
                refuse(pool, settings, actor, &keys).await?;
            }
            return Err(refusal);
        }
        resolved => resolved?,
    };
    let mut work = Transaction::begin(pool, deadline).await?;
    let batch = Batch { action, actor, edits: &resolved, refused: &refused, terms };
    let done = deadline.within(store_once(work.conn(), settings, schema, &batch)).await;
    work.finish(done, ending(terms)).await
}

/// Bytes that checking `edits` goes through.
fn size(edits: &[Edit]) -> usize {
    edits.iter().map(|edit| edit.key.len() + edit.value.size()).sum()
}

/// How the transaction of a write ends when nothing is wrong.
pub(super) fn ending(terms: &WriteOptions) -> OnSuccess {
    if terms.dry_run { OnSuccess::Rollback } else { OnSuccess::Commit }
}

/// Leaves a trace of an attempt on `keys`, without values, and without a reason that looks like a secret.
pub(super) async fn refuse(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    keys: &[String],
) -> Result<(), Error> {
    let mut actor = actor.clone();
    if settings.secret_scanner().scan(actor.reason.as_str()).is_some() {
        actor.reason = Reason::withheld();
    }
    let entries: Vec<NewEntry> = keys.iter().map(|key| NewEntry::refused(key)).collect();
    let deadline = Deadline::standard();
    let mut work = Transaction::begin(pool, deadline).await?;
    let written = async {
        audit::append(work.conn(), &actor, entries).await?;
        Ok::<_, Error>(notice::refused(work.conn(), settings, &actor, keys).await?)
    };
    let written = deadline.within(written).await;
    work.finish(written, OnSuccess::Commit).await?;
    settings.outbox().wake();
    Ok(())
}

/// The edits with their declarations and values, and the keys that were left out; or everything wrong
/// with them. What may not be written outranks what looks like a secret (`found`), and that what is
/// invalid.
fn resolve<'s>(
    schema: &'s Schema,
    edits: &[Edit],
    lenient: bool,
    found: Option<&SecretFound>,
) -> Result<(Vec<Resolved<'s>>, Vec<String>), Error> {
    let (mut resolved, mut locked, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let mut locked_once = HashSet::new();
    for edit in edits {
        match schema.classify_lookalike(&edit.key) {
            KeyClass::Locked(definition) if !locked_once.insert(&definition.key) => (),
            KeyClass::Locked(definition) => locked.push(definition.key.clone()),
            KeyClass::Unknown => faults.push(Violation::unknown(&edit.key)),
            KeyClass::Editable(definition) => match read(definition, &edit.value) {
                Ok(value) => resolved.push(Resolved { definition, value, version: edit.version }),
                Err(violations) => faults.extend(violations),
            },
        }
    }
    if !locked.is_empty() && !lenient {
        return Err(Error::Locked(locked));
    }
    if let Some(found) = found {
        return Err(Error::SecretLike(found.clone()));
    }
    if !faults.is_empty() {
        return Err(Error::Invalid(faults));
    }
    Ok((resolved, locked))
}

/// Reads `json` as a value of `definition` that may stand on its own.
pub(super) fn read(
    definition: &Definition,
    json: &StrictJson,
) -> Result<SettingValue, Vec<Violation>> {
    let value = SettingValue::parse(definition.value_type, json)
        .map_err(|mismatch| vec![Violation::type_mismatch(definition, mismatch)])?;
    let mut violations = rules::check_alone(definition, &value);
    violations.extend(rules::check_characters(&definition.key, &value));
    if violations.is_empty() { Ok(value) } else { Err(violations) }
}

/// Stores a batch, or answers as the first time when it was stored before.
async fn store_once(
    conn: &mut Connection,
    settings: &GlobalSettingsService,
    schema: &Schema,
    batch: &Batch<'_>,
) -> Result<Changed, Error> {
    let head = apply::lock(conn, schema).await?;
    if let Some(key) = &batch.terms.idempotency
        && let Some(first) = idempotency::find(conn, key).await??
    {
        return Ok(first);
    }
    let changed = apply::apply(conn, schema, &head, batch).await?;
    if !batch.terms.dry_run {
        notice::changed(conn, settings, batch.action, batch.actor, &changed).await?;
        if !changed.ignored.is_empty() {
            notice::refused(conn, settings, batch.actor, &changed.ignored).await?;
        }
    }
    if let Some(key) = &batch.terms.idempotency {
        idempotency::store(conn, key, &changed).await?;
    }
    Ok(changed)
}
