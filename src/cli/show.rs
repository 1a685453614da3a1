//! How what was read is printed.

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use rustix::termios::tcgetwinsize;
use serde_json::Value;

use crate::{
    cli::{client::Failure, output::say},
    text,
};

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
    /// For programs, and for people who like it
    Yaml,
    /// Tab-separated lines
    Tsv,
}

impl Output {
    /// What was asked for, or what fits where it is printed.
    pub(super) fn chosen(asked: Option<Self>) -> Self {
        let fitting = || if io::stdout().is_terminal() { Self::Table } else { Self::Tsv };
        asked.unwrap_or_else(fitting)
    }
}

/// Rows under a head, for people; `value`, for programs.
pub(super) fn show(
    output: Output,
    head: &[&str],
    rows: &[Vec<String>],
    value: &Value,
) -> Result<(), Failure> {
    match output {
        Output::Table => {
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            table.set_content_arrangement(ContentArrangement::Dynamic);
            // An error means that the output is no terminal, where lines may have any length.
            if let Ok(size) = tcgetwinsize(io::stdout())
                && size.ws_col > 0
            {
                table.set_width(size.ws_col);
            }
            table.set_header(head);
            table.add_rows(rows);
            say(&table.to_string());
        }
        Output::Tsv => rows.iter().for_each(|row| _ = say(&row.join("\t"))),
        Output::Json => {
            let text = serde_json::to_string_pretty(value);
            say(&text.map_err(|err| Failure::refused(err.to_string()))?);
        }
        Output::Yaml => {
            let text = serde_saphyr::to_string(value);
            say(text.map_err(|err| Failure::refused(err.to_string()))?.trim_end());
        }
    }
    Ok(())
}

impl Output {
    /// Whether a program reads it, which wants one document and no sentences around it.
    pub(super) fn is_for_programs(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// A value in a cell. What could act on a terminal, or end the cell, is escaped.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text::escaped(text).into_owned(),
        value => text::escaped(&value.to_string()).into_owned(),
    }
}

/// Whether to go on: asked on a terminal; a program that cannot be asked has to say `--yes`.
pub(super) fn confirmed(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask on; say --yes"));
    }
    let mut err = io::stderr();
    let _ = write!(err, "{question} [y/N] ");
    let _ = err.flush();
    let mut answer = String::new();
    let _ = io::stdin().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::refused("nothing was done"))
}
