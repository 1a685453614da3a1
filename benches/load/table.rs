//! What the harness prints.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A ratio beside its bar: `at_least` is for rates, at most for times.
pub(crate) fn line(what: &str, ratio: f64, bar: f64, at_least: bool, figures: &str) {
    let met = if at_least { bar <= ratio } else { ratio <= bar };
    let sign = if at_least { ">=" } else { "<=" };
    let verdict = if met { "met" } else { "MISSED" };
    println!("{what:<34} {ratio:>6.2}x  bar {sign} {bar:<4} {verdict:<6}  {figures}");
}

/// A figure beside its bar.
pub(crate) fn figure(what: &str, figure: f64, bar: f64, unit: &str, more: &str) {
    let verdict = if figure <= bar { "met" } else { "MISSED" };
    println!("{what:<34} {figure:>6.1} {unit}  bar <= {bar} {unit} {verdict:<6}  {more}");
}

/// Times, to the microsecond.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new(3).unwrap())
    }

    pub(crate) fn add(&mut self, took: Duration) {
        self.0.record(u64::try_from(took.as_micros()).unwrap()).unwrap();
    }

    pub(crate) fn join(&mut self, other: &Self) {
        self.0.add(&other.0).unwrap();
    }

    /// The time that `quantile` of them did not exceed, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "no time here has so many microseconds")]
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

pub(crate) fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
