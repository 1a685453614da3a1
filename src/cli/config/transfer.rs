//! Documents.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::Value;

use crate::{
    cli::{
        client::{Client, Failure},
        config::{
            Format, OnConflict,
            wait::{self, Wait},
        },
        output::say,
        show::{Output, cell, confirmed, show},
    },
    files::{self, Existing},
};

/// The permissions of a document: settings are no secrets, but not everybody's either.
const MODE: u32 = 0o640;

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Env => "env",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Env => "text/plain",
        }
    }

    /// What was asked for, or what the file's name says.
    fn of(asked: Option<Self>, file: &Path) -> Result<Self, Failure> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let ending = name.rsplit('.').next().unwrap_or_default();
        let told = match ending {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            "env" => Some(Self::Env),
            _ if name.starts_with(".env") => Some(Self::Env),
            _ => None,
        };
        let unknown =
            || Failure::usage(format!("{} does not say its format; say --format", file.display()));
        asked.or(told).ok_or_else(unknown)
    }
}

pub(super) async fn export(
    client: &Client,
    file: Option<&Path>,
    format: Option<Format>,
    force: bool,
) -> Result<(), Failure> {
    let format = match file {
        Some(file) => Format::of(format, file)?,
        None => format.unwrap_or(Format::Json),
    };
    let request = client.request(Method::GET, "/admin/config/export")?;
    let reply = client.send(request.query(&[("format", format.name())])).await?;
    let (document, revision) = (reply.text, reply.etag.unwrap_or_default());
    let Some(file) = file else {
        say(document.trim_end());
        return Ok(());
    };
    let existing = if force { Existing::Replace } else { Existing::Keep };
    files::write(file, document.as_bytes(), MODE, existing).map_err(|err| {
        let name = file.display();
        match err.kind() {
            ErrorKind::AlreadyExists => {
                Failure::usage(format!("{name} already exists; use --force to overwrite"))
            }
            ErrorKind::NotFound => Failure::usage(format!("cannot write {name}: {err}")),
            _ => Failure::refused(format!("cannot write {name}: {err}")),
        }
    })?;
    let revision = revision.trim_matches(['"', 'r']);
    say(&format!("{} holds the settings at revision {revision}", file.display()));
    Ok(())
}

/// What to do with entries that cannot simply be imported.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) on_conflict: Option<OnConflict>,
    pub(super) skip_unknown: bool,
}

impl Options {
    /// The parameters of the request.
    fn query(self) -> Vec<(&'static str, String)> {
        let on_conflict = self.on_conflict.map(|it| ("on_conflict", it.name().to_owned()));
        let on_unknown = self.skip_unknown.then(|| ("on_unknown", "skip".to_owned()));
        on_conflict.into_iter().chain(on_unknown).collect()
    }
}

/// A document to be imported.
pub(super) struct Import {
    pub(super) file: PathBuf,
    pub(super) format: Option<Format>,
    pub(super) reason: Option<String>,
    pub(super) dry_run: bool,
    pub(super) options: Options,
    pub(super) yes: bool,
    pub(super) wait: Wait,
}

pub(super) async fn import(client: &Client, output: Output, import: Import) -> Result<(), Failure> {
    let Import { file, format, reason, dry_run, options, yes, wait } = import;
    let reason = match reason {
        Some(reason) => reason,
        None if dry_run => String::new(),
        None => return Err(Failure::usage("say --reason, or --dry-run")),
    };
    let format = Format::of(format, &file)?;
    let document = read(&file)?;
    let plan = plan(client, format, &document, options).await?;
    let told_at_the_end = output.is_for_programs() && yes && !dry_run;
    if !told_at_the_end {
        show_plan(output, &plan, true)?;
    }
    may_be_applied(&plan, dry_run, options.skip_unknown)?;
    if dry_run {
        return Ok(());
    }
    let count = |class: &str| plan["counts"][class].as_u64().unwrap_or_default();
    if count("change") + count("conflict") == 0 && !told_at_the_end {
        say("nothing would change");
        return Ok(());
    }
    confirmed(yes, "Apply this plan?")?;
    let mut query = vec![("reason", reason), ("plan_id", cell(&plan["plan_id"]))];
    query.extend(options.query());
    let request = client.request(Method::POST, "/admin/config/import")?.query(&query);
    let request = request.header("content-type", format.media_type()).body(document);
    let done = client.send(wait.ask(request)).await?.body;
    if output.is_for_programs() {
        show(output, &[], &[], &done)?;
        return wait::report(&done, true);
    }
    let changed = done["changed"].as_array().map_or(0, Vec::len);
    let noun = if changed == 1 { "setting" } else { "settings" };
    say(&format!("{changed} {noun} changed, revision {}", done["revision"]));
    wait::report(&done, false)
}

impl OnConflict {
    fn name(self) -> &'static str {
        match self {
            Self::Overwrite => "overwrite",
            Self::Skip => "skip",
        }
    }
}

/// Whether the service would import the document: asked before anybody is asked to confirm, and what a dry run ends
/// with.
fn may_be_applied(plan: &Value, dry_run: bool, skips_unknown: bool) -> Result<(), Failure> {
    let refusal = &plan["refusal"];
    if refusal.is_null() {
        return Ok(());
    }
    let of_class = |classes: &[&str]| -> String {
        let entries = plan["entries"].as_array().into_iter().flatten();
        let at_fault = entries.filter(|it| classes.iter().any(|class| it["class"] == *class));
        at_fault.map(|it| ["\n  ", &cell(&it["key"]), " ", &cell(&it["detail"])].concat()).collect()
    };
    let outcome = if dry_run { "it would be refused" } else { "nothing was imported" };
    if refusal["code"] == "version_conflict" {
        let conflicts = of_class(&["conflict"]);
        return Err(Failure::conflict(format!(
            "{outcome}: the settings changed after the export; use --on-conflict overwrite or skip:{conflicts}"
        )));
    }
    let wrong = of_class(if skips_unknown { &["invalid"] } else { &["invalid", "unknown"] });
    let has_unknown = plan["counts"]["unknown"].as_u64().is_some_and(|count| count > 0);
    let skip = if has_unknown && !skips_unknown {
        ", or use --skip-unknown to leave out unknown keys"
    } else {
        ""
    };
    Err(Failure::refused(format!("{outcome}; fix the document{skip}:{wrong}")))
}

/// What a document would change here.
pub(super) async fn diff(client: &Client, output: Output, file: &Path) -> Result<(), Failure> {
    let options = Options::default();
    let plan = plan(client, Format::of(None, file)?, &read(file)?, options).await?;
    show_plan(output, &plan, false)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|err| Failure::usage(format!("cannot read {}: {err}", file.display())))
}

async fn plan(
    client: &Client,
    format: Format,
    document: &[u8],
    options: Options,
) -> Result<Value, Failure> {
    let request = client.request(Method::POST, "/admin/config/import")?;
    let request = request.query(&[("dry_run", true)]).query(&options.query());
    let request = request.header("content-type", format.media_type()).body(document.to_vec());
    Ok(client.send(request).await?.body)
}

fn show_plan(output: Output, plan: &Value, same: bool) -> Result<(), Failure> {
    let entries = plan["entries"].as_array().into_iter().flatten();
    let told = entries.filter(|it| same || it["class"] != "same");
    let row = |entry: &Value| {
        ["key", "class", "current", "imported", "detail"].map(|name| cell(&entry[name])).to_vec()
    };
    let rows: Vec<_> = told.map(row).collect();
    show(output, &["KEY", "CLASS", "NOW", "IMPORTED", "DETAIL"], &rows, plan)
}
