//! Pages in a real Chromium, which a script of Node drives.
//!
//! A script is run with the addresses and tokens that it needs in its environment; `chromium.mjs` gives it its page.
//! Packages come from npm once, in the versions of `package.json`. A machine without a network needs `target/tmp` of
//! one that had it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![expect(clippy::print_stdout, reason = "figures are told by the tests that find them")]

mod console;
mod flags;
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
    "pages.mjs",
    "speed.mjs",
    "bytes.mjs",
    "hostile.mjs",
    "prefix.mjs",
];

/// Where the scripts are, and what a page loads, in one file for each: `flags.page.mjs` becomes `flags.page.js`.
fn scripts() -> PathBuf {
    need("command -v node && command -v npm");
    need("command -v chromium");
    // Scripts change more often than the packages, which take a while.
    let packages = installed("browser-packages", &[PACKAGES], npm_install);
    installed("browser", FILES, |dir| {
        symlink(packages.join("node_modules"), dir.join("node_modules")).unwrap();
        let pages = FILES.iter().map(|(name, _)| *name).filter(|name| name.ends_with(".page.mjs"));
        let options = ["--bundle", "--format=esm", "--log-level=warning", "--outdir=."];
        install(dir, "node_modules/.bin/esbuild", &pages.chain(options).collect::<Vec<_>>());
    })
}

/// Runs `script`, which is to end well.
async fn run(dir: &Path, script: &str, variables: &[(&str, &str)]) -> String {
    let pictures = concat!(env!("CARGO_TARGET_TMPDIR"), "/browser-failures");
    let own = [("CHROMIUM", "/usr/bin/chromium"), ("PICTURES", pictures)];
    finish("node", &dir.join(script), &[&own, variables].concat()).await
}
