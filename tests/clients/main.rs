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
    decimal_catalog::DECIMAL_CATALOG,
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
async fn the_javascript_server_provider_reads_settings() {
    run(Kind::JavaScript, "server.mjs").await;
}

#[tokio::test]
async fn the_browser_provider_reads_settings_and_receives_changes() {
    run(Kind::JavaScript, "web.mjs").await;
}

#[tokio::test]
async fn the_python_provider_reads_settings() {
    run(Kind::Python, "check.py").await;
}

#[tokio::test]
async fn a_javascript_float_getter_accepts_a_whole_number() {
    run_on(DECIMAL_CATALOG, Kind::JavaScript, "decimal.mjs").await;
}

#[tokio::test]
async fn a_python_float_getter_accepts_a_whole_number() {
    run_on(DECIMAL_CATALOG, Kind::Python, "decimal.py").await;
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
async fn an_exported_env_file_is_read_equally_by_shells_and_libraries() {
    let javascript = clients(Kind::JavaScript);
    let python = clients(Kind::Python);
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
    let env = export("env").await;
    let json = export("json").await;
    let file = |name: &str, text: &str| {
        let path = python.join(format!("{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let env = file("texts.env", &env);
    let json = file("texts.json", &json);
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
    let app = TestApp::with_catalog(catalog).await;
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
    let file = "tests/clients/requirements.txt";
    let expected = include_str!("requirements.txt");
    packages("python", file, expected).join("venv/bin/python3")
}
