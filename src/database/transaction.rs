//! One transaction under one deadline, whose end is never in doubt without saying so.

use std::{error::Error as _, future::Future, time::Duration};

use rand::RngExt as _;
use tokio::time::{self, Instant, error::Elapsed};

use crate::database::{
    Connection, Pool,
    cache::Lease,
    sqlstate::{Class, classify},
    store,
};

/// How long a use case may take in the database, its commit included; shorter than a request's deadline,
/// so that the answer is this module's and not a cut connection.
const LIMIT: Duration = Duration::from_secs(4);

/// How the database let a use case down.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// It is away, busy, or took too long; nothing was stored.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// It cannot do this until an operator acts: its disk is full, the role lacks a right, a trigger of somebody
    /// else raises an error. Nothing was stored.
    #[error("the database rejected the statement until an operator intervenes")]
    Blocked(#[source] sqlx::Error),
    /// The audit trail did not take the entry of a change, so nothing was stored.
    #[error("the audit entry could not be inserted")]
    Unrecorded(#[source] sqlx::Error),
    /// The commit was sent and its answer never came: stored or not, nobody knows.
    #[error("the database did not say whether the change was committed")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// It refused what should have been right.
    #[error("the database refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl TransactionError {
    /// The failure of a statement that writes to the audit trail: a change without its entry is not stored.
    #[must_use]
    pub fn from_audit_insert(err: sqlx::Error) -> Self {
        if is_not_now(&err) { Self::Unavailable(err) } else { Self::Unrecorded(err) }
    }

    /// Whether the same work may pass when it is tried again: only what is known not to be stored.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(source) => !is_given_up(source),
            Self::OutcomeUnknown(_) | Self::Refused(_) | Self::Blocked(_) | Self::Unrecorded(_) => {
                false
            }
        }
    }

    /// Whether nobody knows if the work was stored.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown(_))
    }

    /// Whether the same work may pass when it is tried again, stored or not: for work that finds out which.
    #[must_use]
    pub fn is_transient_or_outcome_unknown(&self) -> bool {
        self.is_transient() || self.is_outcome_unknown()
    }

    /// The name of the constraint that was broken, if one was.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        let source = self.source()?.downcast_ref::<sqlx::Error>()?;
        source.as_database_error()?.constraint()
    }
}

impl From<sqlx::Error> for TransactionError {
    fn from(err: sqlx::Error) -> Self {
        if is_not_now(&err) {
            Self::Unavailable(err)
        } else if is_lasting(&err) {
            Self::Blocked(err)
        } else {
            Self::Refused(err)
        }
    }
}

/// Whether the database could not be reached or asked for patience.
fn is_not_now(err: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match err {
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

/// Whether nothing like it passes until an operator acts.
fn is_lasting(err: &sqlx::Error) -> bool {
    let code = err.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| classify(&code) == Class::Operator)
}

/// Whether the time there was went into waiting already.
fn is_given_up(err: &sqlx::Error) -> bool {
    matches!(err, sqlx::Error::PoolTimedOut)
}

/// Whether what `err` stands for is the database's absence, and may be over.
fn is_passing(err: &(dyn std::error::Error + 'static)) -> bool {
    match err.downcast_ref::<sqlx::Error>() {
        Some(cause) => is_not_now(cause) && !is_given_up(cause),
        None => err.source().is_some_and(is_passing),
    }
}

/// When a use case must be through with the database.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The usual one, from now.
    #[must_use]
    pub fn standard() -> Self {
        Self(Instant::now() + LIMIT)
    }

    /// None that anybody lives to see.
    fn never() -> Self {
        Self(Instant::now() + Duration::from_hours(24 * 365))
    }

    /// What `step` returns, unless the deadline comes first. Boxed: a step is a round trip away from being
    /// done, and the futures of those who wait for it stay small.
    pub fn within<T, E: From<TransactionError>>(
        self,
        step: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        let step = Box::pin(step);
        async move { time::timeout_at(self.0, step).await.unwrap_or_else(|_| Err(late().into())) }
    }
}

fn late() -> TransactionError {
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

/// Runs `read`, a query or an idempotent statement, on a pooled connection within the standard deadline, and retries if
/// the connection broke. At the deadline the connection is closed: a statement may still be running.
pub async fn read_with_retry<T, E: QueryError>(
    pool: &Pool,
    read: impl AsyncFnOnce(&mut Connection) -> Result<T, E> + Clone,
) -> Result<T, E::Reported> {
    let deadline = Deadline::standard();
    let mut attempts = Retry::until(deadline);
    let mut result = deadline.within(read_once(pool, deadline, false, read.clone())).await;
    while result.as_ref().is_err_and(|err| is_passing(err)) && attempts.next().await {
        result = deadline.within(read_once(pool, deadline, true, read.clone())).await;
    }
    result
}

/// Runs `read` once, on a connection that has just responded if it must be `live`.
async fn read_once<T, E: QueryError>(
    pool: &Pool,
    deadline: Deadline,
    live: bool,
    read: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
) -> Result<T, E::Reported> {
    if pool.uses_pooler() {
        return in_transaction(pool, deadline, read).await;
    }
    let lease = if live { Lease::take_live(pool).await } else { Lease::take(pool).await };
    let mut lease = lease.map_err(TransactionError::from)?;
    let result = read(&mut lease.conn).await.map_err(E::report);
    // A failed query may have left the connection broken, so only a success reuses the connection.
    if result.is_ok() {
        lease.release();
    }
    result
}

/// Runs `step` in a transaction of its own: behind a pooler that shares sessions, nothing less keeps a statement on one
/// connection.
async fn in_transaction<T, E: QueryError>(
    pool: &Pool,
    deadline: Deadline,
    step: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
) -> Result<T, E::Reported> {
    let mut transaction = Transaction::begin(pool, deadline).await?;
    let conn = transaction.conn();
    let step = async { step(conn).await.map_err(E::report) };
    let result = deadline.within(step).await;
    transaction.finish(result, OnSuccess::Commit).await
}

/// What `statement` returns, one that commits by itself. When no answer to it comes, nobody knows whether
/// it was stored, and the connection is closed.
pub async fn execute_autocommit<T>(
    pool: &Pool,
    deadline: Deadline,
    statement: impl AsyncFnOnce(&mut Connection) -> sqlx::Result<T>,
) -> Result<T, TransactionError> {
    if pool.uses_pooler() {
        return in_transaction(pool, deadline, statement).await;
    }
    let taken = async { Lease::take(pool).await.map_err(TransactionError::from) };
    let mut lease = deadline.within(taken).await?;
    let answer = time::timeout_at(deadline.0, Box::pin(statement(&mut lease.conn))).await;
    let outcome = outcome(answer);
    // Refused is answered as well; away is not, when it is the server that goes.
    if matches!(outcome, Ok(_) | Err(TransactionError::Refused(_) | TransactionError::Blocked(_))) {
        lease.release();
    }
    outcome
}

/// What is known of a commit from the answer to it.
fn outcome<T>(answer: Result<sqlx::Result<T>, Elapsed>) -> Result<T, TransactionError> {
    match answer {
        Ok(Ok(done)) => Ok(done),
        // The server itself said that nothing is left of it.
        Ok(Err(err)) if err.as_database_error().is_some() => Err(err.into()),
        Ok(Err(err)) => Err(TransactionError::OutcomeUnknown(err)),
        Err(_) => Err(TransactionError::OutcomeUnknown(sqlx::Error::PoolTimedOut)),
    }
}

/// How a transaction ends when nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSuccess {
    /// What was done is kept.
    Commit,
    /// It was only tried.
    Rollback,
}

/// A transaction on a connection of its own. Dropped before its end, it closes the connection: what is half
/// done must not be used again.
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

    /// Begins a transaction that sees one state of the database and changes nothing.
    pub async fn begin_reading(pool: &Pool, deadline: Deadline) -> Result<Self, TransactionError> {
        Self::begin_with(pool, deadline, "begin isolation level repeatable read, read only").await
    }

    /// Begins a transaction on a connection of its own, without the limits of a request: for what reads or
    /// writes everything there is.
    pub async fn begin_unlimited(pool: &Pool) -> Result<Self, TransactionError> {
        let mut lease = Lease::outside_pool(pool).await?;
        store::begin_anywhere(&mut lease.conn, "begin", false).await?;
        Ok(Self { lease, deadline: Deadline::never() })
    }

    async fn begin_with(
        pool: &Pool,
        deadline: Deadline,
        begin: &'static str,
    ) -> Result<Self, TransactionError> {
        let taken =
            deadline.within::<_, TransactionError>(async { Ok(Lease::take(pool).await?) }).await?;
        match Self::begin_on(taken, deadline, begin).await {
            // The server was started again since this connection was used; so it is with the others.
            Err(TransactionError::Unavailable(sqlx::Error::Io(_))) => {
                let live = async { Lease::take_live(pool).await.map_err(TransactionError::from) };
                Self::begin_on(deadline.within(live).await?, deadline, begin).await
            }
            begun => begun,
        }
    }

    async fn begin_on(
        mut lease: Lease,
        deadline: Deadline,
        begin: &'static str,
    ) -> Result<Self, TransactionError> {
        let begun =
            async { store::begin(&mut lease.conn, begin).await.map_err(TransactionError::from) };
        deadline.within(begun).await?;
        Ok(Self { lease, deadline })
    }

    /// The connection that the transaction is on.
    pub fn conn(&mut self) -> &mut Connection {
        &mut self.lease.conn
    }

    /// Ends the transaction: as `ending` says when `result` is good, by rolling back when it is not.
    pub async fn finish<T, E: From<TransactionError>>(
        self,
        result: Result<T, E>,
        ending: OnSuccess,
    ) -> Result<T, E> {
        let Ok(value) = result else {
            self.roll_back().await;
            return result;
        };
        match ending {
            OnSuccess::Rollback => self.roll_back().await,
            OnSuccess::Commit => self.commit().await?,
        }
        Ok(value)
    }

    async fn commit(mut self) -> Result<(), TransactionError> {
        let sent = sqlx::raw_sql("commit").execute(&mut *self.lease.conn);
        outcome(time::timeout_at(self.deadline.0, sent).await)?;
        self.lease.release();
        Ok(())
    }

    /// A rollback that fails leaves the connection to be closed, which rolls back as well.
    async fn roll_back(mut self) {
        let sent = sqlx::raw_sql("rollback").execute(&mut *self.lease.conn);
        if let Ok(Ok(_)) = time::timeout_at(self.deadline.0, sent).await {
            self.lease.release();
        }
    }
}

/// How often a use case is tried again: at most twice, after a short pause with full jitter.
#[derive(Debug)]
pub struct Retry {
    left: u8,
    deadline: Deadline,
}

impl Retry {
    /// A first attempt; none begins after `deadline`.
    #[must_use]
    pub fn until(deadline: Deadline) -> Self {
        Self { left: 2, deadline }
    }

    /// Waits a moment and says yes, or says no when there was enough of it.
    pub async fn next(&mut self) -> bool {
        if self.left == 0 || self.deadline.0 <= Instant::now() {
            return false;
        }
        self.left -= 1;
        let pause = Duration::from_millis(rand::rng().random_range(1..40));
        time::sleep(pause).await;
        true
    }
}
