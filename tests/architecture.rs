//! Holds the crate to its word: the floors of `src/lib.rs`, and the few other laws that a reader relies on
//! and no compiler checks. Each law is a function from a file to what is wrong with it, and is shown
//! here to find a file that breaks it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say so loudly"
)]

#[path = "architecture/source.rs"]
mod source;

use std::{collections::BTreeSet, fs, path::Path};

use source::Source;

/// Most lines of a file, its unit tests not counted.
const FILE_LINES: usize = 400;

/// Most lines of a function.
const FUNCTION_LINES: usize = 60;

/// Rules that are pure, so that they can be run without a database, a runtime or a clock.
const PURE: [&str; 8] = [
    "src/settings/rules.rs",
    "src/settings/value.rs",
    "src/secret_scanner/mod.rs",
    "src/secret_scanner/known_secrets.rs",
    "src/secret_scanner/lookalike.rs",
    "src/secret_scanner/patterns.rs",
    "src/sessions/eligibility.rs",
    "src/sessions/rules.rs",
];

#[test]
fn a_module_imports_only_from_the_floors_above_it() {
    let floors = floors(&fs::read_to_string("src/lib.rs").unwrap());
    assert!(floors.len() > 1, "the list was not found");
    hold(&Source::all("src"), |source| off_its_floor(&floors, source));
}

#[test]
fn sql_stands_in_stores_and_the_environment_is_read_in_config() {
    hold(&Source::all("src"), |source| [sql(source), environment(source)].concat());
}

#[test]
fn no_file_and_no_function_outgrows_a_sitting() {
    let dirs = ["src", "tests", "benches"];
    hold(&dirs.map(Source::all).into_iter().flatten().collect::<Vec<_>>(), long_file);
    hold(&Source::all("src"), long_functions);
}

#[test]
fn nothing_is_named_for_being_left_over() {
    hold(&Source::all("src"), left_over);
}

#[test]
fn pure_rules_know_no_database_and_no_runtime() {
    let sources = Source::all("src");
    for path in PURE {
        let (room, _) = path.rsplit_once('/').unwrap();
        let built = !Path::new(room).is_dir() || Path::new(path).is_file();
        assert!(built, "{path} has gone: name its successor here");
    }
    hold(&sources, impure);
}

#[test]
fn migrations_are_dated_and_begin_with_why() {
    let wrong: Vec<_> = source::files(Path::new("migrations"))
        .into_iter()
        .filter(|path| Path::new(path).extension().is_some())
        .flat_map(|path| migration(&path, &fs::read_to_string(&path).unwrap()))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_example_names_every_variable_and_no_other() {
    let example = fs::read_to_string(".env.example").unwrap();
    let (named, offered) = (words(&example), offered(&example));
    let (read, declared) = (variables_read(), declared());
    assert!(read.contains("BRUNE_LISTEN") && declared.contains("LOG_LEVEL"), "nothing was found");
    let known: BTreeSet<_> = read.union(&declared).cloned().collect();
    let unnamed: Vec<_> = known.difference(&named).collect();
    assert!(unnamed.is_empty(), "not in .env.example: {unnamed:?}");
    let unoffered: Vec<_> = declared.difference(&offered).collect();
    assert!(unoffered.is_empty(), "no line of their own in .env.example: {unoffered:?}");
    let unknown: Vec<_> = offered.difference(&known).collect();
    assert!(unknown.is_empty(), "in .env.example, but nobody reads or declares: {unknown:?}");
}

#[test]
fn the_list_of_variables_has_each_that_is_read_and_no_other() {
    let listed: BTreeSet<_> =
        brune::config::VARIABLES.iter().map(|it| it.name.to_owned()).collect();
    let is_the_drivers = |name: &String| name.starts_with("PG");
    let read: BTreeSet<_> = variables_read().into_iter().filter(|it| !is_the_drivers(it)).collect();
    // The file beside a secret's variable is derived from its name.
    let read: BTreeSet<_> = read.into_iter().filter(|it| !it.ends_with("_FILE")).collect();
    let unlisted: Vec<_> = read.difference(&listed).collect();
    assert!(unlisted.is_empty(), "read and not listed in config/variables.rs: {unlisted:?}");
    let unread: Vec<_> = listed.difference(&read).collect();
    assert!(unread.is_empty(), "listed in config/variables.rs and not read: {unread:?}");
}

// --- The laws -------------------------------------------------------------------------------------------

/// The modules of the crate by floor, as `lib.rs` lists them.
fn floors(lib: &str) -> Vec<Vec<String>> {
    let named = |line: &str| {
        let module = line.trim_start_matches("pub ").strip_prefix("mod ")?;
        Some(module.strip_suffix(';')?.to_owned())
    };
    let floors = lib.split("\n\n").map(|floor| floor.lines().filter_map(named).collect());
    floors.filter(|floor: &Vec<String>| !floor.is_empty()).collect()
}

fn off_its_floor(floors: &[Vec<String>], source: &Source) -> Vec<String> {
    if matches!(source.path.as_str(), "src/lib.rs" | "src/main.rs") {
        return Vec::new();
    }
    let floor_of = |module: &str| floors.iter().position(|it| it.iter().any(|it| it == module));
    let module = source.module();
    let Some(own) = floor_of(module) else {
        return vec![format!("stands on no floor: list `{module}` in src/lib.rs")];
    };
    let imports = source.imports().into_iter().filter(|import| import != module);
    let refused = imports.filter(|it| it == "*" || floor_of(it).is_some_and(|floor| own <= floor));
    refused.map(|it| format!("imports `{it}`, which is not above it")).collect()
}

fn sql(source: &Source) -> Vec<String> {
    if source.path.ends_with("/store.rs")
        || source.path.starts_with("src/database/")
        || source.path == "src/embedded_postgres/setup.rs"
    {
        return Vec::new();
    }
    let from_sqlx = [
        "query",
        "query_as",
        "query_scalar",
        "query_as_with",
        "query_scalar_with",
        "query_with",
        "query_file",
        "query_file_as",
        "query_file_scalar",
        "raw_sql",
        "QueryBuilder",
        "AssertSqlSafe",
        "*",
    ];
    let mut words = source.names_in("sqlx", &from_sqlx);
    let anywhere = ["QueryBuilder", "raw_sql", "AssertSqlSafe"];
    words.extend(anywhere.into_iter().filter(|it| source.speaks_of(it)).map(str::to_owned));
    words.iter().map(|it| format!("uses `{it}`: SQL stands only in files named store.rs")).collect()
}

fn environment(source: &Source) -> Vec<String> {
    if source.path.starts_with("src/config/") {
        return Vec::new();
    }
    let names = ["var", "vars", "var_os", "vars_os", "set_var", "remove_var", "home_dir", "*"];
    let words = source.names_in("env", &names);
    words.iter().map(|it| format!("uses `env::{it}`: only config/ reads the environment")).collect()
}

fn long_file(source: &Source) -> Vec<String> {
    let long = FILE_LINES < source.lines;
    long.then(|| format!("has {} lines, and {FILE_LINES} are the most", source.lines))
        .into_iter()
        .collect()
}

fn long_functions(source: &Source) -> Vec<String> {
    let long = source.functions().into_iter().filter(|(_, lines)| FUNCTION_LINES < *lines);
    long.map(|(name, lines)| {
        format!("`{name}` has {lines} lines, and {FUNCTION_LINES} are the most")
    })
    .collect()
}

/// Names that say nothing of what a thing is for. `base` may stand in a function's name, where it is a
/// word of the contract (`base_revision`).
fn left_over(source: &Source) -> Vec<String> {
    let empty = ["util", "utils", "helper", "helpers", "common", "manager", "managers"];
    let is_empty = |name: &str, or_base: bool| {
        let says_nothing = |word: &String| empty.contains(&&**word) || or_base && word == "base";
        split(name).iter().any(says_nothing)
    };
    let defined = source.definitions().into_iter();
    let defined = defined.filter(|(keyword, name)| is_empty(name, keyword != "fn"));
    let parts = source.path.split(['/', '.']).filter(|part| is_empty(part, true));
    let parts = parts.map(|part| format!("is called `{part}`"));
    parts.chain(defined.map(|(keyword, name)| format!("defines {keyword} `{name}`"))).collect()
}

/// The words of a name, in lower case: `PoolManager` and `pool_manager` are both `pool`, `manager`.
fn split(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            words.push(String::new());
        }
        words.last_mut().unwrap().extend(c.to_lowercase().filter(|c| *c != '_'));
    }
    words
}

fn impure(source: &Source) -> Vec<String> {
    let pure = PURE.contains(&source.path.as_str());
    let outside = ["sqlx", "tokio", "Clock"].into_iter().filter(|it| pure && source.speaks_of(it));
    outside.map(|it| format!("speaks of `{it}`, and is to be pure")).collect()
}

fn migration(path: &str, text: &str) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let dated =
        name.strip_suffix(".sql").and_then(|it| it.split_once('_')).is_some_and(|(at, what)| {
            at.len() == 14
                && at.bytes().all(|b| b.is_ascii_digit())
                && !what.is_empty()
                && what.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        });
    let mut wrong = Vec::new();
    if !dated {
        wrong.push(format!("{path}: is not called <14 digits>_<what>.sql"));
    }
    if !text.strip_prefix("--").is_some_and(|why| why.starts_with(' ')) {
        wrong.push(format!("{path}: does not begin with a comment that says why"));
    }
    wrong
}

fn hold(sources: &[Source], law: impl Fn(&Source) -> Vec<String>) {
    assert!(!sources.is_empty(), "no file was found");
    let sources = sources.iter().filter(|it| !it.is_test() || !it.path.starts_with("src/"));
    let wrong: Vec<String> = sources
        .flat_map(|source| law(source).into_iter().map(|it| format!("{}: {it}", source.path)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// --- Variables ------------------------------------------------------------------------------------------

fn is_variable(word: &str) -> bool {
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let whole = word.len() > 3 && !word.ends_with('_');
    whole && word.starts_with(|c: char| c.is_ascii_uppercase()) && word.bytes().all(fits)
}

/// Every word of `text` that looks like a variable.
fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|it| is_variable(it)).map(str::to_owned).collect()
}

/// The variables with a line of their own: `#KEY=…`.
fn offered(example: &str) -> BTreeSet<String> {
    let lines = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    lines.map(|(key, _)| key).filter(|key| is_variable(key)).map(str::to_owned).collect()
}

/// The texts in `config/` that are names of variables.
fn variables_read() -> BTreeSet<String> {
    let is_reader = |it: &Source| !it.is_test() && it.path != "src/config/variables.rs";
    let sources = Source::all("src/config").into_iter().filter(is_reader);
    let tokens = sources.flat_map(|source| source.levels()).flatten();
    let texts = tokens
        .filter_map(|it| it.to_string().strip_prefix('"')?.strip_suffix('"').map(str::to_owned));
    texts.filter(|text| is_variable(text)).collect()
}

/// The keys of the built-in catalog.
fn declared() -> BTreeSet<String> {
    let catalog: toml::Table = fs::read_to_string("config/brun-e.toml").unwrap().parse().unwrap();
    let entries = ["setting", "secret", "environment"].into_iter().flat_map(|kind| {
        catalog[kind].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap().to_owned())
    });
    let all: Vec<_> = entries.collect();
    let keys: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!(keys.len(), all.len(), "a key is declared twice");
    keys
}

// --- Each law finds what breaks it ----------------------------------------------------------------------

#[test]
fn an_import_from_below_or_beside_is_found() {
    let floors =
        floors("pub mod clock;\n\n// Two.\npub mod audit;\npub mod outbox;\n\npub mod http;\n");
    assert_eq!(floors.len(), 3);
    let wrong = |path: &str, text: &str| off_its_floor(&floors, &Source::of(path, text)).len();
    for text in [
        "use crate::http::State;",
        "use crate::{clock::Clock, outbox};",
        "fn f() { crate::outbox::enqueue() }",
        "fn f() { log!(\"{}\", crate::http::X) }",
        "use super::super::http;",
        "use crate::*;",
    ] {
        assert_eq!(wrong("src/audit/store.rs", text), 1, "{text}");
    }
    assert_eq!(wrong("src/clock.rs", "use super::audit;"), 1);
    assert_eq!(wrong("src/stray.rs", ""), 1);
    for text in [
        "use crate::{audit::Entry, clock::{self, Clock}};",
        "use super::Entry;",
        "// use crate::http;",
        "const X: &str = \"crate::http\";",
        "#[cfg(test)] mod tests { use crate::http; }",
    ] {
        assert_eq!(wrong("src/audit/store.rs", text), 0, "{text}");
    }
}

#[test]
fn sql_and_the_environment_are_found_out_of_place() {
    for text in [
        "fn f() { sqlx::query!(\"select 1\"); }",
        "use sqlx::{PgPool, query_as};",
        "use sqlx::*;",
        "fn f(it: QueryBuilder<Postgres>) {}",
    ] {
        assert!(!sql(&Source::of("src/settings/change.rs", text)).is_empty(), "{text}");
        assert!(sql(&Source::of("src/settings/store.rs", text)).is_empty(), "{text}");
    }
    assert!(sql(&Source::of("src/app.rs", "use sqlx::PgPool; // sqlx::query")).is_empty());
    for text in [
        "fn f() { std::env::var(\"HOME\"); }",
        "use std::env::{self, vars_os};",
        "use std::{env, fs}; fn f() { g(|| env::var_os(\"X\")) }",
    ] {
        assert_eq!(environment(&Source::of("src/app.rs", text)).len(), 1, "{text}");
        assert!(environment(&Source::of("src/config/environment.rs", text)).is_empty(), "{text}");
    }
    assert!(environment(&Source::of("src/app.rs", "fn f() { std::env::args(); }")).is_empty());
}

#[test]
fn what_is_too_long_is_found_and_unit_tests_do_not_count() {
    let body = |lines: usize| "    f();\n".repeat(lines);
    let function = |lines: usize| format!("impl X {{\nfn long() {{\n{}}}\n}}\n", body(lines - 2));
    let found = |text: &str| long_functions(&Source::of("src/a.rs", text)).len();
    assert_eq!((found(&function(60)), found(&function(61))), (0, 1));
    assert_eq!(
        found(&format!("fn f();\nstatic X: fn(u8) = g;\nconst _: () = {{\n{}}};", body(90))),
        0
    );
    let file = |lines: usize| "// a line\n".repeat(lines);
    let found = |text: &str| long_file(&Source::of("src/a.rs", text)).len();
    assert_eq!((found(&file(400)), found(&file(401))), (0, 1));
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", file(400), file(200));
    assert_eq!(found(&tested), 0);
}

#[test]
fn a_name_that_says_nothing_is_found() {
    let found = |path: &str, text: &str| left_over(&Source::of(path, text)).len();
    assert_eq!(found("src/http/utils.rs", ""), 1);
    assert_eq!(found("src/common/store.rs", ""), 1);
    for text in ["struct PoolManager;", "mod test_helpers {}", "fn util() {}", "trait Base {}"] {
        assert_eq!(found("src/a.rs", text), 1, "{text}");
    }
    assert_eq!(found("src/database/mod.rs", "fn base_revision() {} struct Commonest;"), 0);
}

#[test]
fn a_rule_that_is_not_pure_is_found() {
    let found =
        |path: &str| impure(&Source::of(path, "use tokio::time; fn f(_: &sqlx::PgPool) {}")).len();
    assert_eq!((found(PURE[0]), found("src/settings/change.rs")), (2, 0));
}

#[test]
fn a_migration_without_a_date_or_a_reason_is_found() {
    let found = |path: &str, text: &str| migration(path, text).len();
    assert_eq!(found("migrations/20261122100000_settings.sql", "-- Why.\n"), 0);
    for name in ["0001_a.sql", "20261122100000_A.sql", "20261122100000_.sql", "20261122100000.sql"]
    {
        assert_eq!(found(name, "-- Why.\n"), 1, "{name}");
    }
    assert_eq!(found("20261122100000_a.sql", "create table a ();"), 1);
}
