//! Reminders of emergencies that nobody has acknowledged.

use crate::{
    database::{self, Connection, OnSuccess},
    proposals::{self, UnacknowledgedEmergency},
    settings::{
        change::{self, EmergencyMessage},
        proposal::{
            error::Error,
            step::{self, Step, StepContext},
        },
        writer::SettingsWriter,
    },
};

/// Enqueues a message for each emergency that nobody has acknowledged and whose last message is a day old. Returns the
/// numbers. An emergency by `psql` has no first message, so the reminder is due at once. Several instances may run this
/// at once: the lock of the head lets one of them act.
pub async fn remind_of_emergencies(writer: &SettingsWriter) -> Result<Vec<i64>, Error> {
    let mut numbers = Vec::new();
    let mut position = 0;
    loop {
        let next = database::read_with_retry(&writer.pool, async |conn| {
            proposals::next_unacknowledged(conn, position).await
        });
        let Some(emergency) = next.await? else { return Ok(numbers) };
        position = emergency.number;
        if step::run(writer, OnSuccess::Commit, &Remind { emergency }).await? {
            numbers.push(position);
        }
    }
}

/// Enqueues the reminder of an emergency, if the reminder is still due under the lock.
struct Remind {
    emergency: UnacknowledgedEmergency,
}

impl Step for Remind {
    type Output = bool;

    async fn run(&self, conn: &mut Connection, context: &StepContext<'_>) -> Result<bool, Error> {
        let emergency = &self.emergency;
        let message = EmergencyMessage {
            proposal: emergency.number,
            edition: emergency.edition,
            revision: emergency.revision,
            keys: emergency.keys.iter().map(String::as_str).collect(),
            by: &emergency.bypassed_by,
            reason: &emergency.reason,
            request: &emergency.request_id,
        };
        let (outbox, scanner) = (&context.writer.outbox, &context.writer.scanner);
        Ok(change::enqueue_emergency_alert(conn, outbox, scanner, &message, true).await?)
    }
}
