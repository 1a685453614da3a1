//! The types that numbers of the environment have, and ranges for those that `validator` does not know.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// A number that the environment can hold.
pub(super) trait Number: FromStr {
    /// The greatest value of the type; every range ends below.
    const MAX: Self;
}

impl Number for u16 {
    const MAX: Self = Self::MAX;
}

impl Number for u32 {
    const MAX: Self = Self::MAX;
}

impl Number for NonZeroU32 {
    const MAX: Self = Self::MAX;
}

/// Returns `number`, or 1 for 0.
pub(super) const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// A duration that the environment states in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Milliseconds(pub(super) u64);

impl Number for Milliseconds {
    const MAX: Self = Self(u64::MAX);
}

impl FromStr for Milliseconds {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl From<Milliseconds> for Duration {
    fn from(milliseconds: Milliseconds) -> Self {
        Self::from_millis(milliseconds.0)
    }
}

/// Lets `#[validate(range(…))]` bound types of the standard library that `validator` does not implement. The derived
/// code calls `validate_range` as a method, so a trait in scope is enough.
pub(super) trait RangeOfUnits {
    /// Returns the value in the unit of the range: milliseconds for a duration.
    fn units(&self) -> u64;

    fn validate_range(
        &self,
        min: Option<u64>,
        max: Option<u64>,
        _exclusive_min: Option<u64>,
        _exclusive_max: Option<u64>,
    ) -> bool {
        let units = self.units();
        min.is_none_or(|min| units >= min) && max.is_none_or(|max| units <= max)
    }
}

impl RangeOfUnits for Duration {
    fn units(&self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
}

impl RangeOfUnits for NonZeroU32 {
    fn units(&self) -> u64 {
        self.get().into()
    }
}
