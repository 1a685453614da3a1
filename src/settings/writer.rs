//! The one write path of the settings: scan for secrets, validate, lock, compare versions, write, audit, enqueue.
//!
//! Every kind of write (update, rollback, reset, import) ends in [`SettingsWriter::write`], and a rule added to the method
//! holds for all.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    audit::{self, Action, Actor, NewEntry, Reason},
    compute,
    database::{Connection, Deadline, OnSuccess, Pool, Retry, Transaction, TransactionError},
    idempotency,
    outbox::Outbox,
    proposals::RolloutEvent,
    secret_scanner::{SecretKind, SecretScanner},
    settings::{
        change::{
            self, Approval, Batch, ChangeResult, CheckedChange, Committed, Edit, Error,
            ResolvedEdit, WriteOptions,
        },
        current::GlobalSettingsService,
        reload,
        schema::Schema,
        snapshot::Snapshot,
    },
};

/// Writes settings: every write is scanned for secrets, audited, and announced through the outbox. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SettingsWriter {
    pub(super) pool: Pool,
    pub(super) settings: GlobalSettingsService,
    pub(super) scanner: SecretScanner,
    pub(super) outbox: Outbox,
}

/// The arguments of one write.
struct Request<'a> {
    action: Action,
    actor: &'a Actor,
    edits: &'a [Edit],
    options: &'a WriteOptions,
}

impl SettingsWriter {
    /// Creates a writer of the settings read by `settings`; secrets found by `scanner` are refused, and messages go to
    /// `outbox`.
    #[must_use]
    pub fn new(
        pool: Pool,
        settings: GlobalSettingsService,
        scanner: SecretScanner,
        outbox: Outbox,
    ) -> Self {
        Self { pool, settings, scanner, outbox }
    }

    /// Applies `edits` in one transaction, all or none.
    pub async fn update(
        &self,
        actor: &Actor,
        edits: &[Edit],
        options: &WriteOptions,
    ) -> Result<ChangeResult, Error> {
        self.write(Action::Update, actor, edits, options).await
    }

    /// Applies `edits` in one transaction, all or none, audited as `action`.
    pub(super) async fn write(
        &self,
        action: Action,
        actor: &Actor,
        edits: &[Edit],
        options: &WriteOptions,
    ) -> Result<ChangeResult, Error> {
        if options.approval == Approval::Emergency {
            options.require_person()?;
        }
        // One deadline for all attempts, so that a caller waits no longer for a retried write.
        let deadline = Deadline::standard();
        let mut retry = Retry::until(deadline);
        let request = Request { action, actor, edits, options };
        loop {
            match self.attempt(&request, deadline).await {
                // Another release published a catalog meanwhile: validate again with its declarations.
                Err(Error::CatalogMoved) if retry.next().await => {
                    reload::refresh(&self.pool, &self.settings).await?;
                }
                // An unknown outcome is not transient: the first attempt may have been committed.
                Err(Error::Database(err)) if err.is_transient() && retry.next().await => (),
                result => {
                    let is_changed = result.as_ref().is_ok_and(|result| !result.changed.is_empty());
                    // After the commit: an earlier wake-up would find nothing.
                    if is_changed && !options.dry_run {
                        self.settings.notify_local_write();
                        self.outbox.wake();
                    }
                    return result;
                }
            }
        }
    }

    async fn attempt(
        &self,
        request: &Request<'_>,
        deadline: Deadline,
    ) -> Result<ChangeResult, Error> {
        let &Request { action, actor, edits, options } = request;
        // One snapshot for all checks; the lock detects newer declarations.
        let snapshot = self.settings.snapshot();
        let schema = &snapshot.schema;
        // The scan and the validation of a large import take milliseconds of CPU: not on an async worker thread.
        let size = change::size(edits.iter());
        let (resolved, ignored) = self.resolve(schema, actor, edits, options).await?;
        let batch = Batch { action, actor, edits: &resolved, ignored: &ignored, options, size };
        if let Some(result) = self.store_in_one_statement(&snapshot, &batch, deadline).await? {
            return Ok(result);
        }
        let mut transaction = Transaction::begin(&self.pool, deadline).await?;
        let apply = self.apply_once(transaction.conn(), schema, &batch);
        let result = deadline.within(apply).await;
        let result = transaction.finish(result, options.on_success()).await;
        // After the rollback of the refused transaction, so that the entry remains.
        if let Err(Error::ApprovalRequired(protected)) = &result
            && !options.dry_run
        {
            let keys: Vec<_> = protected.iter().map(|protected| protected.key.clone()).collect();
            self.record_refusal(actor, &keys).await?;
        }
        result
    }

    /// Scans `edits` and the reason for secrets, and validates each edit by itself.
    ///
    /// # Errors
    /// As [`change::resolve`]; locked keys and possible secrets are audited, unless the write is a dry run.
    pub(super) async fn resolve<'s>(
        &self,
        schema: &'s Schema,
        actor: &Actor,
        edits: &[Edit],
        options: &WriteOptions,
    ) -> Result<(Vec<ResolvedEdit<'s>>, Vec<String>), Error> {
        // The scan and the validation of a large import take milliseconds of CPU: not on an async worker thread.
        let (matches, resolved) = compute::run(change::size(edits.iter()), || {
            let matches = change::scan(&self.scanner, schema, &actor.reason, edits.iter());
            let resolved = change::resolve(schema, edits, options.lenient, matches.as_ref());
            (matches, resolved)
        })
        .await;
        if let Err(Error::Locked(_) | Error::SecretLike(_)) = &resolved
            && !options.dry_run
        {
            // In a transaction of its own: the write itself is never begun.
            let keys = change::keys_to_record(schema, edits.iter(), matches.as_ref());
            self.record_refusal(actor, &keys).await?;
        }
        resolved
    }

    /// Runs `step`, a write that changes no setting, once for the idempotency key in `options`. Returns the result, also for
    /// a repeated request.
    pub(super) async fn run_once<T, E>(
        &self,
        options: &WriteOptions,
        step: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<TransactionError> + From<sqlx::Error> + From<idempotency::Reused>,
    {
        let key = options.idempotency.as_ref();
        let execution = idempotency::run_once(&self.pool, key, options.on_success(), step).await?;
        Ok(execution.result)
    }

    /// Checks `batch` in memory, and stores the change in one statement if `snapshot` is current. Returns `None` if nothing
    /// was stored, and the steps under the lock have to decide.
    async fn store_in_one_statement(
        &self,
        snapshot: &Arc<Snapshot>,
        batch: &Batch<'_>,
        deadline: Deadline,
    ) -> Result<Option<ChangeResult>, Error> {
        // Behind a pooler no plan is kept, and a second transaction would follow whenever nothing is stored.
        if self.pool.uses_pooler() {
            return Ok(None);
        }
        let check = || CheckedChange::new(snapshot, batch, &self.scanner, &self.outbox);
        let Some(change) = compute::run(batch.size, check).await else { return Ok(None) };
        let Some(committed) = change.store(&self.pool, deadline).await? else { return Ok(None) };
        let Committed { result, rows } = committed;
        // Without a further query, so that the next change finds a current snapshot.
        if rows.len() == result.changed.len() {
            reload::advance(&self.settings, snapshot, result.revision, rows);
        }
        Ok(Some(result))
    }

    /// Applies `batch`, or returns the stored result if a request with the same idempotency key was applied before.
    async fn apply_once(
        &self,
        conn: &mut Connection,
        schema: &Schema,
        batch: &Batch<'_>,
    ) -> Result<ChangeResult, Error> {
        let head = change::lock(conn, schema).await?;
        let Batch { action, actor, options, .. } = *batch;
        // Under the lock: of two concurrent requests with one key, the second must find the result of the first.
        if let Some(key) = &options.idempotency
            && let Some(first) = idempotency::find(conn, key).await??
        {
            return Ok(first);
        }
        if options.is_awaited {
            change::announce_waiter(conn).await?;
        }
        let mut result = change::apply(conn, schema, &head, batch).await?;
        if options.approval == Approval::Emergency && !result.changed.is_empty() {
            result.proposal = Some(change::record_emergency(conn, actor, &result).await?);
        }
        if !options.dry_run {
            // In the same transaction: no message without the change, and no change without the message.
            let outbox = &self.outbox;
            let scanner = &self.scanner;
            change::enqueue_changed(conn, outbox, scanner, action, actor, &result).await?;
            if let Some(proposal) = result.proposal {
                // The proposal of an emergency has one edition.
                let content = (proposal, 1);
                change::enqueue_emergency(conn, outbox, scanner, actor, content, &result).await?;
            }
            if let Some(number) = result.reverted {
                let step_event = (number, RolloutEvent::Reverted);
                change::enqueue_rollout_moved(conn, outbox, scanner, step_event, actor, None)
                    .await?;
            }
            if !result.ignored.is_empty() {
                change::enqueue_refused(conn, outbox, actor, &result.ignored).await?;
            }
        }
        if let Some(key) = &options.idempotency {
            // Stored with the change in one transaction, so the rollback of a dry run removes both.
            idempotency::store(conn, key, &result).await?;
        }
        Ok(result)
    }

    /// Refuses secret-like `edits`. For writes with reads of the database before [`Self::write`], which scans again.
    ///
    /// # Errors
    /// `SecretLike`; the refusal is audited unless `dry_run`.
    pub(super) async fn refuse_secrets<'a>(
        &self,
        schema: &Schema,
        actor: &Actor,
        edits: impl Iterator<Item = &'a Edit> + Clone,
        dry_run: bool,
    ) -> Result<(), Error> {
        let scan = || change::scan(&self.scanner, schema, &actor.reason, edits.clone());
        let size = change::size(edits.clone());
        let Some(matches) = compute::run(size, scan).await else { return Ok(()) };
        if !dry_run {
            let keys = change::keys_to_record(schema, edits, Some(&matches));
            self.record_refusal(actor, &keys).await?;
        }
        Err(Error::SecretLike(matches))
    }

    /// Refuses a secret-like reason of a step that writes no setting by itself.
    ///
    /// # Errors
    /// As [`Self::refuse_secrets`].
    pub(super) async fn refuse_secret_reason(
        &self,
        actor: &Actor,
        dry_run: bool,
    ) -> Result<(), Error> {
        let snapshot = self.settings.snapshot();
        self.refuse_secrets(&snapshot.schema, actor, [].iter(), dry_run).await
    }

    /// Scans a `text` that a step without changes of settings would store. A secret-like text leaves an audit entry with
    /// the user and the reason of `actor`, unless `dry_run`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn scan_text(
        &self,
        actor: &Actor,
        text: &str,
        dry_run: bool,
    ) -> Result<Option<SecretKind>, TransactionError> {
        let Some(kind) = self.scanner.scan(text) else { return Ok(None) };
        if !dry_run {
            self.append_refusal(actor, &[change::UNDECLARED.to_owned()]).await?;
        }
        Ok(Some(kind))
    }

    /// Audits and announces a refused write of `keys`, without values.
    pub(super) async fn record_refusal(&self, actor: &Actor, keys: &[String]) -> Result<(), Error> {
        Ok(self.append_refusal(actor, keys).await?)
    }

    async fn append_refusal(&self, actor: &Actor, keys: &[String]) -> Result<(), TransactionError> {
        let mut actor = actor.clone();
        // The audit entry of a refused secret must not store the secret.
        if self.scanner.scan(actor.reason.as_str()).is_some() {
            actor.reason = Reason::withheld();
        }
        let entries: Vec<NewEntry> = keys.iter().map(|key| NewEntry::refused(key)).collect();
        let deadline = Deadline::standard();
        let mut transaction = Transaction::begin(&self.pool, deadline).await?;
        let record = async {
            audit::append(transaction.conn(), &actor, entries).await?;
            change::enqueue_refused(transaction.conn(), &self.outbox, &actor, keys).await?;
            Ok::<_, TransactionError>(())
        };
        let result = deadline.within(record).await;
        transaction.finish(result, OnSuccess::Commit).await?;
        self.outbox.wake();
        Ok(())
    }
}
