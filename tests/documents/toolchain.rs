//! The version of Rust, which the manifest, the toolchain file and the image name.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;
use toml::Table;

fn table(text: &str) -> Table {
    text.parse().unwrap()
}

/// Building and testing with the oldest supported version shows that the code and its dependencies compile with it.
#[test]
fn the_oldest_supported_rust_is_the_one_that_builds_and_tests() {
    let manifest = table(include_str!("../../Cargo.toml"));
    let oldest = manifest["package"]["rust-version"].as_str().unwrap();
    let toolchain = table(include_str!("../../rust-toolchain.toml"));
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let (pinned, _patch) = channel.rsplit_once('.').unwrap();
    assert_eq!(pinned, oldest, "rust-toolchain.toml and rust-version in Cargo.toml differ");
    let image = format!("FROM rust:{channel}-bookworm AS builder");
    let dockerfile = include_str!("../../Dockerfile");
    assert!(dockerfile.lines().any(|line| line == image), "Dockerfile has no line {image:?}");
}

/// With a newer compiler than the pinned one, cargo would not notice a dependency that needs more.
#[test]
fn no_dependency_needs_a_newer_rust() {
    let arguments = ["metadata", "--format-version=1", "--locked", "--filter-platform"];
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg(host()).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<_> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let packages = packages.filter(|package| used.contains(package["id"].as_str().unwrap()));
    let oldest = minor(env!("CARGO_PKG_RUST_VERSION"));
    let mut compared = 0;
    for package in packages {
        let Some(needed) = package["rust_version"].as_str() else { continue };
        assert!(minor(needed) <= oldest, "{} needs Rust {needed}", package["name"]);
        compared += 1;
    }
    assert!(compared > 100, "{compared} packages name a version");
}

/// The target of this build, as the compiler names it.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// The minor version of `1.95` or `1.95.0`.
fn minor(version: &str) -> u32 {
    version.split('.').nth(1).unwrap().parse().unwrap()
}
