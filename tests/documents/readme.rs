//! The README's commands, its length, and the links of all pages.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{section, support::programs::need};

const README: &str = include_str!("../../README.md");

/// Returns the command in the row of the README's table that begins with `purpose`.
fn command(purpose: &str) -> &'static str {
    let table = section(README, "## Two commands");
    let row = table.lines().find(|line| line.starts_with(&format!("| {purpose} |"))).unwrap();
    row.split('`').nth(1).unwrap()
}

#[test]
fn the_check_of_everything_runs_the_test_command_of_the_readme() {
    let command = command("pass the tests");
    let checks = fs::read_to_string(".ci/run").unwrap();
    assert!(checks.lines().any(|line| line.starts_with(&format!("{command} "))), "{command}");
    let script = fs::read_to_string(command).unwrap();
    let steps: Vec<_> = script.lines().skip_while(|line| *line != ".ci/setup").collect();
    assert_eq!(steps, [".ci/setup", "exec cargo test \"$@\""]);
    assert!(fs::metadata(command).unwrap().permissions().mode() & 0o111 != 0);
}

#[test]
fn a_missing_program_is_reported_in_one_line_that_names_the_script() {
    let missing = std::panic::catch_unwind(|| need("command -v no-such-program")).unwrap_err();
    let message = missing.downcast_ref::<String>().unwrap();
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains("no-such-program"), "{message}");
    assert!(message.contains(command("pass the tests")), "{message}");
    need("command -v sh");
}

#[test]
fn the_readme_has_fewer_than_150_lines() {
    assert!(README.lines().count() < 150);
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(path.exists(), "{} links to {target}", page.display());
            let headings = || headings(&fs::read_to_string(&path).unwrap());
            let exists = heading.is_empty() || headings().iter().any(|it| it == heading);
            assert!(exists, "{} links to {target}", page.display());
        }
    }
}

/// Returns the names by which links refer to the headings of `text`.
fn headings(text: &str) -> Vec<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    let titles = titles.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    titles
        .map(|title| title.chars().filter(is_kept).collect::<String>().replace(' ', "-"))
        .collect()
}

/// Returns the pages at the top of the repository and in `docs/`.
fn pages() -> Vec<PathBuf> {
    let directories = [".", "docs", "docs/decisions"];
    let files = directories.iter().flat_map(|directory| fs::read_dir(directory).unwrap());
    let paths = files.map(|entry| entry.unwrap().path());
    let pages: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
    assert!(pages.contains(&Path::new("docs/decisions").join("README.md")));
    pages
}
