//! The costs of a request, a connection, a setting and a row, printed as the tables of `docs/capacity.md`.
//!
//! The program runs as a process of its own, so its processor time and its memory are its own. Costs are processor time
//! and bytes, which depend on other work on the machine far less than latencies.

mod disk;
mod memory;
mod requests;
mod rules;

use std::{fs, time::Duration};

use crate::world::World;

pub(crate) async fn run(world: &mut World) {
    let requests = requests::measure(world).await;
    requests.print();
    let memory = memory::measure(world).await;
    memory.print();
    let disk = disk::measure(world).await;
    disk.print();
    rules::print(&requests, &memory, &disk);
}

/// Returns the processor time of all processes of the server, including processes that have ended.
///
/// # Panics
/// On systems without `/proc`.
fn postgres_time(world: &World) -> Duration {
    let postmaster = world.server.postmaster().unwrap();
    let mut total = Duration::ZERO;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let Some(fields) = statistics(pid) else { continue };
        let parent: i32 = fields[1].parse().unwrap();
        if pid == postmaster {
            // User and system time of children that have ended, in hundredths of a second.
            let ticks: u64 =
                fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
            total += Duration::from_millis(ticks * 10);
        }
        if pid == postmaster || parent == postmaster {
            total += scheduled(pid);
        }
    }
    total
}

/// Returns the fields of `/proc/<pid>/stat` after the name of the program; the first is the state.
fn statistics(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may contain spaces.
    let fields = text.rsplit(')').next()?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Returns the processor time of a running process with a single thread.
fn scheduled(pid: i32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// Formats a number with three significant digits and a comma between thousands.
fn rounded(number: f64) -> String {
    let digits = number.abs().max(1e-9).log10().floor();
    let unit = 10_f64.powf(digits - 2.0);
    let value = (number / unit).round() * unit;
    if value < 100.0 {
        let decimals = if value < 10.0 { 2 } else { 1 };
        return format!("{value:.decimals$}");
    }
    let plain = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
