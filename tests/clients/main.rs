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

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use brune::http::Limits;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use support::{INTERNAL_KEY, TestApp, admin, programs::need, sse::Served, user};

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

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    JavaScript,
    Python,
}

/// Runs `script` with the clients of its kind against a service of its own.
async fn run(kind: Kind, script: &str) {
    // Before the service is there, which would stand still meanwhile and take its database for gone.
    let dir = installed(kind);
    let app = TestApp::new().await;
    let served = Served::of(&app.instance, Limits::default()).await;
    let program = match kind {
        Kind::JavaScript => PathBuf::from("node"),
        Kind::Python => dir.join("venv/bin/python3"),
    };
    let variables = [
        ("BRUNE", format!("http://{}", served.address)),
        ("KEY", INTERNAL_KEY.to_owned()),
        ("ADMIN", admin("ada")),
        ("USER", user("ana")),
        ("NO_PROXY", "127.0.0.1".to_owned()),
    ];
    let mut command = tokio::process::Command::new(program);
    command.arg(dir.join(script)).current_dir(&dir).envs(variables).kill_on_drop(true);
    let ran = tokio::time::timeout(std::time::Duration::from_mins(1), command.output());
    let ran = ran.await.expect("it ends in time").unwrap();
    let said = [ran.stdout, ran.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(ran.status.success(), "{script}: {}\n{}", ran.status, said.concat());
}

/// Where the clients of `kind` and the scripts are. Processes that want the same at once wait for the first.
fn installed(kind: Kind) -> PathBuf {
    let content: String = FILES.iter().map(|(_, text)| *text).collect();
    let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(content)[..6]);
    let name = if kind == Kind::Python { "python" } else { "javascript" };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("clients-{name}-{digest}"));
    fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    match kind {
        Kind::JavaScript => need("command -v node && command -v npm"),
        Kind::Python => need("python3 -c 'import ensurepip, venv'"),
    }
    if !dir.join("done").exists() {
        for (file, text) in FILES {
            fs::write(dir.join(file), text).unwrap();
        }
        match kind {
            Kind::JavaScript => install(
                &dir,
                "npm",
                &["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"],
            ),
            Kind::Python => {
                install(&dir, "python3", &["-m", "venv", "--clear", "venv"]);
                let pip = [
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                    "-r",
                    "requirements.txt",
                ];
                install(&dir, "venv/bin/python3", &pip);
            }
        }
        File::create(dir.join("done")).unwrap();
    }
    dir
}

fn install(dir: &Path, program: &str, arguments: &[&str]) {
    let found = dir.join(program);
    let path = if found.exists() { found } else { PathBuf::from(program) };
    let ran = Command::new(path).args(arguments).current_dir(dir).output();
    let why = match ran {
        Ok(ran) if ran.status.success() => return,
        Ok(ran) => String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned(),
        Err(err) => err.to_string(),
    };
    panic!(
        "the OpenFeature clients cannot be installed: `{program} {}` failed. These tests need Node 18 with npm and \
         Python 3 with venv, which `.ci/setup` installs, and once a network that reaches the package registries.\n{why}",
        arguments.join(" ")
    );
}
