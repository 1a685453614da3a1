//! The real `OpenFeature` clients for JavaScript and Python, against a real service.
//!
//! The clients come from the package registries, in the versions named here, once for each set of them. A machine
//! without a network needs `target/tmp` of one that had it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;

use brune::http::Limits;

use support::{
    INTERNAL_KEY, TestApp, admin,
    programs::{finish, install, installed, need, npm_install},
    sse::Served,
    user,
};

const FILES: [(&str, &str); 5] = [
    ("package.json", include_str!("package.json")),
    ("requirements.txt", include_str!("requirements.txt")),
    ("server.mjs", include_str!("server.mjs")),
    ("web.mjs", include_str!("web.mjs")),
    ("check.py", include_str!("check.py")),
];

#[tokio::test]
async fn the_provider_for_servers_in_javascript_reads_settings() {
    run(Kind::JavaScript, "server.mjs").await;
}

#[tokio::test]
async fn the_provider_for_browsers_reads_settings_and_hears_of_changes() {
    run(Kind::JavaScript, "web.mjs").await;
}

#[tokio::test]
async fn the_provider_in_python_reads_settings() {
    run(Kind::Python, "check.py").await;
}

#[derive(Clone, Copy)]
enum Kind {
    JavaScript,
    Python,
}

/// Runs `script` with the clients of its kind against a service of its own.
async fn run(kind: Kind, script: &str) {
    // Before the service is there, which would stand still meanwhile and take its database for gone.
    let dir = clients(kind);
    let app = TestApp::new().await;
    let served = Served::of(&app.instance, Limits::default()).await;
    let python = dir.join("venv/bin/python3");
    let program = match kind {
        Kind::JavaScript => "node",
        Kind::Python => python.to_str().unwrap(),
    };
    let variables = [
        ("BRUNE", &*format!("http://{}", served.address)),
        ("KEY", INTERNAL_KEY),
        ("ADMIN", &admin("ada")),
        ("USER", &user("ana")),
        ("NO_PROXY", "127.0.0.1"),
    ];
    finish(program, &dir.join(script), &variables).await;
}

/// Where the clients of `kind` and the scripts are.
fn clients(kind: Kind) -> PathBuf {
    match kind {
        Kind::JavaScript => {
            need("command -v node && command -v npm");
            installed("clients-javascript", &FILES, npm_install)
        }
        Kind::Python => {
            need("python3 -c 'import ensurepip, venv'");
            installed("clients-python", &FILES, |dir| {
                install(dir, "python3", &["-m", "venv", "--clear", "venv"]);
                let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
                let packages = ["--no-deps", "-r", "requirements.txt"];
                install(dir, "venv/bin/python3", &[&pip[..], &packages].concat());
            })
        }
    }
}
