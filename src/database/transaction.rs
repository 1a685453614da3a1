//! A transaction with a deadline. If COMMIT was sent but not acknowledged, it fails with
//! [`OutcomeUnknown`](TransactionError::OutcomeUnknown).

use std::{future::Future, io, time::Duration};

use rand::RngExt as _;
use tokio::time::{self, Instant, error::Elapsed};

use crate::database::{
    Connection, Pool,
    lease::Lease,
    store,
    transaction_error::{TransactionError, is_retryable},
};

/// The standard deadline of a use case, COMMIT included. Shorter than a request's deadline, so that the caller gets
/// this module's error and not a closed connection.
const LIMIT: Duration = Duration::from_secs(4);

/// The longest wait of a statement for one lock: `lock_timeout` of every session.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// The instant at which a use case gives up on the database.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The standard deadline, from now.
    #[must_use]
    pub fn standard() -> Self {
        Self(Instant::now() + LIMIT)
    }

    /// The deadline after `limit`, from now; for work of secondary importance.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// Whether the server ends a wait for a lock before the deadline. Otherwise a statement that commits by itself can
    /// commit after the caller gave up.
    #[must_use]
    pub fn outlasts_lock_wait(self) -> bool {
        self.0.saturating_duration_since(Instant::now()) > LOCK_WAIT
    }

    /// A deadline in a year, for work without a limit.
    fn unlimited() -> Self {
        // Adding `Duration::MAX` to an instant would overflow and panic.
        Self(Instant::now() + Duration::from_hours(24 * 365))
    }

    /// Runs `step` until the deadline. Boxed, because a step is a network round trip anyway and the futures of the
    /// callers stay small.
    pub fn within<T, E: From<TransactionError>>(
        self,
        step: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        let step = Box::pin(step);
        async move { time::timeout_at(self.0, step).await.unwrap_or_else(|_| Err(timed_out().into())) }
    }
}

fn timed_out() -> TransactionError {
    // sqlx has no error for a deadline, so `PoolTimedOut` stands for every timeout of the client.
    TransactionError::Unavailable(sqlx::Error::PoolTimedOut)
}

/// An error that [`read_with_retry`] accepts: `sqlx::Error` becomes a [`TransactionError`], and any error that a
/// [`TransactionError`] converts into is returned unchanged.
pub trait QueryError {
    /// The error that is returned.
    type Reported: From<TransactionError> + std::error::Error + 'static;

    /// Converts the error of a query.
    fn report(self) -> Self::Reported;
}

impl QueryError for sqlx::Error {
    type Reported = TransactionError;

    fn report(self) -> TransactionError {
        self.into()
    }
}

impl<E: From<TransactionError> + std::error::Error + 'static> QueryError for E {
    type Reported = E;

    fn report(self) -> E {
        self
    }
}

/// Runs `read` on a pooled connection within the standard deadline, and again if the connection broke.
///
/// `read` must be safe to repeat. A connection that missed the deadline is closed: its statement may still run.
pub async fn read_with_retry<T, E: QueryError>(
    pool: &Pool,
    read: impl AsyncFnOnce(&mut Connection) -> Result<T, E> + Clone,
) -> Result<T, E::Reported> {
    let deadline = Deadline::standard();
    let mut retry = Retry::until(deadline);
    let mut result = deadline.within(read_once(pool, deadline, false, read.clone())).await;
    while result.as_ref().is_err_and(|err| is_retryable(err)) && retry.next().await {
        // After a restart of the server every cached connection is broken, so retries ping first.
        result = deadline.within(read_once(pool, deadline, true, read.clone())).await;
    }
    result
}

/// Runs `read` once; with `live`, on a connection that has answered a ping.
async fn read_once<T, E: QueryError>(
    pool: &Pool,
    deadline: Deadline,
    live: bool,
    read: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
) -> Result<T, E::Reported> {
    if pool.uses_pooler() {
        return in_transaction(pool, deadline, read).await;
    }
    let lease = if live { Lease::acquire_live(pool).await } else { Lease::acquire(pool).await };
    let mut lease = lease.map_err(TransactionError::from)?;
    let result = read(&mut lease.conn).await.map_err(E::report);
    // After an error the connection may be broken, so it is closed instead of released.
    if result.is_ok() {
        lease.release();
    }
    result
}

/// Runs `step` in a transaction: behind a pooler a statement outside of one may run on any session.
async fn in_transaction<T, E: QueryError>(
    pool: &Pool,
    deadline: Deadline,
    step: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
) -> Result<T, E::Reported> {
    let mut transaction = Transaction::begin(pool, deadline).await?;
    let conn = transaction.conn();
    let step = async { step(conn).await.map_err(E::report) };
    // No early return: after a failed step `finish` rolls back.
    let result = deadline.within(step).await;
    transaction.finish(result, OnSuccess::Commit).await
}

/// Runs one statement that commits by itself. Without a reply it fails with
/// [`OutcomeUnknown`](TransactionError::OutcomeUnknown), and the connection is closed.
pub async fn execute_autocommit<T>(
    pool: &Pool,
    deadline: Deadline,
    statement: impl AsyncFnOnce(&mut Connection) -> sqlx::Result<T>,
) -> Result<T, TransactionError> {
    // Boxed, so that the futures of the callers stay small.
    let lease = Box::pin(Lease::acquire(pool));
    execute(pool, deadline, lease, statement).await
}

/// [`execute_autocommit`] for statements that are not repeated after an unknown outcome: the connection was used a moment
/// ago or answers a ping, so that a connection that broke before its use rarely makes the outcome unknown. If the server
/// ended the session before, the statement runs again on another connection.
pub async fn execute_autocommit_live<T>(
    pool: &Pool,
    deadline: Deadline,
    statement: impl AsyncFnOnce(&mut Connection) -> sqlx::Result<T> + Clone,
) -> Result<T, TransactionError> {
    let recent = Box::pin(Lease::acquire_recent(pool));
    match Box::pin(execute(pool, deadline, recent, statement.clone())).await {
        Err(err) if is_session_ended(&err) => {
            // A restart ends all sessions, so the other cached connections are probably broken, too.
            let live = Box::pin(Lease::acquire_live(pool));
            Box::pin(execute(pool, deadline, live, statement)).await
        }
        result => result,
    }
}

/// Whether the session of a statement ended, and nothing was committed.
fn is_session_ended(err: &TransactionError) -> bool {
    match err {
        // The end of the message could not be sent, and without the end the server commits nothing.
        TransactionError::OutcomeUnknown(sqlx::Error::Io(source)) => {
            source.kind() == io::ErrorKind::BrokenPipe
        }
        // The server reported the end of the session, before or during the statement.
        TransactionError::Unavailable(sqlx::Error::Database(source)) => {
            source.code().is_some_and(|code| code.starts_with("57P"))
        }
        _ => false,
    }
}

async fn execute<T>(
    pool: &Pool,
    deadline: Deadline,
    lease: impl Future<Output = sqlx::Result<Lease>>,
    statement: impl AsyncFnOnce(&mut Connection) -> sqlx::Result<T>,
) -> Result<T, TransactionError> {
    if pool.uses_pooler() {
        // The reply to BEGIN shows that the connection is live.
        return in_transaction(pool, deadline, statement).await;
    }
    // Nothing is sent before the lease exists, so a timeout of the wait has a known outcome.
    let lease = async { lease.await.map_err(TransactionError::from) };
    let mut lease = deadline.within(lease).await?;
    let reply = time::timeout_at(deadline.0, Box::pin(statement(&mut lease.conn))).await;
    let outcome = outcome_of(reply);
    // A rejected statement was answered, so the connection is intact; after a shutdown notice it is not.
    if matches!(outcome, Ok(_) | Err(TransactionError::Refused(_) | TransactionError::Blocked(_))) {
        lease.release();
    }
    outcome
}

/// Decides from the server's reply whether a commit happened.
fn outcome_of<T>(reply: Result<sqlx::Result<T>, Elapsed>) -> Result<T, TransactionError> {
    match reply {
        Ok(Ok(value)) => Ok(value),
        // An error that the server itself reported means that it rolled back.
        Ok(Err(err)) if err.as_database_error().is_some() => Err(err.into()),
        // The connection may have broken after the commit and before the reply.
        Ok(Err(err)) => Err(TransactionError::OutcomeUnknown(err)),
        // The statement was sent, so the server may still commit after the deadline.
        Err(_) => Err(TransactionError::OutcomeUnknown(sqlx::Error::PoolTimedOut)),
    }
}

/// How a successful transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSuccess {
    /// Keeps the changes.
    Commit,
    /// Discards the changes: a dry run.
    Rollback,
}

/// An open transaction. Dropping closes the connection, so that no half-done work is ever committed by the next user.
#[derive(Debug)]
pub struct Transaction {
    lease: Lease,
    deadline: Deadline,
}

impl Transaction {
    /// Begins a transaction that must end by `deadline`.
    pub async fn begin(pool: &Pool, deadline: Deadline) -> Result<Self, TransactionError> {
        Self::begin_with(pool, deadline, "begin").await
    }

    /// Begins a read-only transaction on one snapshot of the database.
    pub async fn begin_reading(pool: &Pool, deadline: Deadline) -> Result<Self, TransactionError> {
        Self::begin_with(pool, deadline, "begin isolation level repeatable read, read only").await
    }

    /// Begins a transaction on an extra connection without time limits, for work on whole tables.
    pub async fn begin_unlimited(pool: &Pool) -> Result<Self, TransactionError> {
        let mut lease = Lease::outside_pool(pool).await?;
        // The login sets the limits of every session, so the transaction has to lift the limits.
        store::begin_anywhere(&mut lease.conn, "begin", false).await?;
        Ok(Self { lease, deadline: Deadline::unlimited() })
    }

    async fn begin_with(
        pool: &Pool,
        deadline: Deadline,
        begin: &'static str,
    ) -> Result<Self, TransactionError> {
        let lease = async { Lease::acquire(pool).await.map_err(TransactionError::from) };
        match Self::begin_on(deadline.within(lease).await?, deadline, begin).await {
            // The server was restarted since this connection was used, so the other cached ones are broken too.
            Err(TransactionError::Unavailable(sqlx::Error::Io(_))) => {
                let live =
                    async { Lease::acquire_live(pool).await.map_err(TransactionError::from) };
                Self::begin_on(deadline.within(live).await?, deadline, begin).await
            }
            result => result,
        }
    }

    async fn begin_on(
        mut lease: Lease,
        deadline: Deadline,
        begin: &'static str,
    ) -> Result<Self, TransactionError> {
        let begin =
            async { store::begin(&mut lease.conn, begin).await.map_err(TransactionError::from) };
        deadline.within(begin).await?;
        Ok(Self { lease, deadline })
    }

    /// Returns the connection of the transaction.
    pub fn conn(&mut self) -> &mut Connection {
        &mut self.lease.conn
    }

    /// Ends the transaction as `on_success` says if `result` is `Ok`, and by a rollback if not.
    ///
    /// # Errors
    /// The error of `result`, or that of the COMMIT.
    pub async fn finish<T, E: From<TransactionError>>(
        self,
        result: Result<T, E>,
        on_success: OnSuccess,
    ) -> Result<T, E> {
        let Ok(value) = result else {
            self.roll_back().await;
            return result;
        };
        match on_success {
            OnSuccess::Rollback => self.roll_back().await,
            OnSuccess::Commit => self.commit().await?,
        }
        Ok(value)
    }

    async fn commit(mut self) -> Result<(), TransactionError> {
        // The simple protocol needs a single round trip and no prepared statement.
        let commit = sqlx::raw_sql("commit").execute(&mut *self.lease.conn);
        outcome_of(time::timeout_at(self.deadline.0, commit).await)?;
        // Without a reply the early return above drops the lease, which closes the connection.
        self.lease.release();
        Ok(())
    }

    /// Rolls back. If that fails, dropping the lease closes the connection, which rolls back as well.
    async fn roll_back(mut self) {
        let rollback = sqlx::raw_sql("rollback").execute(&mut *self.lease.conn);
        if let Ok(Ok(_)) = time::timeout_at(self.deadline.0, rollback).await {
            self.lease.release();
        }
    }
}

/// A retry policy: at most two retries before the deadline, after a pause of up to 40 ms with full jitter.
#[derive(Debug)]
pub struct Retry {
    left: u8,
    deadline: Deadline,
    unknown_outcome: Option<TransactionError>,
}

impl Retry {
    /// Allows retries until `deadline`.
    #[must_use]
    pub fn until(deadline: Deadline) -> Self {
        Self { left: 2, deadline, unknown_outcome: None }
    }

    /// Pauses and returns `true`, or returns `false` when no retry is left.
    pub async fn next(&mut self) -> bool {
        if self.left == 0 || Instant::now() >= self.deadline.0 {
            return false;
        }
        self.left -= 1;
        // Jitter spreads the retries of clients that failed at the same time.
        let pause = Duration::from_millis(rand::rng().random_range(1..40));
        time::sleep(pause).await;
        true
    }

    /// Pauses after `failure` of an idempotent operation, and remembers the first unknown outcome.
    ///
    /// # Errors
    /// No retry is left: the first failure with an unknown outcome, or else `failure`.
    pub async fn after(&mut self, failure: TransactionError) -> Result<(), TransactionError> {
        if !self.next().await {
            // An unknown outcome outranks later failures, which would deny any change.
            return Err(self.unknown_outcome.take().unwrap_or(failure));
        }
        if failure.is_outcome_unknown() {
            self.unknown_outcome.get_or_insert(failure);
        }
        Ok(())
    }

    /// Returns the first failure with an unknown outcome, if any.
    #[must_use]
    pub fn unknown_outcome(self) -> Option<TransactionError> {
        self.unknown_outcome
    }

    /// Whether an earlier attempt failed with an unknown outcome.
    #[must_use]
    pub fn has_unknown_outcome(&self) -> bool {
        self.unknown_outcome.is_some()
    }
}
