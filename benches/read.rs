//! The cost of reading a setting in the process, compared with the minimum: `ArcSwap::load` and a hash lookup.
//!
//! First a table of ratios of alternating measurements, so that other load of the machine affects both sides; then each
//! variant alone, measured by criterion.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot continue should fail, and its output is the result"
)]

mod catalog;

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use brune::{
    metrics::Metrics,
    settings::{GlobalSettingsService, Number, SettingValue, Snapshot},
};
use criterion::{BenchmarkId, Criterion};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const THREADS: [usize; 2] = [1, 2];
/// Turns of each variant in the table, and reads of each turn.
const TURNS: usize = 31;
const READS: u64 = 100_000;

/// A way to read the number `key`.
type Read<'a> = &'a (dyn Fn(&str) -> i64 + Sync);

/// The same settings in the service and in a bare map.
struct Subjects {
    service: GlobalSettingsService,
    bare: ArcSwap<HashMap<String, SettingValue>>,
    keys: Vec<String>,
}

impl Subjects {
    /// Creates `count` settings, of which ten numbers at equal distances are read: a program reads the same few keys
    /// repeatedly, however many settings there are.
    fn new(count: usize) -> Self {
        let schema = Arc::new(catalog::generated(count).schema);
        let values = schema
            .editable()
            .map(|definition| (definition.key.clone(), definition.default.clone().unwrap()));
        let bare = ArcSwap::from_pointee(values.collect::<HashMap<_, _>>());
        let snapshot = Snapshot::of_defaults(schema).unwrap();
        let step = (count / 10).next_multiple_of(4);
        let keys = (0..10).map(|n| catalog::key(n * step % count / 4 * 4)).collect();
        Self { service: GlobalSettingsService::new(snapshot, &Metrics::default()), bare, keys }
    }

    fn bare(&self, key: &str) -> i64 {
        integer(self.bare.load().get(key))
    }

    fn service(&self, key: &str) -> i64 {
        match self.service.current().get_number(key) {
            Ok(Number::Integer(number)) => number,
            _ => 0,
        }
    }

    /// Reads as [`Self::service`], but clones the shared snapshot: the mistake that the interface discourages.
    fn cloned(&self, key: &str) -> i64 {
        match self.service.snapshot().get_number(key) {
            Ok(Number::Integer(number)) => number,
            _ => 0,
        }
    }
}

fn integer(value: Option<&SettingValue>) -> i64 {
    match value {
        Some(SettingValue::Number(Number::Integer(number))) => *number,
        _ => 0,
    }
}

/// Returns the duration of `reads` reads in each of `threads` concurrent threads: that of the slowest thread.
fn timed(threads: usize, reads: u64, keys: &[String], read: Read<'_>) -> Duration {
    let barrier = Barrier::new(threads);
    let run = || {
        let mut next = keys.iter().cycle();
        barrier.wait();
        let started_at = Instant::now();
        for _ in 0..reads {
            if let Some(key) = next.next() {
                black_box(read(black_box(key)));
            }
        }
        started_at.elapsed()
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let duration = run();
        let others = others.into_iter().map(|thread| thread.join().unwrap());
        others.fold(duration, Duration::max)
    })
}

#[expect(clippy::cast_precision_loss, reason = "a count of reads is small")]
fn nanoseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / READS as f64
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Measures `reads` alternating. Returns the median nanoseconds for each read and thread.
fn in_turns<const N: usize>(threads: usize, keys: &[String], reads: [Read<'_>; N]) -> [f64; N] {
    let mut times = [const { Vec::new() }; N];
    for _ in 0..TURNS {
        for (times, read) in times.iter_mut().zip(reads) {
            times.push(nanoseconds(timed(threads, READS, keys, read)));
        }
    }
    times.map(median)
}

/// Prints the ratios with their bar, and the nanoseconds for each read and thread.
fn print_table() {
    println!(
        "{:>8} {:>7} {:>7} {:>6} | {:>8} {:>8} {:>8}",
        "settings", "threads", "ratio", "bar", "bare", "service", "cloned"
    );
    for threads in THREADS {
        for size in SIZES {
            let subjects = Subjects::new(size);
            let bare = |key: &str| subjects.bare(key);
            let service = |key: &str| subjects.service(key);
            let cloned = |key: &str| subjects.cloned(key);
            let [bare, service, cloned] =
                in_turns(threads, &subjects.keys, [&bare, &service, &cloned]);
            let ratio = service / bare;
            println!(
                "{size:>8} {threads:>7} {ratio:>6.2}x {:>6} | {bare:>5.1} ns {service:>5.1} ns {cloned:>5.1} ns",
                "1.5x"
            );
        }
    }
}

fn variants(criterion: &mut Criterion) {
    for threads in THREADS {
        let mut group = criterion.benchmark_group(format!("read/{threads}-threads"));
        for size in SIZES {
            let subjects = Subjects::new(size);
            let bare = |key: &str| subjects.bare(key);
            let service = |key: &str| subjects.service(key);
            let cloned = |key: &str| subjects.cloned(key);
            let reads: [(&str, Read<'_>); 3] =
                [("bare", &bare), ("service", &service), ("cloned", &cloned)];
            for (name, read) in reads {
                group.bench_function(BenchmarkId::new(name, size), |bencher| {
                    bencher.iter_custom(|reads| timed(threads, reads, &subjects.keys, read));
                });
            }
        }
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    // `cargo test --benches` also starts the program, and expects no measurement.
    if std::env::args().any(|argument| argument == "--bench") {
        print_table();
    }
    variants(&mut criterion);
    criterion.final_summary();
}
