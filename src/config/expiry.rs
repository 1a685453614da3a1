//! How expired sessions are marked.

use std::time::Duration;

use validator::Validate;

use super::{
    numbers::{Milliseconds, RangeOfUnits as _},
    reader::Reader,
};

/// How expired sessions are marked.
#[derive(Debug, Clone, Copy, Validate)]
pub struct Expiry {
    /// Whether this instance runs the worker (`BRUNE_EXPIRY_WORKER_ENABLED`).
    pub enabled: bool,
    /// The pause between two polls (`BRUNE_EXPIRY_WORKER_INTERVAL_MS`).
    #[validate(range(min = 100, max = 600_000, code = "BRUNE_EXPIRY_WORKER_INTERVAL_MS"))]
    pub interval: Duration,
    /// The most sessions of one statement (`BRUNE_EXPIRY_WORKER_BATCH_SIZE`).
    #[validate(range(min = 1, max = 10_000, code = "BRUNE_EXPIRY_WORKER_BATCH_SIZE"))]
    pub batch: u16,
}

impl Expiry {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let interval = reader.number("BRUNE_EXPIRY_WORKER_INTERVAL_MS", Milliseconds(10_000));
        let expiry = Self {
            enabled: reader.boolean("BRUNE_EXPIRY_WORKER_ENABLED", true),
            interval: interval.into(),
            batch: reader.number("BRUNE_EXPIRY_WORKER_BATCH_SIZE", 100),
        };
        reader.validate(&expiry);
        expiry
    }
}
