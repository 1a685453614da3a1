//! The content of exported and imported documents.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::settings::{change::Edit, document::format::FORMAT_VERSION, value::SettingValue};

/// All editable settings at one revision, for export.
#[derive(Debug, Clone, Serialize)]
pub struct Document {
    /// [`FORMAT_VERSION`].
    pub format_version: i64,
    /// Time of the export.
    pub exported_at: String,
    /// The instance that exported the document.
    pub source: String,
    /// The revision.
    pub revision: i64,
    /// The name of the catalog.
    pub catalog: String,
    /// The values, by key.
    pub settings: BTreeMap<String, SettingValue>,
}

impl Document {
    /// Creates a document with the settings of `catalog` at `revision`, exported at `now` by `source`.
    #[must_use]
    pub fn new(
        catalog: String,
        revision: i64,
        settings: BTreeMap<String, SettingValue>,
        source: String,
        now: DateTime<Utc>,
    ) -> Self {
        // Seconds suffice for people, and equal exports of one second are equal.
        let exported_at = now.to_rfc3339_opts(SecondsFormat::Secs, true);
        Self { format_version: FORMAT_VERSION, exported_at, source, revision, catalog, settings }
    }
}

/// A parsed document, not yet validated against a catalog.
#[derive(Debug, Clone)]
pub struct IncomingDocument {
    /// The revision at the export, if stated.
    pub(in crate::settings) revision: Option<i64>,
    /// The name of the catalog, if stated.
    pub(in crate::settings) catalog: Option<String>,
    /// The settings, in the order of the document, without expected versions.
    pub(in crate::settings) edits: Vec<Edit>,
    /// Whether all values are texts, to be converted by the declared types.
    pub(in crate::settings) is_untyped: bool,
    /// Size of the document in bytes.
    pub(in crate::settings) size: usize,
}
