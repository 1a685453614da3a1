//! Export and import of documents.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        client::{self, Client, Failure},
        config::{Format, OnConflict},
        emergency::Emergency,
        output::print,
        proposal::{Propose, propose},
        show::{Output, cell, confirm, show},
        wait::{self, Wait},
    },
    files::{self, Existing},
};

/// The permissions of a document: settings are not secret, but not public.
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

    /// Returns `format`, or the format of the file extension.
    ///
    /// # Errors
    /// The extension is unknown.
    fn or_extension(format: Option<Self>, file: &Path) -> Result<Self, Failure> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let extension = name.rsplit('.').next().unwrap_or_default();
        let by_extension = match extension {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            "env" => Some(Self::Env),
            // Deployments name such files `.env.production`, for example.
            _ if name.starts_with(".env") => Some(Self::Env),
            _ => None,
        };
        let unknown = || {
            let file = file.display();
            Failure::usage(format!("unknown format: {file} has no known extension; use --format"))
        };
        format.or(by_extension).ok_or_else(unknown)
    }
}

pub(super) async fn export(
    client: &Client,
    file: Option<&Path>,
    format: Option<Format>,
    force: bool,
) -> Result<(), Failure> {
    let format = match file {
        Some(file) => Format::or_extension(format, file)?,
        None => format.unwrap_or(Format::Json),
    };
    let request = client.request(Method::GET, "/admin/config/export")?;
    let reply = client.send(request.query(&[("format", format.name())])).await?;
    let Some(file) = file else {
        print(reply.text.trim_end());
        return Ok(());
    };
    // An exported document may have been edited, so an overwrite needs consent.
    let existing = if force { Existing::Replace } else { Existing::Keep };
    files::write(file, reply.text.as_bytes(), MODE, existing).map_err(|err| {
        let name = file.display();
        match err.kind() {
            ErrorKind::AlreadyExists => {
                Failure::usage(format!("{name} already exists; use --force to overwrite"))
            }
            // The directory is missing, most likely a typing mistake: wrong usage.
            ErrorKind::NotFound => Failure::usage(format!("cannot write {name}: {err}")),
            _ => Failure::rejected(format!("cannot write {name}: {err}")),
        }
    })?;
    let etag = reply.etag.unwrap_or_default();
    // The tag is the revision as `"r<number>"`.
    let revision = etag.trim_matches(['"', 'r']);
    print(&format!("exported the settings at revision {revision} to {}", file.display()));
    Ok(())
}

/// The treatment of conflicts and unknown keys.
#[derive(Debug, Clone, Copy, Default, Args)]
struct ImportOptions {
    /// Resolution for settings that changed after the export
    #[arg(long)]
    on_conflict: Option<OnConflict>,
    /// Skip keys that the catalog does not declare
    #[arg(long)]
    skip_unknown: bool,
}

impl ImportOptions {
    /// Returns the query parameters.
    fn query(self) -> Vec<(&'static str, String)> {
        let on_conflict = self.on_conflict.map(|choice| ("on_conflict", choice.name().to_owned()));
        let on_unknown = self.skip_unknown.then(|| ("on_unknown", "skip".to_owned()));
        on_conflict.into_iter().chain(on_unknown).collect()
    }
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The document (.json, .yaml, .env)
    file: PathBuf,
    /// Format, if the extension does not say
    #[arg(long)]
    format: Option<Format>,
    /// Reason for the audit trail; required without --dry-run
    #[arg(long, short)]
    reason: Option<String>,
    /// Show the plan without saving
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: ImportOptions,
    /// Skip confirmation
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    emergency: Emergency,
    #[command(flatten)]
    propose: Propose,
}

pub(super) async fn import(client: &Client, output: Output, import: Import) -> Result<(), Failure> {
    let Import { file, format, reason, dry_run, options, yes, wait, emergency, propose: proposal } =
        import;
    let reason = match reason {
        Some(reason) => reason,
        // A dry run writes no audit entry, so no reason is needed.
        None if dry_run => String::new(),
        None => return Err(Failure::usage("--reason is required without --dry-run")),
    };
    let content = proposal.content(&reason, dry_run)?;
    // Before the plan: a change after the plan makes these versions outdated.
    let versions = match content {
        Some(_) => versions(client).await?,
        None => BTreeMap::new(),
    };
    let format = Format::or_extension(format, &file)?;
    // Sent unparsed, so that the rules of an import exist in the service only.
    let document = read(&file)?;
    // A proposal needs no approvals yet, so the plan of a proposal is checked like an emergency.
    let checked_as = if content.is_some() { Emergency::for_plan() } else { emergency };
    let plan = plan(client, format, &document, (options, checked_as)).await?;
    // A program gets a single document: the result, or the plan if nothing is applied.
    let prints_result_only = output.is_for_programs() && yes && !dry_run;
    if !prints_result_only {
        show_plan(output, &plan, true)?;
    }
    check_plan(&plan, dry_run, options.skip_unknown)?;
    if dry_run {
        return Ok(());
    }
    let count = |class: &str| plan["counts"][class].as_u64().unwrap_or_default();
    if count("change") + count("conflict") == 0 && !prints_result_only {
        print("no changes");
        return Ok(());
    }
    if let Some(content) = content {
        confirm(yes, "Propose this plan?")?;
        let changes = changes(&plan, &versions, options.on_conflict);
        return propose(client, output, &changes, &content).await;
    }
    confirm(yes, "Apply this plan?")?;
    // The plan id rejects the import if the settings changed since the plan.
    let mut query = vec![("reason", reason), ("plan_id", cell(&plan["plan_id"]))];
    query.extend(options.query());
    let request = client.request(Method::POST, "/admin/config/import")?.query(&query);
    let request = request.header("content-type", format.media_type()).body(document);
    let result = client.send(emergency.apply_to(wait.apply_to(request))).await?.body;
    if output.is_for_programs() {
        show(output, &[], &[], &result)?;
        return wait::report(&result, true);
    }
    let count = result["changed"].as_array().map_or(0, Vec::len);
    let noun = if count == 1 { "setting" } else { "settings" };
    print(&format!("{count} {noun} changed, revision {}", result["revision"]));
    emergency.report(&result, 1);
    wait::report(&result, false)
}

/// Reads the version of each setting.
async fn versions(client: &Client) -> Result<BTreeMap<String, Value>, Failure> {
    let body = client.get("/admin/global-settings").await?;
    let entries = body["settings"].as_array().into_iter().flatten();
    Ok(entries.map(|entry| (cell(&entry["key"]), entry["version"].clone())).collect())
}

/// Returns the changes of an import as changes of a proposal.
fn changes(
    plan: &Value,
    versions: &BTreeMap<String, Value>,
    on_conflict: Option<OnConflict>,
) -> Vec<Value> {
    let is_included = |entry: &&Value| match entry["class"].as_str() {
        Some("change") => true,
        Some("conflict") => on_conflict == Some(OnConflict::Overwrite),
        _ => false,
    };
    let entries = plan["entries"].as_array().into_iter().flatten().filter(is_included);
    let change = |entry: &Value| {
        let version = versions.get(&cell(&entry["key"]));
        json!({"key": entry["key"], "value": entry["imported"], "version": version})
    };
    entries.map(change).collect()
}

impl OnConflict {
    fn name(self) -> &'static str {
        match self {
            Self::Overwrite => "overwrite",
            Self::Skip => "skip",
        }
    }
}

/// Checks that the service will accept the import.
///
/// # Errors
/// The plan has conflicts or invalid entries.
fn check_plan(plan: &Value, dry_run: bool, skip_unknown: bool) -> Result<(), Failure> {
    let refusal = &plan["refusal"];
    if refusal.is_null() {
        return Ok(());
    }
    let of_class = |classes: &[&str]| -> String {
        let entries = plan["entries"].as_array().into_iter().flatten();
        let matching = entries.filter(|entry| classes.iter().any(|class| entry["class"] == *class));
        let mut lines = String::new();
        for entry in matching {
            lines.push_str("\n  ");
            lines.push_str(&cell(&entry["key"]));
            lines.push(' ');
            lines.push_str(&cell(&entry["detail"]));
        }
        lines
    };
    let outcome = if dry_run { "the import would be rejected" } else { "nothing was imported" };
    if refusal["code"] == "version_conflict" {
        let conflicts = of_class(&["conflict"]);
        return Err(Failure::conflict(format!(
            "{outcome}: the settings changed after the export; use --on-conflict overwrite or skip:{conflicts}"
        )));
    }
    let code = refusal["code"].as_str().unwrap_or_default();
    if matches!(code, "approval_required" | "change_frozen") {
        let fix = client::fix(code).unwrap_or_default();
        let detail = cell(&refusal["detail"]);
        return Err(Failure::rejected(format!("{outcome}: {detail}; {fix}")));
    }
    let invalid = of_class(if skip_unknown { &["invalid"] } else { &["invalid", "unknown"] });
    let has_unknown = plan["counts"]["unknown"].as_u64().is_some_and(|count| count > 0);
    let skip = if has_unknown && !skip_unknown {
        ", or use --skip-unknown to leave out unknown keys"
    } else {
        ""
    };
    Err(Failure::rejected(format!("{outcome}; fix the document{skip}:{invalid}")))
}

/// Shows the differences between a document and the service.
pub(super) async fn diff(client: &Client, output: Output, file: &Path) -> Result<(), Failure> {
    let options = (ImportOptions::default(), Emergency::default());
    let plan = plan(client, Format::or_extension(None, file)?, &read(file)?, options).await?;
    show_plan(output, &plan, false)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|err| Failure::usage(format!("cannot read {}: {err}", file.display())))
}

async fn plan(
    client: &Client,
    format: Format,
    document: &[u8],
    (options, emergency): (ImportOptions, Emergency),
) -> Result<Value, Failure> {
    let request = client.request(Method::POST, "/admin/config/import")?;
    let request = request.query(&[("dry_run", true)]).query(&options.query());
    let request = request.header("content-type", format.media_type()).body(document.to_vec());
    Ok(client.send(emergency.apply_to(request)).await?.body)
}

fn show_plan(output: Output, plan: &Value, with_same: bool) -> Result<(), Failure> {
    let entries = plan["entries"].as_array().into_iter().flatten();
    let visible = entries.filter(|entry| with_same || entry["class"] != "same");
    let row = |entry: &Value| {
        ["key", "class", "current", "imported", "detail"].map(|name| cell(&entry[name])).to_vec()
    };
    let rows: Vec<_> = visible.map(row).collect();
    show(output, &["KEY", "CLASS", "CURRENT", "IMPORTED", "DETAIL"], &rows, plan)
}
