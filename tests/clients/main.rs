//! The real `OpenFeature` clients for JavaScript and Python, against a real service.
//!
//! `.ci/setup` installs the clients from the package registries, in the versions of `package.json` and
//! `requirements.txt`, once for each content of those files.

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
    programs::{directory_of, finish, link_modules, need, packages},
    sse::Served,
    user,
};

const PACKAGES: (&str, &str) = ("package.json", include_str!("package.json"));

const FILES: [(&str, &str); 8] = [
    PACKAGES,
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
    let app = TestApp::of(&catalog).await;
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
    let interpreter = python_interpreter();
    finish(interpreter.to_str().unwrap(), &python.join("dotenv_files.py"), &variables).await;
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
    let dir = clients(kind);
    let program = match kind {
        Kind::JavaScript => PathBuf::from("node"),
        Kind::Python => python_interpreter(),
    };
    let app = TestApp::of(catalog).await;
    let served = Served::of(&app.instance, Limits::default()).await;
    let variables = [
        ("BRUNE", &*format!("http://{}", served.address)),
        ("KEY", INTERNAL_KEY),
        ("ADMIN", &admin("ada")),
        ("USER", &user("ana")),
        ("NO_PROXY", "127.0.0.1"),
    ];
    finish(program.to_str().unwrap(), &dir.join(script), &variables).await;
}

/// Returns the directory of the scripts; those in JavaScript find their clients from there.
fn clients(kind: Kind) -> PathBuf {
    match kind {
        Kind::JavaScript => {
            need("command -v node");
            let packages = packages("clients", "tests/clients/package.json", PACKAGES.1);
            directory_of("clients", &FILES, |dir| link_modules(&packages, dir))
        }
        Kind::Python => directory_of("clients-python", &FILES, |_| {}),
    }
}

/// Returns the Python interpreter that has the clients.
fn python_interpreter() -> PathBuf {
    let (file, wanted) = ("tests/clients/requirements.txt", include_str!("requirements.txt"));
    packages("python", file, wanted).join("venv/bin/python3")
}
