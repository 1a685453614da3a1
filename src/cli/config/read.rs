//! Commands that read.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{
    client::{Client, Failure, path_of},
    config::transfer,
    output::print,
    show::{Output, cell, show},
};

pub(super) async fn list(
    client: &Client,
    output: Output,
    search: Option<String>,
    category: Option<String>,
) -> Result<(), Failure> {
    let filters = [("search", search), ("category", category)];
    let filters: Vec<_> =
        filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let request = client.request(Method::GET, "/admin/config")?.query(&filters);
    let body = client.send(request).await?.body;
    let row = |entry: &Value| {
        // The service sends no value of a locked key, so the source fills the column.
        let is_locked = entry["locked"] == true;
        let value =
            if is_locked { format!("({})", cell(&entry["source"])) } else { cell(&entry["value"]) };
        ["key", "category", "version"]
            .map(|name| cell(&entry[name]))
            .into_iter()
            .chain([value])
            .collect()
    };
    let rows: Vec<Vec<String>> =
        body["entries"].as_array().into_iter().flatten().map(row).collect();
    show(output, &["KEY", "CATEGORY", "VERSION", "VALUE"], &rows, &body["entries"])
}

pub(super) async fn get(client: &Client, output: Output, key: &str) -> Result<(), Failure> {
    let entry = client.get(&path_of(key)?).await?;
    // An error, so that a script does not take an empty line for the value.
    if entry["locked"] == true {
        let source = cell(&entry["source"]);
        return Err(Failure::rejected(format!(
            "{key} is locked; its value is not shown (source: {source})"
        )));
    }
    match output {
        // Only the value, for scripts.
        Output::Table | Output::Tsv => _ = print(&cell(&entry["value"])),
        Output::Json | Output::Yaml => show(output, &[], &[], &entry)?,
    }
    Ok(())
}

pub(super) async fn history(
    client: &Client,
    output: Output,
    key: Option<String>,
    limit: u16,
) -> Result<(), Failure> {
    let mut filters = vec![("limit", limit.to_string())];
    filters.extend(key.map(|key| ("key", key)));
    let request = client.request(Method::GET, "/admin/config/audit")?.query(&filters);
    let body = client.send(request).await?.body;
    let rows: Vec<_> = body["entries"].as_array().into_iter().flatten().map(history_row).collect();
    let header = ["REVISION", "WHEN", "WHO", "ACTION", "KEY", "CHANGE", "WHY"];
    show(output, &header, &rows, &body["entries"])
}

/// Formats an entry of the history as a row.
pub(super) fn history_row(entry: &Value) -> Vec<String> {
    let change = match entry["action"].as_str() {
        // Both kinds of entries store no values, which may be secrets.
        Some("refused" | "secret_cleanup") => "-".to_owned(),
        // A decision has no value before.
        Some("decision") => cell(&entry["new_value"]),
        _ => format!("{} → {}", cell(&entry["old_value"]), cell(&entry["new_value"])),
    };
    let fields =
        ["revision", "changed_at", "changed_by", "action", "key"].map(|name| cell(&entry[name]));
    fields.into_iter().chain([change, cell(&entry["reason"])]).collect()
}

pub(super) async fn diff(
    client: &Client,
    output: Output,
    from: &str,
    to: Option<i64>,
) -> Result<(), Failure> {
    // A file with a number as its name remains reachable as `./12`.
    let Ok(revision) = from.parse::<i64>() else {
        return transfer::diff(client, output, Path::new(from)).await;
    };
    let old = values(client, Some(revision)).await?;
    let new = values(client, to).await?;
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let pairs: Vec<_> = differing.map(|key| (key, old.get(key), new.get(key))).collect();
    // A change of the catalog leaves keys that only a single revision has.
    let text = |value: Option<&Value>| value.map_or("-".to_owned(), cell);
    let rows: Vec<_> =
        pairs.iter().map(|(key, old, new)| vec![(*key).clone(), text(*old), text(*new)]).collect();
    let value =
        pairs.iter().map(|(key, old, new)| json!({"key": key, "old_value": old, "new_value": new}));
    show(output, &["KEY", "OLD", "NEW"], &rows, &value.collect())
}

async fn values(
    client: &Client,
    revision: Option<i64>,
) -> Result<BTreeMap<String, Value>, Failure> {
    let query: Vec<_> =
        revision.map(|revision| ("revision", revision.to_string())).into_iter().collect();
    let request = client.request(Method::GET, "/admin/global-settings")?.query(&query);
    let body = client.send(request).await?.body;
    let entries = body["settings"].as_array().into_iter().flatten();
    Ok(entries.map(|entry| (cell(&entry["key"]), entry["value"].clone())).collect())
}
