//! Numbers that tune the process.

use std::{num::NonZeroU32, time::Duration};

use validator::Validate;

use super::{
    numbers::{Milliseconds, RangeOfUnits as _, at_least_one},
    reader::Reader,
};

/// Numbers that tune the process.
#[derive(Debug, Clone, Copy, Validate)]
pub struct Tuning {
    /// Connections of the pool (`BRUNE_DB_POOL_SIZE`).
    #[validate(range(min = 1, max = 500, code = "BRUNE_DB_POOL_SIZE"))]
    pub pool_size: u32,
    /// The most writes of an administrator per minute (`ADMIN_WRITE_RATE_LIMIT_PER_MINUTE`).
    #[validate(range(min = 1, max = 60_000, code = "ADMIN_WRITE_RATE_LIMIT_PER_MINUTE"))]
    pub admin_writes_per_minute: NonZeroU32,
    /// The most session starts of a user per minute (`BRUNE_START_RATE_LIMIT_PER_MINUTE`).
    #[validate(range(min = 1, max = 1_000, code = "BRUNE_START_RATE_LIMIT_PER_MINUTE"))]
    pub starts_per_minute: NonZeroU32,
    /// The pause between two polls for changes whose signal was lost (`BRUNE_RELOAD_POLL_MS`).
    #[validate(range(min = 100, max = 600_000, code = "BRUNE_RELOAD_POLL_MS"))]
    pub reload_poll: Duration,
}

impl Tuning {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let writes = reader.number("ADMIN_WRITE_RATE_LIMIT_PER_MINUTE", at_least_one(60));
        let starts = reader.number("BRUNE_START_RATE_LIMIT_PER_MINUTE", at_least_one(10));
        let tuning = Self {
            pool_size: reader.number("BRUNE_DB_POOL_SIZE", 10),
            admin_writes_per_minute: writes,
            starts_per_minute: starts,
            reload_poll: reader.number("BRUNE_RELOAD_POLL_MS", Milliseconds(5_000)).into(),
        };
        reader.validate(&tuning);
        tuning
    }
}
