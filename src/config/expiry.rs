//! How sessions whose time is over are marked.

use std::time::Duration;

use super::reading::Reading;

/// How sessions whose time is over are marked.
#[derive(Debug, Clone, Copy)]
pub struct Expiry {
    /// Whether this instance does it (`BRUNE_EXPIRY_WORKER_ENABLED`).
    pub enabled: bool,
    /// Between two looks (`BRUNE_EXPIRY_WORKER_INTERVAL_MS`).
    pub interval: Duration,
    /// Sessions marked at once (`BRUNE_EXPIRY_WORKER_BATCH_SIZE`).
    pub batch: u16,
}

impl Expiry {
    pub(super) fn read(reading: &mut Reading<'_>) -> Self {
        Self {
            enabled: reading.boolean("BRUNE_EXPIRY_WORKER_ENABLED", true),
            interval: reading.milliseconds(
                "BRUNE_EXPIRY_WORKER_INTERVAL_MS",
                10_000,
                100..=600_000,
            ),
            batch: reading.number("BRUNE_EXPIRY_WORKER_BATCH_SIZE", 100, 1..=10_000),
        }
    }
}
