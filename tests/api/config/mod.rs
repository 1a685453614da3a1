//! `/admin/config`, the per-key contract: keys, documents, plans.

mod apply;
mod catalogs;
mod documents;
mod invalid_documents;
mod keys;
mod parse_errors;
mod plan;
mod quota;
mod service_variables;
mod shared_write_path;
mod user_stories;
mod write;

use serde_json::{Value, json};

use crate::support::{Call, Instance, Reply, admin};

pub(super) const CONFIG: &str = "/admin/config";
pub(super) const IMPORT: &str = "/admin/config/import";

/// What nobody may find again, anywhere.
pub(super) const WORD: &str = "never-to-be-seen";

/// The formats of documents with the media types they travel under.
pub(super) const FORMATS: [(&str, &str); 3] =
    [("json", "application/json"), ("yaml", "application/yaml"), ("env", "text/plain")];

pub(super) async fn get(instance: &Instance, path: &str) -> Reply {
    instance.get(path).bearer(&admin("admin-1")).send().await
}

/// One key as the API shows it.
pub(super) async fn one(instance: &Instance, key: &str) -> Value {
    get(instance, &format!("{CONFIG}/{key}")).await.ok()
}

/// A PUT by `admin-1`, still without what a test adds to it.
pub(super) fn put<'a>(instance: &'a Instance, path: &str, mut body: Value) -> Call<'a> {
    body["reason"] = json!("a test");
    let path = format!("{CONFIG}/{path}");
    instance.call(axum::http::Method::PUT, &path).bearer(&admin("admin-1")).json(&body)
}

/// A DELETE by `admin-1`.
pub(super) fn reset<'a>(instance: &'a Instance, path: &str) -> Call<'a> {
    let path = format!("{CONFIG}/{path}");
    instance.call(axum::http::Method::DELETE, &path).bearer(&admin("admin-1"))
}

/// An import by `admin-1` of `text`, which is of the media type `media`.
pub(super) fn import<'a>(instance: &'a Instance, query: &str, media: &str, text: &str) -> Call<'a> {
    let call = instance.post(&format!("{IMPORT}?{query}")).bearer(&admin("admin-1"));
    call.raw(text).header("content-type", media)
}

/// The plan for `text`.
pub(super) async fn plan(instance: &Instance, media: &str, text: &str) -> Value {
    import(instance, "dry_run=true", media, text).send().await.ok()
}

/// A document with `settings`, of the built-in catalog.
pub(super) fn document(settings: &Value) -> String {
    json!({"format_version": 1, "catalog": "brun-e", "settings": settings}).to_string()
}

/// The plan's entries as pairs of key and class.
pub(super) fn classes(plan: &Value) -> Vec<(&str, &str)> {
    let entries = plan["entries"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| (entry["key"].as_str().unwrap(), entry["class"].as_str().unwrap()))
        .collect()
}

pub(super) async fn export(instance: &Instance, format: &str) -> String {
    get(instance, &format!("{CONFIG}/export?format={format}")).await.text
}
