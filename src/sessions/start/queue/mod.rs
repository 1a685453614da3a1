//! Inserts of sessions, several in one statement under load.
//!
//! A start is inserted at once if no statement is under way. Otherwise the start waits, and all waiting starts go
//! together in the next statement. Nothing waits for a group to fill.
//!
//! The next statement begins when the statement under way ends, or when the statement has taken [`PATIENCE`](state::PATIENCE): a lock
//! or a slow disk must not delay all starts of the instance. A statement that waits for a lock of a user is [`STUCK`](state::STUCK)
//! soon, and does not count any more; further starts of its users wait, and are then inserted without others.
//!
//! Each start is judged on its own: the statement checks each row by the user's own history and limits, and a row that
//! is not inserted does not affect the others. A group that fails as a whole, and certainly stored nothing, is repeated
//! start by start, so that a group never fails a start that would succeed alone.

mod state;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    database::{self, Deadline, Pool, TransactionError},
    metrics::Metrics,
    sessions::start::{
        planned::{self, PlannedInsert},
        queue::state::{MAX_GROUP, MAX_WAITING, PATIENCE, Reply, State, Statement, WaitingInsert},
    },
};

pub(super) use self::state::STUCK;

/// The inserts of an instance. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct InsertQueue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Groups run in tasks of their own, so that a client that disconnects cancels no other start. The tasks hold
    /// connections, so the shutdown waits for the tasks when the pool is closed.
    tasks: TaskTracker,
    metrics: Metrics,
    stuck_after: Duration,
}

enum Admission {
    Now(Permit),
    Later(oneshot::Receiver<Reply>),
    Full,
}

impl InsertQueue {
    /// Creates a queue in which a statement counts as stuck after `stuck_after`, usually [`STUCK`].
    pub(super) fn new(metrics: Metrics, stuck_after: Duration) -> Self {
        let state = Mutex::default();
        let tasks = TaskTracker::new();
        Self(Arc::new(Inner { state, tasks, metrics, stuck_after }))
    }

    /// Inserts a session if there is no obstacle. Returns whether the row was inserted.
    pub(super) async fn insert(
        &self,
        pool: &Pool,
        insert: PlannedInsert,
        deadline: Deadline,
    ) -> Result<bool, TransactionError> {
        let reply = match self.admit(pool, &insert) {
            Admission::Now(_permit) => return self.insert_alone(pool, insert, deadline).await,
            Admission::Later(receiver) => {
                self.wait_for_group(pool, insert.new_session.id, receiver, deadline).await
            }
            Admission::Full => Reply::RepeatAlone,
        };
        match reply {
            Reply::Inserted => Ok(true),
            Reply::NotInserted => Ok(false),
            Reply::Failed(error) => Err(error),
            Reply::RepeatAlone => self.insert_alone(pool, insert, deadline).await,
        }
    }

    /// Permits a statement, or puts the insert into the queue.
    fn admit(&self, pool: &Pool, insert: &PlannedInsert) -> Admission {
        // Under one lock: when the last permit is dropped, every refused insert must be in the queue.
        let mut state = self.0.lock();
        let now = Instant::now();
        // A start that waits already goes first.
        if !state.has_ready() && state.has_room(now, self.0.stuck_after) && !state.is_busy(insert) {
            let permit = self.permit(pool, &mut state, now, Stage::Running);
            state.set_starts(permit.number, vec![Arc::clone(&insert.new_session)]);
            return Admission::Now(permit);
        }
        if state.waiting.len() >= MAX_WAITING {
            return Admission::Full;
        }
        let (reply, receiver) = oneshot::channel();
        state.waiting.push_back(WaitingInsert::new(insert.clone(), reply));
        if state.waiting.len() >= MAX_GROUP {
            drop(state);
            self.begin_group(pool);
        }
        Admission::Later(receiver)
    }

    fn permit(&self, pool: &Pool, state: &mut State, begin: Instant, stage: Stage) -> Permit {
        state.count += 1;
        let number = state.count;
        state.statements.push(Statement { number, begin, starts: Vec::new() });
        Permit { queue: self.clone(), pool: pool.clone(), stage, number }
    }

    /// Inserts the waiting starts beside the statements under way, if those are slow or a whole group waits.
    fn begin_group(&self, pool: &Pool) {
        let mut state = self.0.lock();
        let now = Instant::now();
        if state.has_taker || !state.has_room(now, self.0.stuck_after) || !state.has_ready() {
            return;
        }
        state.has_taker = true;
        let permit = self.permit(pool, &mut state, now, Stage::Spawned);
        drop(state);
        self.0.tasks.spawn(permit.run());
    }

    async fn insert_alone(
        &self,
        pool: &Pool,
        insert: PlannedInsert,
        deadline: Deadline,
    ) -> Result<bool, TransactionError> {
        self.0.metrics.start_group(1);
        let inserts = [insert];
        let inserted = database::execute_autocommit(pool, deadline, async |conn| {
            planned::insert_if_eligible(conn, &inserts).await
        });
        Ok(!inserted.await?.is_empty())
    }

    async fn wait_for_group(
        &self,
        pool: &Pool,
        id: Uuid,
        mut receiver: oneshot::Receiver<Reply>,
        deadline: Deadline,
    ) -> Reply {
        // A client that disconnects before the statement is sent starts no session.
        let waiting = scopeguard::guard(&self.0, |inner| drop(inner.withdraw(id)));
        let reply = async {
            let mut pause = PATIENCE;
            loop {
                match timeout(pause, &mut receiver).await {
                    Ok(reply) => return Ok::<_, TransactionError>(reply),
                    Err(_) => self.begin_group(pool),
                }
                // A thousand waiting starts must not occupy a core while the database is stuck.
                pause = (pause * 2).min(STUCK);
            }
        };
        let reply = deadline.within(reply).await;
        let inner = scopeguard::ScopeGuard::into_inner(waiting);
        match reply {
            Ok(Ok(reply)) => reply,
            // The task of the group panicked.
            Ok(Err(_)) => {
                Reply::Failed(TransactionError::OutcomeUnknown(sqlx::Error::WorkerCrashed))
            }
            // Nothing was sent while the start was waiting.
            Err(timeout) if inner.withdraw(id).is_some() => Reply::Failed(timeout),
            Err(_) => Reply::Failed(TransactionError::OutcomeUnknown(sqlx::Error::PoolTimedOut)),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single call, so a panic leaves a valid state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a waiting insert. Returns `None` if a statement has already taken the insert.
    fn withdraw(&self, id: Uuid) -> Option<WaitingInsert> {
        let mut state = self.lock();
        let position =
            state.waiting.iter().position(|waiting| waiting.insert.new_session.id == id)?;
        state.waiting.remove(position)
    }

    /// Takes the starts of the statement `number`.
    fn take_group(&self, number: u64) -> Vec<WaitingInsert> {
        let mut state = self.lock();
        state.has_taker = false;
        let group = state.take_group();
        let starts = group.iter().map(|waiting| Arc::clone(&waiting.insert.new_session));
        state.set_starts(number, starts.collect());
        group
    }
}

/// The right to run a statement. When dropped, also by a cancelled request or a panic, passes on to the waiting starts.
struct Permit {
    queue: InsertQueue,
    pool: Pool,
    stage: Stage,
    number: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The task of a group was spawned.
    Spawned,
    /// The task waits for a connection.
    Taking,
    /// A statement is under way.
    Running,
}

impl Permit {
    /// Inserts a group of the waiting starts.
    async fn run(mut self) {
        self.stage = Stage::Taking;
        let mut group = Vec::new();
        let result = database::execute_autocommit(&self.pool, Deadline::standard(), async |conn| {
            // Taken when the connection is there: the starts that waited for the connection share the statement, and
            // a start whose deadline passed before was certainly not sent.
            group = self.queue.0.take_group(self.number);
            self.stage = Stage::Running;
            self.queue.0.metrics.start_group(group.len());
            let inserts: Vec<_> = group.iter().map(|waiting| waiting.insert.clone()).collect();
            planned::insert_if_eligible(conn, &inserts).await
        });
        match result.await {
            Ok(inserted) => answer(group, |insert| {
                let is_inserted = inserted.contains(&insert.new_session.id);
                if is_inserted { Reply::Inserted } else { Reply::NotInserted }
            }),
            Err(error) => self.answer_failure(group, error),
        }
    }

    fn answer_failure(&self, mut group: Vec<WaitingInsert>, error: TransactionError) {
        if error.is_outcome_unknown() {
            // Shared, because errors of the driver cannot be cloned.
            let error = Arc::new(error);
            answer(group, |_| {
                let source = sqlx::Error::Io(io::Error::other(Arc::clone(&error)));
                Reply::Failed(TransactionError::OutcomeUnknown(source))
            });
            return;
        }
        // Without a connection nothing was taken. Each start waits for a connection of its own until its deadline.
        if group.is_empty() {
            group = self.queue.0.lock().waiting.drain(..).collect();
        }
        answer(group, |_| Reply::RepeatAlone);
    }
}

fn answer(group: Vec<WaitingInsert>, reply: impl Fn(&PlannedInsert) -> Reply) {
    for waiting in group {
        // A receiver that is gone has lost its client or its time.
        let _ = waiting.reply.send(reply(&waiting.insert));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let inner = &self.queue.0;
        let mut state = inner.lock();
        if self.stage != Stage::Running {
            state.has_taker = false;
        }
        state.statements.retain(|statement| statement.number != self.number);
        // A runtime that shuts down drops the task before its first step, and would drop every further task.
        let Some(runtime) = Handle::try_current().ok().filter(|_| self.stage != Stage::Spawned)
        else {
            // Nobody will take the waiting starts: their dropped channels answer them.
            state.waiting.clear();
            return;
        };
        // One task takes all waiting starts, so a second task would find none.
        if state.has_taker || !state.has_ready() {
            return;
        }
        state.has_taker = true;
        let next = self.queue.permit(&self.pool, &mut state, Instant::now(), Stage::Spawned);
        drop(state);
        inner.tasks.spawn_on(next.run(), &runtime);
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::{
        state::{MAX_CONNECTIONS, MAX_STATEMENTS},
        *,
    };
    use crate::{
        ids::UserId,
        sessions::{
            eligibility::{Bounds, User},
            rules::SessionSettings,
            session::{Arm, NewSession},
            start::planned::RateLimit,
        },
    };

    fn insert(user: &str, revision: i64, in_two_steps: bool) -> PlannedInsert {
        let settings = SessionSettings {
            revision,
            cooldown_minutes: 30,
            max_sessions_per_day: 3,
            require_plan: true,
            allowed_levels: Vec::new(),
            prompt_id: "p".to_owned(),
            prompt_version: "1".to_owned(),
            instructions: None,
            model: "m".to_owned(),
            session_max_minutes: 30,
        };
        let now = DateTime::UNIX_EPOCH;
        let bounds = Bounds::at(now, &settings);
        let new_session = NewSession {
            id: Uuid::now_v7(),
            user: User { id: UserId::parse(user).unwrap(), plan: None, level: None },
            started_at: now,
            expires_at: now + TimeDelta::minutes(30),
            settings: Arc::new(settings),
            epoch: 0,
            arm: None,
            idempotency: None,
            in_two_steps,
        };
        let limit = RateLimit { per_minute: 10, counted: false };
        PlannedInsert { new_session: Arc::new(new_session), bounds, limit }
    }

    fn queue_with(inserts: impl IntoIterator<Item = PlannedInsert>) -> InsertQueue {
        let queue = InsertQueue::new(Metrics::default(), STUCK);
        let waiting = inserts.into_iter().map(|insert| {
            let (reply, _) = oneshot::channel();
            WaitingInsert::new(insert, reply)
        });
        queue.0.lock().waiting.extend(waiting);
        queue
    }

    /// Makes further inserts wait; returns a pool without a server.
    fn occupied(queue: &InsertQueue) -> Pool {
        queue.0.lock().statements = vec![statement(Instant::now()), statement(Instant::now())];
        Pool::from(sqlx::PgPool::connect_lazy("postgres://localhost:1/none").unwrap())
    }

    fn statement(begin: Instant) -> Statement {
        Statement { number: 1, begin, starts: Vec::new() }
    }

    fn users(queue: &InsertQueue) -> Vec<String> {
        let group = queue.0.take_group(0);
        group.iter().map(|waiting| waiting.insert.new_session.user.id.as_str().to_owned()).collect()
    }

    #[test]
    fn a_group_has_one_revision_one_kind_and_one_start_of_a_user() {
        let queue = queue_with([
            insert("ana", 1, false),
            insert("ana", 1, false),
            insert("ben", 2, false),
            insert("cat", 1, true),
            insert("dan", 1, false),
            insert("ana", 1, false),
        ]);
        assert_eq!(users(&queue), ["ana", "dan"]);
        assert_eq!(users(&queue), ["ana"]);
        assert_eq!(users(&queue), ["ben"]);
        assert_eq!(users(&queue), ["cat"]);
        assert_eq!(users(&queue), ["ana"]);
        assert!(users(&queue).is_empty());
    }

    #[test]
    fn a_group_has_both_arms_of_one_rollout() {
        let with_arm = |user, arm: Option<(Uuid, bool, i32)>| {
            let insert = insert(user, 1, false);
            let mut new_session = Arc::into_inner(insert.new_session).unwrap();
            new_session.arm = arm.map(|(proposal, is_candidate, share_bp)| Arm {
                proposal,
                proposal_number: 1,
                is_candidate,
                share_bp,
            });
            PlannedInsert { new_session: Arc::new(new_session), ..insert }
        };
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let queue = queue_with([
            with_arm("ana", Some((first, true, 1_000))),
            with_arm("ben", Some((first, false, 1_000))),
            with_arm("cat", None),
            with_arm("dan", Some((first, true, 5_000))),
            with_arm("eva", Some((second, true, 1_000))),
            with_arm("fay", Some((first, true, 1_000))),
            with_arm("gus", None),
        ]);
        assert_eq!(users(&queue), ["ana", "ben", "fay"]);
        assert_eq!(users(&queue), ["cat", "gus"]);
        assert_eq!(users(&queue), ["dan"]);
        assert_eq!(users(&queue), ["eva"]);
    }

    #[test]
    fn a_group_has_one_day_and_counted_attempts_only_or_none() {
        let mut tomorrow = insert("ben", 1, false);
        tomorrow.bounds.day_start += TimeDelta::days(1);
        let mut counted = insert("cat", 1, false);
        counted.limit.counted = true;
        let queue =
            queue_with([insert("ana", 1, false), tomorrow, counted, insert("dan", 1, false)]);
        assert_eq!(users(&queue), ["ana", "dan"]);
        assert_eq!(users(&queue), ["ben"]);
        assert_eq!(users(&queue), ["cat"]);
    }

    #[test]
    fn a_second_statement_begins_beside_a_slow_statement_or_for_a_whole_group() {
        let now = Instant::now();
        let mut state = State { statements: vec![statement(now)], ..State::default() };
        assert!(!state.has_room(now, STUCK));
        assert!(!state.has_room(now + PATIENCE / 2, STUCK));
        assert!(state.has_room(now + PATIENCE, STUCK));
        state.statements = (0..MAX_STATEMENTS).map(|_| statement(now)).collect();
        assert!(!state.has_room(now + PATIENCE, STUCK));
        assert!(state.has_room(now + STUCK, STUCK));
        state.statements = (0..MAX_CONNECTIONS).map(|_| statement(now)).collect();
        assert!(!state.has_room(now + STUCK, STUCK));
        let queue = queue_with((0..64).map(|n| insert(&format!("user-{n}"), 1, false)));
        let mut state = queue.0.lock();
        state.statements = vec![statement(now)];
        assert!(state.has_room(now, STUCK));
    }

    #[test]
    fn a_user_has_one_statement_at_a_time_and_then_one_alone() {
        let inserts = ["ana", "ben", "ana", "cat"].map(|user| insert(user, 1, false));
        let queue = queue_with(inserts);
        let mut state = queue.0.lock();
        state.statements = vec![statement(Instant::now())];
        state.set_starts(1, vec![insert("ana", 1, false).new_session]);
        let users = |state: &mut State| -> Vec<String> {
            let group = state.take_group();
            group.iter().map(|member| member.insert.new_session.user.id.to_string()).collect()
        };
        assert_eq!(users(&mut state), ["ben", "cat"]);
        assert!(!state.has_ready());
        assert!(users(&mut state).is_empty());
        state.statements.clear();
        assert_eq!(users(&mut state), ["ana"]);
        let (reply, _) = oneshot::channel();
        state.waiting.push_back(WaitingInsert::new(insert("dan", 1, false), reply));
        assert_eq!(users(&mut state), ["ana"]);
        assert_eq!(users(&mut state), ["dan"]);
    }

    #[test]
    fn a_group_is_bounded() {
        let queue = queue_with((0..100).map(|n| insert(&format!("user-{n}"), 1, false)));
        assert_eq!([users(&queue).len(), users(&queue).len(), users(&queue).len()], [64, 36, 0]);
    }

    #[tokio::test]
    async fn starts_of_a_group_that_panics_have_an_unknown_outcome() {
        let queue = queue_with([]);
        let pool = occupied(&queue);
        let starts = ["ana", "ben"]
            .map(|user| queue.insert(&pool, insert(user, 1, false), Deadline::standard()));
        let task = async {
            // Dropped without answers, as a panic drops the group.
            while queue.0.lock().waiting.len() < 2 {
                tokio::task::yield_now().await;
            }
            drop(queue.0.take_group(0));
        };
        let (replies, ()) = tokio::join!(futures_util::future::join_all(starts), task);
        let is_unknown = |reply: &Result<bool, TransactionError>| {
            reply.as_ref().is_err_and(TransactionError::is_outcome_unknown)
        };
        assert!(replies.iter().all(is_unknown), "{replies:?}");
    }

    #[tokio::test]
    async fn a_cancelled_start_leaves_the_queue() {
        let queue = queue_with([]);
        let pool = occupied(&queue);
        let start = queue.insert(&pool, insert("ana", 1, false), Deadline::standard());
        let mut start = Box::pin(start);
        assert!(futures_util::poll!(&mut start).is_pending());
        assert_eq!(queue.0.lock().waiting.len(), 1);
        drop(start);
        assert!(queue.0.lock().waiting.is_empty());
    }
}
