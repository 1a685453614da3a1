//! Compares the commands in the documents with the help of the program.

use std::process::Command;

use crate::blocks;

const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

/// The documents with commands that call a service.
const PAGES: [(&str, &str); 5] = [
    ("configuration.md", CONFIGURATION),
    ("operations.md", include_str!("../../docs/operations.md")),
    ("releases.md", include_str!("../../docs/releases.md")),
    ("rollouts.md", include_str!("../../docs/rollouts.md")),
    ("tutorial.md", include_str!("../../docs/tutorial.md")),
];

/// The groups of commands in `docs/configuration.md`.
const GROUPS: [&str; 6] = ["config", "proposal", "rollout", "freeze", "release", "starts"];

fn help(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_brune")).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "there is no command {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the commands of a group, from its help.
fn subcommands(group: &str) -> Vec<String> {
    let help = help(&[group]);
    let (_, rest) = help.split_once("Commands:\n").unwrap();
    let (list, _) = rest.split_once("\n\n").unwrap();
    // A wrapped description continues at a greater indent.
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Returns the commands of a document that name a subcommand, each as its words.
fn commands(page: &str) -> Vec<Vec<String>> {
    let shell = blocks(page).into_iter().filter(|(kind, _)| matches!(*kind, "sh" | "console"));
    let mut commands = Vec::new();
    for (_, block) in shell {
        let block = block.replace("\\\n", " ");
        for line in block.lines() {
            let mut words = line.split_whitespace();
            // `ada` and `cleo` are the program, called as these persons.
            if !words.next().is_some_and(|word| matches!(word, "brune" | "ada" | "cleo")) {
                continue;
            }
            // The options after a pipe are those of another program.
            let words = words.take_while(|word| *word != "|").map(str::to_owned);
            commands.push(words.collect::<Vec<_>>());
        }
    }
    commands
}

#[test]
fn every_command_is_documented() {
    for group in GROUPS {
        let subcommands = subcommands(group);
        assert!(subcommands.len() > 2, "{group}: {subcommands:?}");
        for subcommand in subcommands {
            let command = format!("{group} {subcommand}");
            assert!(CONFIGURATION.contains(&command), "no `{command}` in configuration.md");
        }
    }
}

#[test]
fn every_command_in_the_documents_exists() {
    let mut count = 0;
    for (name, page) in PAGES {
        for words in commands(page) {
            let path: Vec<&str> = match words.as_slice() {
                [group, subcommand, ..] if GROUPS.contains(&group.as_str()) => {
                    vec![group, subcommand]
                }
                [command, ..] => vec![command],
                [] => continue,
            };
            let help = help(&path);
            for word in words.iter().filter(|word| word.starts_with("--")) {
                let option = word.split('=').next().unwrap();
                assert!(help.contains(option), "{name}: {path:?} has no option {option}");
            }
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}
