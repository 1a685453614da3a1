//! What a change of the settings would have done to recorded attempts: a replay by the rules of a start. Stores nothing.

mod peak;
mod recorded;
mod replay;
mod report;
mod store;
mod summary;
mod tally;
mod unknown;
mod window;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{self, Instant},
};

pub use report::{ChangedSetting, Cut, Decisions, Difference, Example, Group, Range, WhatIf};
pub use window::{InvalidPeriod, Period};

use crate::{
    compute,
    database::{Connection, Deadline, OnSuccess, Pool, Transaction, TransactionError},
    sessions::{
        rules::{DECIDING_KEYS, SessionSettings},
        start,
        what_if::{recorded::RecordedSettings, replay::Replay, summary::Numbers, window::Window},
    },
    settings::{Preview, SettingValue},
};

/// The most attempts of a replay.
const MAX_ATTEMPTS: i64 = 200_000;

/// The time for reading. Then the users so far are the answer, before the deadline of the request.
const READING_TIME: Duration = Duration::from_millis(3_500);

/// How long a preview waits for another one.
const TURN_PATIENCE: Duration = Duration::from_secs(2);

/// The number of rows between two looks at the clock.
const ROWS_BETWEEN_CHECKS: u32 = 128;

/// Why a what-if has no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// Another what-if or preview runs on this instance.
    #[error("another what-if or preview is running on this instance")]
    Busy,
    /// The window is invalid.
    #[error(transparent)]
    Period(#[from] InvalidPeriod),
    /// The settings are incomplete, so that no session can start.
    #[error(transparent)]
    Settings(start::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

impl From<sqlx::Error> for WhatIfError {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

/// Answers what-ifs, and admits previews of rollouts, one at a time: each uses a processor for seconds. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WhatIfRunner(Arc<Semaphore>);

impl Default for WhatIfRunner {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl WhatIfRunner {
    /// Waits up to two seconds until no what-if and no preview runs, and prevents another one until the permit is dropped.
    ///
    /// # Errors
    /// `Busy` after the two seconds.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, WhatIfError> {
        let permit = Arc::clone(&self.0).acquire_owned();
        // Two people who open one page should not see an error, and a request has five seconds.
        match time::timeout(TURN_PATIENCE, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(WhatIfError::Busy),
        }
    }

    /// Replays the attempts of `period` under the settings of `preview`.
    ///
    /// # Errors
    /// A what-if is running, the period is invalid, or the database failed.
    pub async fn run(
        &self,
        pool: &Pool,
        preview: &Preview,
        period: &Period,
        now: DateTime<Utc>,
    ) -> Result<WhatIf, WhatIfError> {
        let window = Window::new(period, now)?;
        let settings = SessionSettings::read(&preview.after);
        let settings = settings.map_err(|invalid| WhatIfError::Settings(invalid.into()))?;
        let _permit = self.0.try_acquire().map_err(|_| WhatIfError::Busy)?;
        let finished = read(pool, preview, window, settings).await?;
        // Sorting the sessions takes milliseconds of CPU.
        let size = usize::try_from(finished.replay.attempts()).unwrap_or(usize::MAX);
        Ok(compute::run(size.saturating_mul(16), || finished.report(preview)).await)
    }
}

/// A replay of the attempts that could be read.
struct Finished {
    window: Window,
    replay: Replay,
    /// Keys outside of the change with other values in the window.
    moved_keys: Vec<String>,
    limits_reached: Vec<&'static str>,
}

async fn read(
    pool: &Pool,
    preview: &Preview,
    window: Window,
    settings_after: SessionSettings,
) -> Result<Finished, WhatIfError> {
    let deadline = Deadline::standard();
    let stop_at = Instant::now() + READING_TIME;
    // One snapshot for all statements, and no lock: writers and starts continue.
    let mut transaction = Transaction::begin_reading(pool, deadline).await?;
    let replay = replay(transaction.conn(), preview, window, settings_after, stop_at);
    match deadline.within(replay).await {
        // The rest of the rows is still on its way, so the connection is closed.
        Ok(finished) if finished.limits_reached.contains(&"time") => Ok(finished),
        result => transaction.finish(result, OnSuccess::Rollback).await,
    }
}

async fn replay(
    conn: &mut Connection,
    preview: &Preview,
    mut window: Window,
    settings_after: SessionSettings,
    stop_at: Instant,
) -> Result<Finished, WhatIfError> {
    let mut limits_reached = Vec::new();
    let extent = store::extent(conn, &window).await?;
    if extent.attempts > MAX_ATTEMPTS {
        limits_reached.push("attempts");
        let since = store::time_of_nth_newest(conn, &window, MAX_ATTEMPTS).await?;
        window.since = since.unwrap_or(window.since);
    }
    let keys = DECIDING_KEYS.map(str::to_owned);
    let oldest = extent.oldest_revision.unwrap_or(preview.before.revision);
    let values = store::recorded_values(conn, &keys, oldest).await?;
    let candidate_values = store::candidate_values(conn, &keys).await?;
    let is_moved = |key: &&String| {
        let current = preview.before.value(key).map(SettingValue::to_json);
        let mut recorded = values.iter().filter(|value| value.key == **key);
        recorded.any(|recorded| recorded.value != current)
    };
    let mut moved_keys: BTreeSet<String> = keys.iter().filter(is_moved).cloned().collect();
    let settings = RecordedSettings::new(&preview.before, &keys, values, candidate_values);
    let cooldown = settings.longest_cooldown().max(settings_after.cooldown_minutes);
    let window = window.with_history(window.since, cooldown);
    let mut replay = Replay::new(window.since, settings, settings_after);
    let mut rows = 0_u32;
    let is_complete = store::for_each_attempt(conn, &window, |row| {
        replay.add(&row);
        rows = rows.wrapping_add(1);
        !rows.is_multiple_of(ROWS_BETWEEN_CHECKS) || Instant::now() < stop_at
    });
    if !is_complete.await? {
        limits_reached.push("time");
    }
    let of_candidates = replay.settings().keys_of_candidates(&preview.before);
    moved_keys.extend(of_candidates.into_iter().map(str::to_owned));
    let is_outside = |key: &String| moved_keys.contains(key) && !preview.keys.contains(key);
    let moved_keys = keys.into_iter().filter(is_outside).collect();
    Ok(Finished { window, replay, moved_keys, limits_reached })
}

impl Finished {
    fn report(self, preview: &Preview) -> WhatIf {
        let Self { window, replay, moved_keys, limits_reached } = self;
        let (recorded, tallies) = replay.finish();
        let zero = Range { least: 0, most: 0 };
        let report = WhatIf {
            since: window.since,
            until: window.until,
            revision: preview.before.revision,
            changed: changed_settings(preview),
            attempts: 0,
            reproduced_attempts: 0,
            reproduced: None,
            newly_refused: Decisions::none(),
            newly_admitted: Decisions::none(),
            cut_shorter: Cut { sessions: zero, minutes: zero },
            minutes_before: 0,
            minutes_after: zero,
            peak_before: 0,
            peak_after: zero,
            examples: Vec::new(),
            unknown: Vec::new(),
            warnings: Vec::new(),
            limits_reached,
        };
        let mut report = report.with_numbers(Numbers { recorded, tallies });
        report.unknown = unknown::sentences(preview, &report);
        report.warnings = unknown::warnings(&report, &moved_keys);
        report
    }
}

fn changed_settings(preview: &Preview) -> Vec<ChangedSetting> {
    let Preview { before, after, keys } = preview;
    let differing = keys.iter().filter(|key| before.value(key) != after.value(key));
    let changes = differing.map(|key| ChangedSetting {
        key: key.clone(),
        old_value: before.value(key).map(SettingValue::to_json),
        new_value: after.value(key).map(SettingValue::to_json),
    });
    changes.collect()
}
