//! Changes as they come.

use std::{io::Write as _, time::Duration};

use reqwest::Method;
use serde_json::Value;

use crate::cli::{
    client::{Client, Failure},
    config::read::told,
    output::say,
    show::Output,
};

/// Prints each change once, oldest first, until whoever reads has gone. Asks with the tag of the last answer,
/// so that a look that finds nothing costs next to nothing; and reads the history from there, so that nothing
/// between two looks is missed.
pub(super) async fn watch(client: &Client, output: Output, every: u64) -> Result<(), Failure> {
    let newest = client.get("/admin/config/audit?limit=1").await?;
    let mut seen = newest["entries"][0]["id"].clone();
    let mut tag = String::new();
    let mut away = false;
    loop {
        match look(client, &tag, &seen).await {
            Ok(None) => away = false,
            Ok(Some((new_tag, fresh))) => {
                if !fresh.iter().rev().all(|entry| print(output, entry)) {
                    return Ok(());
                }
                seen = fresh.first().map_or(seen, |entry| entry["id"].clone());
                (tag, away) = (new_tag, false);
            }
            // A deploy, for one. What is made meanwhile is read when it is back.
            Err(failure) if failure.is_unreachable() && away => (),
            Err(failure) if failure.is_unreachable() => {
                let _ = writeln!(std::io::stderr(), "brune: {failure}; trying again");
                away = true;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(Duration::from_secs(every)).await;
    }
}

/// The tag of the settings and the entries that are newer than `seen`, if the settings are others than those of
/// `tag`.
async fn look(
    client: &Client,
    tag: &str,
    seen: &Value,
) -> Result<Option<(String, Vec<Value>)>, Failure> {
    let mut request = client.request(Method::GET, "/admin/global-settings")?;
    if !tag.is_empty() {
        request = request.header("if-none-match", tag);
    }
    let reply = client.send(request).await?;
    if reply.status == 304 {
        return Ok(None);
    }
    Ok(Some((reply.etag.unwrap_or_default(), since(client, seen).await?)))
}

/// The entries that are newer than `seen`, newest first.
async fn since(client: &Client, seen: &Value) -> Result<Vec<Value>, Failure> {
    let mut fresh = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut request = client.request(Method::GET, "/admin/config/audit")?;
        request = request.query(&[("limit", "200")]);
        if let Some(cursor) = &cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let page = client.send(request).await?.body;
        let entries = page["entries"].as_array().cloned().unwrap_or_default();
        let before = fresh.len() + entries.len();
        fresh.extend(entries.into_iter().take_while(|it| it["id"] != *seen));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if fresh.len() < before || cursor.is_none() {
            return Ok(fresh);
        }
    }
}

/// Whether it could be printed: one line each, JSON for programs, since a stream has no end to close a list.
fn print(output: Output, entry: &Value) -> bool {
    let line = if output.is_for_programs() { entry.to_string() } else { told(entry).join("\t") };
    say(&line)
}
