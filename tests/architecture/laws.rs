//! The laws: each is a function from a file to the breaches in it, and a test shows that it finds them.

use crate::{FILE_LINES, FUNCTION_LINES, PURE, imports, source::Source};

/// The modules of the crate by floor, as `lib.rs` lists them.
pub(crate) fn floors(lib: &str) -> Vec<Vec<String>> {
    let named = |line: &str| {
        let line = line.trim_start_matches("pub ").trim_start_matches("pub(in crate::http) ");
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    let floors = lib.split("\n\n").map(|floor| floor.lines().filter_map(named).collect());
    floors.filter(|floor: &Vec<String>| !floor.is_empty()).collect()
}

pub(crate) fn off_its_floor(floors: &[Vec<String>], source: &Source) -> Vec<String> {
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

/// Names the imports inside of `room` that do not lead to an earlier floor of it.
pub(crate) fn off_inner_floor(
    room: &str,
    floors: &[Vec<String>],
    graph: &imports::Graph,
) -> Vec<String> {
    let unit = |file: &str| {
        let inside = file.strip_prefix(room)?;
        inside.split(['/', '.']).next().map(str::to_owned)
    };
    let floor_of = |unit: &String| floors.iter().position(|floor| floor.contains(unit));
    let mut wrong = Vec::new();
    for (file, targets) in graph {
        let Some(own) = unit(file).filter(|unit| unit != "mod") else { continue };
        let Some(own_floor) = floor_of(&own) else {
            wrong.push(format!("{file}: stands on no floor of {room}mod.rs"));
            continue;
        };
        let others = targets.iter().filter(|target| {
            unit(target)
                .filter(|unit| *unit != own && unit != "mod")
                .is_some_and(|unit| floor_of(&unit) >= Some(own_floor))
        });
        wrong.extend(
            others.map(|target| format!("{file}: imports {target}, which is on no earlier floor")),
        );
    }
    wrong
}

pub(crate) fn sql(source: &Source) -> Vec<String> {
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

pub(crate) fn environment(source: &Source) -> Vec<String> {
    if source.path.starts_with("src/config/") {
        return Vec::new();
    }
    let names = ["var", "vars", "var_os", "vars_os", "set_var", "remove_var", "home_dir", "*"];
    let words = source.names_in("env", &names);
    words.iter().map(|it| format!("uses `env::{it}`: only config/ reads the environment")).collect()
}

pub(crate) fn long_file(source: &Source) -> Vec<String> {
    let long = FILE_LINES < source.lines;
    long.then(|| format!("has {} lines, and {FILE_LINES} are the most", source.lines))
        .into_iter()
        .collect()
}

pub(crate) fn long_functions(source: &Source) -> Vec<String> {
    let long = source.functions().into_iter().filter(|(_, lines)| FUNCTION_LINES < *lines);
    long.map(|(name, lines)| {
        format!("`{name}` has {lines} lines, and {FUNCTION_LINES} are the most")
    })
    .collect()
}

/// Names that say nothing of what a thing is for. `base` may stand in a function's name, where it is a
/// word of the contract (`base_revision`).
pub(crate) fn left_over(source: &Source) -> Vec<String> {
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
pub(crate) fn split(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            words.push(String::new());
        }
        words.last_mut().unwrap().extend(c.to_lowercase().filter(|c| *c != '_'));
    }
    words
}

pub(crate) fn impure(source: &Source) -> Vec<String> {
    let pure = PURE.contains(&source.path.as_str());
    let outside = ["sqlx", "tokio", "Clock"].into_iter().filter(|it| pure && source.speaks_of(it));
    outside.map(|it| format!("speaks of `{it}`, and is to be pure")).collect()
}

pub(crate) fn migration(path: &str, text: &str) -> Vec<String> {
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

#[test]
fn an_import_from_no_earlier_floor_of_a_room_is_found() {
    let floors = floors("mod low;\n\nmod mid;\nmod beside;\n\nmod high;\n");
    let wrong = |file: &str, target: &str| {
        let targets = [target.to_owned()].into();
        off_inner_floor("src/a/", &floors, &[(file.to_owned(), targets)].into()).len()
    };
    assert_eq!(wrong("src/a/low.rs", "src/a/mid/store.rs"), 1);
    assert_eq!(wrong("src/a/mid/store.rs", "src/a/beside.rs"), 1);
    assert_eq!(wrong("src/a/stray.rs", "src/a/low.rs"), 1);
    assert_eq!(wrong("src/a/mid/store.rs", "src/a/mid/mod.rs"), 0);
    assert_eq!(wrong("src/a/high.rs", "src/a/low.rs"), 0);
    assert_eq!(wrong("src/a/low.rs", "src/a/mod.rs"), 0);
    assert_eq!(wrong("src/b/high.rs", "src/a/low.rs"), 0);
}
