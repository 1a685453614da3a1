//! Output formats, tables and confirmation.

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use rustix::termios::tcgetwinsize;
use serde_json::Value;

use crate::{
    cli::{client::Failure, output::print},
    text,
};

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// A table
    Table,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Tab-separated lines
    Tsv,
}

impl Output {
    /// Returns `output`, or the default: a table on a terminal, tab-separated lines elsewhere.
    pub(super) fn or_default(output: Option<Self>) -> Self {
        let default = || if io::stdout().is_terminal() { Self::Table } else { Self::Tsv };
        output.unwrap_or_else(default)
    }

    /// Returns whether the format is a single document for programs, without sentences around the document.
    pub(super) fn is_for_programs(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// Prints `rows` as a table or lines, or `value` as a document.
pub(super) fn show(
    output: Output,
    header: &[&str],
    rows: &[Vec<String>],
    value: &Value,
) -> Result<(), Failure> {
    match output {
        Output::Table => {
            let mut table = Table::new();
            // Without borders, a column can be selected and copied.
            table.load_style(presets::NOTHING);
            table.set_content_arrangement(ContentArrangement::Dynamic);
            // Fails if the output is not a terminal, where lines may have any length.
            if let Ok(size) = tcgetwinsize(io::stdout())
                && size.ws_col > 0
            {
                table.set_width(size.ws_col);
            }
            table.set_header(header);
            table.add_rows(rows);
            print(&table.to_string());
        }
        // Without a header, so that `cut` and `while read` see rows only.
        Output::Tsv => rows.iter().for_each(|row| _ = print(&row.join("\t"))),
        Output::Json => {
            let text = serde_json::to_string_pretty(value);
            print(&text.map_err(|err| Failure::rejected(err.to_string()))?);
        }
        Output::Yaml => {
            let text = serde_saphyr::to_string(value);
            // The YAML ends with a line end, and `print` adds another.
            print(text.map_err(|err| Failure::rejected(err.to_string()))?.trim_end());
        }
    }
    Ok(())
}

/// Prints `value` for a program, or `line` for a person.
pub(super) fn show_result(output: Output, value: &Value, line: &str) -> Result<(), Failure> {
    if output.is_for_programs() {
        return show(output, &[], &[], value);
    }
    print(line);
    Ok(())
}

/// Formats a value for a table cell. Control characters are escaped, since they act on a terminal or end the cell.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text::escaped(text).into_owned(),
        value => text::escaped(&value.to_string()).into_owned(),
    }
}

/// Asks for confirmation on the terminal, unless `yes`.
///
/// # Errors
/// The answer is no, or there is no terminal.
pub(super) fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    // A script without `--yes` must fail instead of waiting for an answer.
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("confirmation requires a terminal; use --yes to skip it"));
    }
    // On standard error, so that standard output holds only the result.
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    // After an error the answer is empty, which means no.
    let _ = io::stdin().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::rejected("cancelled; nothing was changed"))
}
