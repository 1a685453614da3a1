//! Checks the structure and the language of the code: the floors of `src/lib.rs`, and further laws that the compiler
//! does not check. `architecture/` has the laws, each with a test that shows a breach being found.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say so loudly"
)]

#[path = "architecture/console_modules.rs"]
mod console_modules;
#[path = "architecture/handlers.rs"]
mod handlers;
#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/language.rs"]
mod language;
#[path = "architecture/laws.rs"]
mod laws;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tests_laws.rs"]
mod tests_laws;
#[path = "architecture/variables.rs"]
mod variables;
#[path = "architecture/words.rs"]
mod words;

use std::{fs, path::Path};

use laws::{
    environment, floors, impure, left_over, long_file, long_functions, migration, off_inner_floor,
    off_its_floor, sql,
};
use source::Source;

/// Rooms whose `mod.rs` lists floors, as `lib.rs` does.
const ROOMS: [&str; 2] = ["src/http/", "src/settings/"];

/// Most lines of a file, its unit tests not counted.
const FILE_LINES: usize = 400;

/// Most lines of a function.
const FUNCTION_LINES: usize = 60;

/// Rules that are pure, so that they can be run without a database, a runtime or a clock.
const PURE: [&str; 14] = [
    "src/rollouts/assignment.rs",
    "src/rollouts/evidence/mod.rs",
    "src/rollouts/plan.rs",
    "src/rollouts/preview.rs",
    "src/rollouts/rule.rs",
    "src/rollouts/simulation.rs",
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
fn every_handler_declares_its_parameters() {
    hold(&Source::all("src/http"), handlers::undeclared_parameters);
}

#[test]
fn no_file_and_no_function_outgrows_a_sitting() {
    let dirs = ["src", "tests", "benches"];
    hold(&dirs.map(Source::all).into_iter().flatten().collect::<Vec<_>>(), long_file);
    hold(&Source::all("src"), long_functions);
}

#[test]
fn no_files_of_the_crate_import_each_other() {
    let circles = imports::circles(&imports::graph(&Source::all("src")));
    assert!(circles.is_empty(), "{}", imports::list(&circles));
}

#[test]
fn files_of_a_room_import_only_from_its_earlier_floors() {
    let graph = imports::graph(&Source::all("src"));
    let wrong: Vec<_> = ROOMS
        .iter()
        .flat_map(|room| {
            let floors = floors(&fs::read_to_string(format!("{room}mod.rs")).unwrap());
            assert!(floors.len() > 1, "{room}mod.rs lists no floors");
            off_inner_floor(room, &floors, &graph)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_test_sleeps_or_fails_for_the_time_it_took() {
    let breaches = tests_laws::breaches();
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_language_keeps_its_bars() {
    let count = language::Count::of_all(&Source::all("src"));
    let breaches = count.breaches();
    assert!(breaches.is_empty(), "{}\n{count}", breaches.join("\n"));
}

/// Prints the figures of `src/`; `.ci/count` runs it.
#[test]
#[ignore = "prints figures and checks nothing"]
#[expect(clippy::print_stdout, reason = "the figures are for a person")]
fn print_the_figures() {
    let sources = Source::all("src");
    println!("{}", language::Count::of_all(&sources));
    println!("import circles, Rust: {}", imports::circles(&imports::graph(&sources)).len());
    let modules = console_modules::import_graph(Path::new("src/http/ui/assets"));
    println!("import circles, console: {}", console_modules::import_cycles(&modules).len());
}

#[test]
fn identifiers_have_no_word_of_the_old_dialect() {
    hold(&Source::all("src"), words::old_words);
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
fn modules_of_the_console_import_each_other_in_no_cycle() {
    let graph = console_modules::import_graph(Path::new("src/http/ui/assets"));
    assert!(graph.len() > 20, "the modules were not read");
    let cycles = console_modules::import_cycles(&graph);
    assert!(cycles.is_empty(), "{cycles:?}");
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

fn hold(sources: &[Source], law: impl Fn(&Source) -> Vec<String>) {
    assert!(!sources.is_empty(), "no file was found");
    let sources = sources.iter().filter(|it| !it.is_test() || !it.path.starts_with("src/"));
    let wrong: Vec<String> = sources
        .flat_map(|source| law(source).into_iter().map(|it| format!("{}: {it}", source.path)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
