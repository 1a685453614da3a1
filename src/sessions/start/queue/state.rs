//! Which starts wait, which statements are under way, and which start can be in which statement.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use crate::{
    database::TransactionError,
    sessions::{session::NewSession, start::planned::PlannedInsert},
};

/// Statements at a time, without those that are stuck.
pub(super) const MAX_STATEMENTS: usize = 2;

/// Statements at a time, with those that are stuck. Leaves connections of the pool to other requests.
pub(super) const MAX_CONNECTIONS: usize = 6;

/// The time after which a statement counts as stuck, because it probably waits for a lock.
pub(in crate::sessions::start) const STUCK: Duration = Duration::from_millis(50);

/// The time after which a statement no longer delays the next statement. Several times what a group takes on a fast
/// disk: one statement at a time makes larger groups, which cost less for each start.
pub(super) const PATIENCE: Duration = Duration::from_millis(2);

/// Rows of a statement. Bounds the time that one statement takes from all of its starts.
pub(super) const MAX_GROUP: usize = 64;

/// The maximum length of the queue. A further start is inserted alone, and waits for a connection instead.
pub(super) const MAX_WAITING: usize = 1024;

/// The waiting starts and the statements under way.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) waiting: VecDeque<WaitingInsert>,
    pub(super) statements: Vec<Statement>,
    /// The number of statements so far.
    pub(super) count: u64,
    /// Whether a task is about to take the waiting inserts.
    pub(super) has_taker: bool,
}

impl State {
    /// Whether another statement may begin now.
    pub(super) fn has_room(&self, now: Instant, stuck_after: Duration) -> bool {
        let ages = self.statements.iter().map(|statement| now.duration_since(statement.begin));
        let ages: Vec<Duration> = ages.filter(|age| *age < stuck_after).collect();
        self.statements.len() < MAX_CONNECTIONS
            && ages.len() < MAX_STATEMENTS
            && (self.waiting.len() >= MAX_GROUP || ages.iter().all(|age| *age >= PATIENCE))
    }

    /// Whether a statement under way has a start of the same user, and may hold or wait for a lock of the user.
    pub(super) fn is_busy(&self, insert: &PlannedInsert) -> bool {
        let user = &insert.new_session.user.id;
        let starts = self.statements.iter().flat_map(|statement| &statement.starts);
        starts.into_iter().any(|start| start.user.id == *user)
    }

    pub(super) fn set_starts(&mut self, number: u64, starts: Vec<Arc<NewSession>>) {
        let statement = self.statements.iter_mut().find(|statement| statement.number == number);
        if let Some(statement) = statement {
            statement.starts = starts;
        }
    }

    /// Whether a waiting start can be in a statement now.
    pub(super) fn has_ready(&self) -> bool {
        self.waiting.iter().any(|waiting| !self.is_busy(&waiting.insert))
    }

    /// Takes the starts of the next statement, oldest first.
    pub(super) fn take_group(&mut self) -> Vec<WaitingInsert> {
        let mut group: Vec<WaitingInsert> = Vec::new();
        let mut position = 0;
        while group.len() < MAX_GROUP
            && let Some(waiting) = self.waiting.get(position)
        {
            let is_busy = self.is_busy(&waiting.insert);
            let fits = group.iter().all(|member| member.can_share(waiting));
            if fits && !is_busy {
                group.extend(self.waiting.remove(position));
            } else {
                // The statement of a user's earlier start may wait for a lock, and so may the next one.
                if is_busy && let Some(waiting) = self.waiting.get_mut(position) {
                    waiting.is_alone = true;
                }
                position += 1;
            }
        }
        group
    }
}

/// A statement under way.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) number: u64,
    pub(super) begin: Instant,
    pub(super) starts: Vec<Arc<NewSession>>,
}

/// A waiting start.
#[derive(Debug)]
pub(super) struct WaitingInsert {
    pub(super) insert: PlannedInsert,
    pub(super) reply: oneshot::Sender<Reply>,
    /// Whether the start is inserted without others.
    pub(super) is_alone: bool,
}

impl WaitingInsert {
    pub(super) fn new(insert: PlannedInsert, reply: oneshot::Sender<Reply>) -> Self {
        Self { insert, reply, is_alone: false }
    }

    /// Whether two starts can be in one statement.
    fn can_share(&self, other: &Self) -> bool {
        !self.is_alone && !other.is_alone && self.insert.can_share(&other.insert)
    }
}

/// The result of a group for one of its starts.
#[derive(Debug)]
pub(super) enum Reply {
    Inserted,
    NotInserted,
    Failed(TransactionError),
    /// The group stored nothing, perhaps because of another start.
    RepeatAlone,
}
