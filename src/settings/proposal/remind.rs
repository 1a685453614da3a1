//! Reminders of emergencies that nobody has acknowledged.

use crate::{
    database::{self, Connection, OnSuccess},
    proposals::{self, UnacknowledgedBypass},
    settings::{
        change::{self, BypassMessage},
        proposal::{
            error::Error,
            step::{self, Locked, Step},
        },
        writer::SettingsWriter,
    },
};

/// Enqueues a message for each emergency that nobody has acknowledged and whose last message is a day old. Returns the
/// numbers. An emergency by `psql` has no first message, so the reminder is due at once. Several instances may run this
/// at once: the lock of the head lets one of them act.
pub async fn remind_of_bypasses(writer: &SettingsWriter) -> Result<Vec<i64>, Error> {
    let mut numbers = Vec::new();
    let mut position = 0;
    loop {
        let next = database::read_with_retry(&writer.pool, async |conn| {
            proposals::next_unacknowledged(conn, position).await
        });
        let Some(bypass) = next.await? else { return Ok(numbers) };
        position = bypass.number;
        if step::run(writer, OnSuccess::Commit, &Remind { bypass }).await? {
            numbers.push(position);
        }
    }
}

/// Enqueues the reminder of an emergency, if the reminder is still due under the lock.
struct Remind {
    bypass: UnacknowledgedBypass,
}

impl Step for Remind {
    type Output = bool;

    async fn run(&self, conn: &mut Connection, locked: &Locked<'_>) -> Result<bool, Error> {
        let bypass = &self.bypass;
        let message = BypassMessage {
            proposal: bypass.number,
            edition: bypass.edition,
            revision: bypass.revision,
            keys: bypass.keys.iter().map(String::as_str).collect(),
            by: &bypass.bypassed_by,
            reason: &bypass.reason,
            request: &bypass.request_id,
        };
        let (outbox, scanner) = (&locked.writer.outbox, &locked.writer.scanner);
        Ok(change::enqueue_bypassed(conn, outbox, scanner, &message, true).await?)
    }
}
