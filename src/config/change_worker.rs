//! How due proposals are applied.

use std::time::Duration;

use validator::Validate;

use super::{
    numbers::{Milliseconds, RangeOfUnits as _},
    reader::Reader,
};

/// How due proposals are applied.
#[derive(Debug, Clone, Copy, Validate)]
pub struct ChangeWorker {
    /// Whether this instance runs the worker (`BRUNE_CHANGE_WORKER_ENABLED`).
    pub enabled: bool,
    /// The pause between two polls (`BRUNE_CHANGE_WORKER_INTERVAL_MS`).
    #[validate(range(min = 100, max = 600_000, code = "BRUNE_CHANGE_WORKER_INTERVAL_MS"))]
    pub interval: Duration,
}

impl ChangeWorker {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let interval = reader.number("BRUNE_CHANGE_WORKER_INTERVAL_MS", Milliseconds(1_000));
        let worker = Self {
            enabled: reader.boolean("BRUNE_CHANGE_WORKER_ENABLED", true),
            interval: interval.into(),
        };
        reader.validate(&worker);
        worker
    }
}
