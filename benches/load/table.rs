//! The printed lines, and the statistics in them.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Prints a ratio and its bar: a minimum for rates (`is_minimum`), a maximum for times.
pub(crate) fn line(what: &str, ratio: f64, bar: f64, is_minimum: bool, figures: &str) {
    let is_met = if is_minimum { ratio >= bar } else { ratio <= bar };
    let sign = if is_minimum { ">=" } else { "<=" };
    let verdict = if is_met { "met" } else { "MISSED" };
    println!("{what:<34} {ratio:>6.2}x  bar {sign} {bar:<4} {verdict:<6}  {figures}");
}

/// Prints a figure and its bar, a maximum.
pub(crate) fn figure(what: &str, figure: f64, bar: f64, unit: &str, details: &str) {
    let verdict = if figure <= bar { "met" } else { "MISSED" };
    println!("{what:<34} {figure:>6.1} {unit}  bar <= {bar} {unit} {verdict:<6}  {details}");
}

/// A histogram of durations, with the precision of a microsecond.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new(3).unwrap())
    }

    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.record(u64::try_from(duration.as_micros()).unwrap()).unwrap();
    }

    /// Adds all durations of `other`.
    pub(crate) fn join(&mut self, other: &Self) {
        self.0.add(&other.0).unwrap();
    }

    /// Returns the `quantile` (0.0 the minimum, 1.0 the maximum) in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "no duration here has so many microseconds")]
    pub(crate) fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.at(0.99)
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ms (p99 {:.2})", self.median(), self.p99())
    }
}

pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
