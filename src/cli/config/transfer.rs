//! Documents.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::Value;

use crate::cli::{
    config::{
        Format, OnConflict,
        client::{Client, Failure},
        show::{Output, cell, confirmed, show},
    },
    say,
};

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
    let document = client.send(request.query(&[("format", format.name())])).await?.text;
    let Some(file) = file else {
        say(document.trim_end());
        return Ok(());
    };
    let opened =
        OpenOptions::new().write(true).create(true).truncate(true).create_new(!force).open(file);
    let told = |err: std::io::Error| match err.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::usage(format!(
            "{} is there already; say --force to write over it",
            file.display()
        )),
        _ => Failure::usage(format!("cannot write {}: {err}", file.display())),
    };
    opened.and_then(|mut file| file.write_all(document.as_bytes())).map_err(told)
}

/// A document to be imported.
pub(super) struct Import {
    pub(super) file: PathBuf,
    pub(super) format: Option<Format>,
    pub(super) reason: Option<String>,
    pub(super) dry_run: bool,
    pub(super) on_conflict: Option<OnConflict>,
    pub(super) yes: bool,
}

pub(super) async fn import(client: &Client, output: Output, import: Import) -> Result<(), Failure> {
    let format = Format::of(import.format, &import.file)?;
    let document = read(&import.file)?;
    let plan = plan(client, format, &document).await?;
    show_plan(output, &plan, true)?;
    if import.dry_run {
        return Ok(());
    }
    let reason = import.reason.ok_or_else(|| Failure::usage("say --reason, or --dry-run"))?;
    confirmed(import.yes, "Apply this plan?")?;
    let mut query = vec![("reason", reason), ("plan_id", cell(&plan["plan_id"]))];
    let on_conflict = import.on_conflict.map(|it| match it {
        OnConflict::Overwrite => "overwrite",
        OnConflict::Skip => "skip",
    });
    query.extend(on_conflict.map(|it| ("on_conflict", it.to_owned())));
    let request = client.request(Method::POST, "/admin/config/import")?.query(&query);
    let request = request.header("content-type", format.media_type()).body(document);
    let done = client.send(request).await?.body;
    let changed = done["changed"].as_array().map_or(0, Vec::len);
    say(&format!("{changed} settings changed, revision {}", done["revision"]));
    Ok(())
}

/// What a document would change here.
pub(super) async fn diff(client: &Client, output: Output, file: &Path) -> Result<(), Failure> {
    let plan = plan(client, Format::of(None, file)?, &read(file)?).await?;
    show_plan(output, &plan, false)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|err| Failure::usage(format!("cannot read {}: {err}", file.display())))
}

async fn plan(client: &Client, format: Format, document: &[u8]) -> Result<Value, Failure> {
    let request = client.request(Method::POST, "/admin/config/import")?.query(&[("dry_run", true)]);
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
