//! Browser tests: Node scripts drive Chromium with Playwright.
//!
//! A script receives URLs and tokens in its environment, and a page from `chromium.mjs`. `.ci/setup` installs the packages of
//! `package.json` from npm, once for each content of that file.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is a test failure"
)]
#![expect(clippy::print_stdout, reason = "measurements are printed")]

mod console;
mod flags;
mod outbox;
mod prefix;
#[path = "../support/mod.rs"]
mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use support::programs::{directory_of, finish, link_modules, need, packages};

const PACKAGES: (&str, &str) = ("package.json", include_str!("package.json"));

macro_rules! files {
    ($($name:literal,)*) => {
        &[PACKAGES, $(($name, include_str!($name)),)*]
    };
}

const FILES: &[(&str, &str)] = files![
    "chromium.mjs",
    "flags.html",
    "flags.page.mjs",
    "flags.mjs",
    "console.mjs",
    "journey_sign_in.mjs",
    "journey_edit.mjs",
    "journey_conflict.mjs",
    "journey_expired.mjs",
    "journey_restore.mjs",
    "journey_transfer.mjs",
    "journey_secrets.mjs",
    "journey_sessions.mjs",
    "journey_no_sessions.mjs",
    "journey_identity.mjs",
    "journey_keyboard.mjs",
    "journey_notices.mjs",
    "journey_outbox.mjs",
    "journey_propose.mjs",
    "journey_safety.mjs",
    "journey_what_if.mjs",
    "journey_rollout.mjs",
    "journey_releases.mjs",
    "journey_proposals.mjs",
    "journey_proposals_keyboard.mjs",
    "pages.mjs",
    "speed.mjs",
    "bytes.mjs",
    "hostile.mjs",
    "prefix.mjs",
];

/// Returns the directory of the scripts. A page script is bundled into a single file: `flags.page.mjs` becomes
/// `flags.page.js`.
fn scripts() -> PathBuf {
    need("command -v node");
    need("command -v chromium");
    let packages = packages("browser", "tests/browser/package.json", PACKAGES.1);
    directory_of("browser", FILES, |dir| {
        link_modules(&packages, dir);
        bundle_pages(dir);
    })
}

/// Bundles each page script in `dir` with what it imports.
fn bundle_pages(dir: &Path) {
    let pages = FILES.iter().map(|(name, _)| *name).filter(|name| name.ends_with(".page.mjs"));
    let mut esbuild = Command::new(dir.join("node_modules/.bin/esbuild"));
    esbuild.args(pages).args(["--bundle", "--format=esm", "--log-level=warning", "--outdir=."]);
    let output = esbuild.current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `script` and returns its output. Panics unless its exit status is 0.
async fn run(dir: &Path, script: &str, variables: &[(&str, &str)]) -> String {
    let screenshots = concat!(env!("CARGO_TARGET_TMPDIR"), "/browser-failures");
    let defaults = [("CHROMIUM", "/usr/bin/chromium"), ("SCREENSHOTS", screenshots)];
    finish("node", &dir.join(script), &[&defaults, variables].concat()).await
}
