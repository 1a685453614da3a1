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

const FILES: [(&str, &str); 9] = [
    ("package.json", include_str!("package.json")),
    ("requirements.txt", include_str!("requirements.txt")),
    ("server.mjs", include_str!("server.mjs")),
    ("web.mjs", include_str!("web.mjs")),
    ("check.py", include_str!("check.py")),
    ("decimal.mjs", include_str!("decimal.mjs")),
    ("decimal.py", include_str!("decimal.py")),
    ("dotenv_files.mjs", include_str!("dotenv_files.mjs")),
    ("dotenv_files.py", include_str!("dotenv_files.py")),
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

/// A number that may have a fraction, and one that may not.
const WITH_A_FRACTION: &str = r#"
catalog = "tariffs"
description = "A rate and a limit."

[[setting]]
key = "RATE"
category = "billing"
type = "number"
default = 5.5
applies = "hot"
description = "Percent."

[[setting]]
key = "LIMIT"
category = "billing"
type = "number"
default = 6
applies = "hot"
description = "A whole number."
constraints = { integer = true }
"#;

#[tokio::test]
async fn a_float_getter_in_javascript_takes_a_number_while_it_is_whole() {
    run_on(WITH_A_FRACTION, Kind::JavaScript, "decimal.mjs").await;
}

#[tokio::test]
async fn a_float_getter_in_python_takes_a_number_while_it_is_whole() {
    run_on(WITH_A_FRACTION, Kind::Python, "decimal.py").await;
}

/// Values with what one reader of `.env` files or another takes for something else.
const ODD: [&str; 25] = [
    "",
    " ",
    " two  words ",
    "a#b",
    "a # b",
    "#a",
    "it's",
    "it's # fine",
    "say \"hi\"",
    "say \"hi\", it's",
    r"C:\new\table",
    r"C:\dir\",
    r"\\server\share",
    r"a\nb",
    r"it\'s",
    "$HOME",
    "${HOME}",
    "${X:-y}",
    "it's ${HOME}",
    "`id`",
    "a=b",
    "export A=1",
    "!x & y; z | w > v",
    "ação 漢",
    r#"["a","b"]"#,
];

#[tokio::test]
async fn an_exported_env_file_is_read_alike_by_shells_and_libraries() {
    let (javascript, python) = (clients(Kind::JavaScript), clients(Kind::Python));
    let setting = |at: usize| {
        format!(
            "[[setting]]\nkey = \"TEXT_{at}\"\ncategory = \"texts\"\ntype = \"string\"\ndefault = \"x\"\n\
             applies = \"hot\"\ndescription = \"A text.\"\n\n"
        )
    };
    let settings: String = (0..ODD.len()).map(setting).collect();
    let catalog = format!("catalog = \"texts\"\ndescription = \"Texts.\"\n\n{settings}");
    let app = TestApp::with_catalog(&catalog).await;
    let keys: Vec<_> = (0..ODD.len()).map(|at| format!("TEXT_{at}")).collect();
    let changes = keys.iter().zip(ODD).map(|(key, value)| (key.as_str(), value.into(), 1));
    app.instance.change(&changes.collect::<Vec<_>>()).await.ok();
    let export = async |format: &str| {
        let path = format!("/admin/config/export?format={format}");
        app.instance.get(&path).bearer(&admin("ada")).send().await.text
    };
    let (env, json) = (export("env").await, export("json").await);
    let file = |name: &str, text: &str| {
        let path = python.join(format!("{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (env, json) = (file("texts.env", &env), file("texts.json", &json));
    let variables = [("FILE", env.as_str()), ("EXPECTED", json.as_str())];
    let program = python.join("venv/bin/python3");
    finish(program.to_str().unwrap(), &python.join("dotenv_files.py"), &variables).await;
    finish("node", &javascript.join("dotenv_files.mjs"), &variables).await;
    for path in [env, json] {
        std::fs::remove_file(path).unwrap();
    }
}

#[derive(Clone, Copy)]
enum Kind {
    JavaScript,
    Python,
}

/// Runs `script` with the clients of its kind against a service of its own.
async fn run(kind: Kind, script: &str) {
    run_on(brune::settings::BRUN_E, kind, script).await;
}

/// The same on another catalog.
async fn run_on(catalog: &str, kind: Kind, script: &str) {
    // Before the service is there, which would stand still meanwhile and take its database for gone.
    let dir = clients(kind);
    let app = TestApp::with_catalog(catalog).await;
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
