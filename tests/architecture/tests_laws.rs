//! What the tests are held to: no sleep, and no time that decides a verdict. A sleep is too short on a busy machine
//! and too long on every other; a bound on elapsed time fails without a fault. `tests/support/wait.rs` has what
//! tests use instead, and is the one file that may do both.

use std::{fs, path::Path};

use proc_macro2::TokenTree;

use crate::source::{self, Source};

/// Files that may use the clock, each with the reason.
const CLOCKS: [(&str, &str); 5] = [
    ("tests/support/wait.rs", "all waiting is here, with one limit for what hangs"),
    ("tests/support/server.rs", "the shared server outlives its last user for a while"),
    ("tests/support/receiver.rs", "a request's arrival, for lower bounds on pauses"),
    ("tests/support/realtime_stub/mod.rs", "a provider that takes long, for a benchmark"),
    ("tests/browser/speed.mjs", "a measurement in a page"),
];

/// Names of functions and types that wait for time, or measure it.
const TIME: [&str; 14] = [
    "Instant",
    "SystemTime",
    "checked_duration_since",
    "duration_since",
    "elapsed",
    "interval_at",
    "park_timeout",
    "recv_timeout",
    "saturating_duration_since",
    "sleep",
    "sleep_until",
    "timeout",
    "timeout_at",
    "wait_timeout",
];

/// The same in scripts: of a browser, Node, Python, a shell.
const TIME_IN_SCRIPTS: [&str; 7] = [
    "Date.now(",
    "setTimeout(",
    "sleep ",
    "sleep(",
    "time.monotonic(",
    "time.time(",
    "waitForTimeout(",
];

/// Every breach in `tests/`, each with its file.
pub(crate) fn breaches() -> Vec<String> {
    let sources = Source::all("tests");
    let files = source::files(Path::new("tests"));
    assert!(!sources.is_empty() && !files.is_empty(), "no file was found");
    let in_rust = sources.iter().filter(|source| is_held(&source.path)).flat_map(clocks);
    let scripts = files.iter().filter(|path| is_script(path) && is_held(path));
    let in_scripts =
        scripts.flat_map(|path| clocks_in_script(path, &fs::read_to_string(path).unwrap()));
    in_rust.chain(in_scripts).collect()
}

/// Whether the laws apply to the file: not to itself, whose examples break them.
fn is_held(path: &str) -> bool {
    let has_reason = CLOCKS.iter().any(|(file, _)| *file == path);
    !has_reason && !path.starts_with("tests/architecture") && !path.contains("/node_modules/")
}

fn is_script(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("mjs" | "js" | "py" | "sh" | "html"))
}

/// Uses of the clock in Rust, and in the SQL and shell texts of its literals.
fn clocks(source: &Source) -> Vec<String> {
    let levels = source.levels();
    let tokens: Vec<&TokenTree> = levels.iter().flatten().collect();
    let names = TIME.into_iter().filter(|name| source.speaks_of(name));
    let texts = tokens.iter().filter_map(|token| match token {
        TokenTree::Literal(text) => Some(text.to_string()),
        _ => None,
    });
    let sleeps = texts.filter(|text| text.contains("pg_sleep") || has_shell_sleep(text));
    let names =
        names.map(|name| format!("{}: uses `{name}`: see tests/support/wait.rs", source.path));
    names.chain(sleeps.map(|text| format!("{}: sleeps in {text}", source.path))).collect()
}

/// Whether a literal holds the shell's `sleep 1`.
fn has_shell_sleep(text: &str) -> bool {
    let mut parts = text.split("sleep ").skip(1);
    parts.any(|rest| rest.starts_with(|next: char| next.is_ascii_digit() || next == '$'))
}

fn clocks_in_script(path: &str, text: &str) -> Vec<String> {
    let uses = TIME_IN_SCRIPTS.into_iter().filter(|name| text.contains(name));
    uses.map(|name| format!("{path}: uses `{}`: wait for an event", name.trim())).collect()
}

#[test]
fn tests_wait_for_events_and_never_for_time() {
    let breaches = breaches();
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn a_clock_in_a_test_is_found() {
    let breaches = |text: &str| clocks(&Source::of("tests/api/some.rs", text)).len();
    for text in [
        "async fn f() { tokio::time::sleep(X).await }",
        "use tokio::time::sleep;",
        "fn f() { std::thread::sleep(X) }",
        "fn f() { assert!(started.elapsed() < X) }",
        "async fn f() { tokio::time::timeout(X, g()).await }",
        "fn f() { lines.recv_timeout(X); }",
        "use std::time::Instant;",
        "fn f() { run(\"select pg_sleep(1)\") }",
        "fn f() { sh(\"x & sleep 1; kill $!\") }",
    ] {
        assert_eq!(breaches(text), 1, "{text}");
    }
    for text in [
        "async fn f() { wait_until(\"a row\", is_there).await }",
        "// sleep, elapsed",
        "fn f(limits: Limits) { g(\"no sleep for anybody\") }",
        "use std::time::Duration;",
    ] {
        assert_eq!(breaches(text), 0, "{text}");
    }
    for text in ["setTimeout(next, 20)", "until = time.monotonic() + 20", "sleep 3"] {
        assert_eq!(clocks_in_script("tests/a.mjs", text).len(), 1, "{text}");
    }
    assert_eq!(clocks_in_script("tests/a.mjs", "await page.waitForFunction(f)").len(), 0);
}

#[test]
fn every_file_that_may_use_the_clock_is_there() {
    for (path, reason) in CLOCKS {
        assert!(Path::new(path).is_file(), "{path} has gone; it was exempt because: {reason}");
    }
}
