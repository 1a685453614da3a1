//! Sizes of typical loads, computed from the measured costs.

use super::{
    disk::Disk,
    memory::Memory,
    requests::{BACKGROUND, Requests},
    rounded,
};

/// The planned utilization of a core: the rest is for peaks.
const USABLE: f64 = 0.5;
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.0;
/// The days for which delivered messages are kept.
const MESSAGE_DAYS: f64 = 7.0;

pub(super) fn print(requests: &Requests, memory: &Memory, disk: &Disk) {
    print_rates(requests);
    print_memory(memory);
    print_disk(requests, disk);
}

fn print_rates(requests: &Requests) {
    println!(
        "\n| load | one core of the service, half used | one core of Postgres, half used |\n|---|---|---|"
    );
    for kind in [
        "all flags, nine settings",
        "session start",
        "change of one setting",
        "page of the history",
    ] {
        let cost = requests.of(kind);
        let rate = |microseconds: f64| {
            if microseconds < BACKGROUND {
                "not limited".to_owned()
            } else {
                format!("{} a second", rounded(USABLE * 1e6 / microseconds))
            }
        };
        println!("| {kind} | {} | {} |", rate(cost.service), rate(cost.postgres));
    }
}

fn print_memory(memory: &Memory) {
    println!("\n| instance | memory |\n|---|---|");
    for (settings, connections, streams) in [
        (9.0, 100.0, 0.0),
        (100.0, 500.0, 500.0),
        (1_000.0, 1_000.0, 2_500.0),
        (10_000.0, 4_000.0, 2_500.0),
    ] {
        let kilobytes =
            settings * memory.setting + connections * memory.connection + streams * memory.stream;
        println!(
            "| {} settings, {} idle connections, {} streams | {} MB |",
            count(settings),
            count(connections),
            count(streams),
            rounded(memory.idle + kilobytes / 1e3)
        );
    }
}

fn print_disk(requests: &Requests, disk: &Disk) {
    println!("\n| load | rows | disk | log |\n|---|---|---|---|");
    let audit = disk.of("audit entry");
    let session = disk.of("session, expired");
    let message = disk.of("message, delivered");
    let size = |bytes: f64| match bytes {
        ..1e9 => format!("{} MB", rounded(bytes / 1e6)),
        _ => format!("{} GB", rounded(bytes / 1e9)),
    };
    for changes in [100.0, 1_000.0, 10_000.0] {
        let log = changes * requests.of("change of one setting").log;
        println!(
            "| {} changes a day | {} a year | {} a year | {} a day |",
            count(changes),
            rounded(changes * YEAR),
            size(changes * YEAR * audit),
            size(log),
        );
    }
    for starts in [1.0, 10.0, 100.0] {
        let log = starts * DAY * requests.of("session start").log;
        println!(
            "| {starts} starts a second | {} a day | {} a day | {} a day |",
            rounded(starts * DAY),
            size(starts * DAY * session),
            size(log),
        );
    }
    println!(
        "| a message for each of 10 starts a second | {} at most | {} at most | |",
        rounded(10.0 * DAY * MESSAGE_DAYS),
        size(10.0 * DAY * MESSAGE_DAYS * message),
    );
}

/// Formats a whole number with a comma between thousands.
fn count(number: f64) -> String {
    if number < 1_000.0 { format!("{number:.0}") } else { rounded(number) }
}
