//! Keeps [`GlobalSettingsService`] at what the database says: on every hint, and on a timer. A hint may be lost,
//! come late or twice: it only says when to look, and what is read is the database.

mod notify;
mod redis;
mod store;

use std::{ops::Range, time::Duration};

use tokio::time::{self, Instant};
use tracing::{error, warn};

use crate::{
    clock::jittered,
    config::Secret,
    database::Pool,
    metrics::Source,
    settings::{current::GlobalSettingsService, reload},
};

/// How soon a lost channel is opened again at first, and at most.
const PAUSES: Range<Duration> = Duration::from_millis(50)..Duration::from_secs(5);

/// What tells of a change before the timer does.
#[derive(Debug, Clone)]
pub enum ChangeSignal {
    /// Notifications of Postgres.
    Notify,
    /// Nothing: for poolers that share sessions, and databases without `LISTEN`.
    None,
    /// Messages of the Redis at this address, which the instances send each other.
    Redis(Secret),
}

/// Follows the database until dropped, by notification and by timer.
pub async fn follow(pool: Pool, settings: GlobalSettingsService, poll: Duration) {
    follow_by(ChangeSignal::Notify, pool, settings, poll).await;
}

/// Follows the database until dropped. A failure leaves the last good settings in force.
pub async fn follow_by(
    hints: ChangeSignal,
    pool: Pool,
    settings: GlobalSettingsService,
    poll: Duration,
) {
    let tick = tick(&pool, &settings, poll);
    match hints {
        ChangeSignal::Notify if pool.session_options().is_some() => {
            tokio::join!(notify::listen(&pool, &settings), tick);
        }
        ChangeSignal::Notify | ChangeSignal::None => {
            if let ChangeSignal::Notify = hints {
                warn!(
                    "through a pooler in transaction mode no notification arrives: changes that others make are \
                     found by the poll; set DATABASE_DIRECT_URL to listen past it"
                );
            }
            settings.set_listening(true);
            tokio::join!(own(&pool, &settings), tick);
        }
        ChangeSignal::Redis(url) => {
            // Without Redis the timer does its work: nobody is less ready for it.
            settings.set_listening(true);
            let hints = redis::exchange(&url, &pool, &settings);
            tokio::join!(own(&pool, &settings), hints, tick);
        }
    }
}

/// Reads on a timer, with jitter, so that instances do not all read at once. Its reads go through the
/// pool: a poll must not depend on the connection whose silence it is there to survive.
async fn tick(pool: &Pool, settings: &GlobalSettingsService, poll: Duration) {
    loop {
        time::sleep(jittered(poll, 0.9..1.1)).await;
        take_on(Source::Poll, pool, settings).await;
    }
}

/// Reads after every change that was made through this instance, of which nobody notifies it.
async fn own(pool: &Pool, settings: &GlobalSettingsService) {
    loop {
        settings.local_write().await;
        take_on(Source::Demand, pool, settings).await;
    }
}

async fn take_on(source: Source, pool: &Pool, settings: &GlobalSettingsService) {
    if let Err(err) = reload::refresh_for(source, pool, settings).await {
        error!(
            error = &err as &dyn std::error::Error,
            "kept the settings of revision {}",
            settings.revision()
        );
    }
}

/// How long to wait before a lost channel is opened again.
struct Backoff {
    next: Duration,
    opened: Option<Instant>,
}

impl Backoff {
    fn new() -> Self {
        Self { next: PAUSES.start, opened: None }
    }

    /// The channel is open.
    fn opened(&mut self) {
        self.opened = Some(Instant::now());
    }

    /// Waits: the shortest pause when the channel stood longer than it was waited for, else a longer one each
    /// time. A channel that works and is lost now and then is back soon; one that is lost at once is not tried
    /// without end.
    async fn pause(&mut self) {
        let stood = self.opened.take().map_or(Duration::ZERO, |opened| opened.elapsed());
        self.next = if stood < self.next { (self.next * 2).min(PAUSES.end) } else { PAUSES.start };
        // Full jitter: a fleet that lost its database must not come back all at once.
        time::sleep(jittered(self.next, 0.0..1.0)).await;
    }
}
