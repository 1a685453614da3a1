//! Browser tests: Node scripts drive Chromium with Playwright.
//!
//! A script receives URLs and tokens in its environment, and a page from `chromium.mjs`. The packages of `package.json` are
//! installed from npm once, into `target/tmp`. A machine without a network needs a copy of that directory.

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
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use support::programs::{finish, install, installed, need, npm_install};

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
    "journey_keyboard.mjs",
    "journey_outbox.mjs",
    "pages.mjs",
    "speed.mjs",
    "hostile.mjs",
    "prefix.mjs",
];

/// Returns the directory of the scripts. A page script is bundled into a single file: `flags.page.mjs` becomes
/// `flags.page.js`.
fn scripts() -> PathBuf {
    need("command -v node && command -v npm");
    need("command -v chromium");
    // Scripts change more often than packages, and packages take a while to install.
    let packages = installed("browser-packages", &[PACKAGES], npm_install);
    installed("browser", FILES, |dir| {
        symlink(packages.join("node_modules"), dir.join("node_modules")).unwrap();
        let pages = FILES.iter().map(|(name, _)| *name).filter(|name| name.ends_with(".page.mjs"));
        let options = ["--bundle", "--format=esm", "--log-level=warning", "--outdir=."];
        install(dir, "node_modules/.bin/esbuild", &pages.chain(options).collect::<Vec<_>>());
    })
}

/// Runs `script` and returns its output. Panics unless its exit status is 0.
async fn run(dir: &Path, script: &str, variables: &[(&str, &str)]) -> String {
    let screenshots = concat!(env!("CARGO_TARGET_TMPDIR"), "/browser-failures");
    let defaults = [("CHROMIUM", "/usr/bin/chromium"), ("SCREENSHOTS", screenshots)];
    finish("node", &dir.join(script), &[&defaults, variables].concat()).await
}
