//! `brune config watch`: prints changes until interrupted.

use std::{io::Write as _, time::Duration};

use reqwest::Method;
use serde_json::Value;

use crate::cli::{
    client::{Client, Failure},
    config::read::history_row,
    output,
    show::Output,
};

/// Prints each change once, oldest first, until standard output is closed.
///
/// Polls with the entity tag of the last response, so that a poll without changes is cheap. New entries come from the
/// history, so that no change between two polls is missed.
pub(super) async fn watch(
    client: &Client,
    output: Output,
    interval_seconds: u64,
) -> Result<(), Failure> {
    let newest = client.get("/admin/config/audit?limit=1").await?;
    let mut last_id = newest["entries"][0]["id"].clone();
    let mut etag = String::new();
    let mut is_away = false;
    loop {
        match poll(client, &etag, &last_id).await {
            Ok(None) => is_away = false,
            Ok(Some((new_etag, entries))) => {
                if !entries.iter().rev().all(|entry| print(output, entry)) {
                    return Ok(());
                }
                last_id = entries.first().map_or(last_id, |entry| entry["id"].clone());
                etag = new_etag;
                is_away = false;
            }
            // The service may restart for a deploy. The history has the changes made meanwhile.
            Err(failure) if failure.is_unreachable() && is_away => (),
            // Reported once, not at every poll.
            Err(failure) if failure.is_unreachable() => {
                let _ = writeln!(std::io::stderr(), "brune: {failure}; retrying");
                is_away = true;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(Duration::from_secs(interval_seconds)).await;
    }
}

/// Returns the entity tag of the settings and the entries after `last_id`, if the settings differ from those of `etag`.
async fn poll(
    client: &Client,
    etag: &str,
    last_id: &Value,
) -> Result<Option<(String, Vec<Value>)>, Failure> {
    let mut request = client.request(Method::GET, "/admin/global-settings")?;
    // The first poll has no entity tag yet.
    if !etag.is_empty() {
        request = request.header("if-none-match", etag);
    }
    let reply = client.send(request).await?;
    if reply.status == 304 {
        return Ok(None);
    }
    Ok(Some((reply.etag.unwrap_or_default(), entries_after(client, last_id).await?)))
}

/// Returns the entries after `last_id`, newest first.
async fn entries_after(client: &Client, last_id: &Value) -> Result<Vec<Value>, Failure> {
    let mut new_entries = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut request = client.request(Method::GET, "/admin/config/audit")?;
        request = request.query(&[("limit", "200")]);
        if let Some(cursor) = &cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let page = client.send(request).await?.body;
        let entries = page["entries"].as_array().cloned().unwrap_or_default();
        let total = new_entries.len() + entries.len();
        new_entries.extend(entries.into_iter().take_while(|entry| entry["id"] != *last_id));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if new_entries.len() < total || cursor.is_none() {
            return Ok(new_entries);
        }
    }
}

/// Prints an entry as a line, in JSON for programs. Returns `false` if standard output is closed.
fn print(output: Output, entry: &Value) -> bool {
    // One document per line, because a stream has no end to close a list.
    let line =
        if output.is_for_programs() { entry.to_string() } else { history_row(entry).join("\t") };
    output::print(&line)
}
