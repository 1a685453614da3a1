//! All flags on one page, written once for whoever asks.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use axum::{body::Bytes, http::HeaderValue};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::{
    compute,
    http::{auth::TokenVerifier, path_prefix::PathPrefix, problem::Problem},
    settings::{Definition, Entry, GlobalSettingsService, SettingValue, Snapshot},
};

/// Seconds for which all pages carry the same token for their events.
const TOKEN_TURN: i64 = 1_800;

/// Where the events are.
pub(in crate::http) const EVENTS: &str = "/ofrep/v1/events";

/// Seconds after which a client with a hidden page should give up its stream.
const INACTIVITY: u32 = 120;

/// A setting as a flag.
#[derive(Serialize, ToSchema)]
#[schema(as = OfrepFlag)]
pub(in crate::http) struct Flag<'a> {
    /// The key.
    key: &'a str,
    /// Its value, of its type.
    #[schema(value_type = Value)]
    value: Shown<'a>,
    /// How it was found: always `STATIC`.
    reason: &'static str,
    /// Its version.
    #[schema(example = "v7")]
    variant: String,
    metadata: FlagMetadata,
}

/// A value, as it is or with its list in an object.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Plain(&'a SettingValue),
    /// A number that may have a fraction is written with one even when it is whole. A typed client takes `6` for an
    /// integer, and its float getter would fail for as long as the value happens to be whole.
    Decimal(f64),
    Wrapped {
        items: &'a SettingValue,
    },
}

/// What is said of one flag.
#[derive(Serialize, ToSchema)]
#[schema(as = OfrepFlagMetadata)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct FlagMetadata {
    /// Its version.
    version: i32,
    /// The type of its value.
    value_type: &'static str,
    /// The revision it was read at; of a flag by itself. On a page a change of another flag would look like a
    /// change of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    /// Whether it may be outdated; of a flag by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<bool>,
}

/// All flags.
#[derive(Serialize, ToSchema)]
#[schema(as = OfrepFlagList)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct FlagList<'a> {
    flags: Vec<Flag<'a>>,
    /// Where to hear of changes; its address holds a token that is good for less than an hour.
    #[schema(value_type = Vec<Object>)]
    event_streams: Vec<Value>,
    metadata: PageMetadata,
}

/// What is said of all flags.
#[derive(Serialize, ToSchema)]
#[schema(as = OfrepMetadata)]
pub(in crate::http) struct PageMetadata {
    /// The revision they were read at.
    revision: i64,
    /// Whether they may be outdated.
    stale: bool,
}

impl<'a> Flag<'a> {
    pub(in crate::http) fn of(definition: &'a Definition, entry: &'a Entry, wrapped: bool) -> Self {
        let value = &entry.value;
        let (version, value_type) = (entry.version, value.value_type().as_str());
        let shown = match value {
            SettingValue::StringArray(_) if wrapped => Shown::Wrapped { items: value },
            SettingValue::Number(number) if definition.constraints.integer != Some(true) => {
                Shown::Decimal(number.as_f64())
            }
            _ => Shown::Plain(value),
        };
        Self {
            key: &definition.key,
            value: shown,
            reason: "STATIC",
            variant: format!("v{version}"),
            metadata: FlagMetadata { version, value_type, revision: None, stale: None },
        }
    }

    /// The same by itself.
    pub(in crate::http) fn at(mut self, revision: i64, stale: bool) -> Self {
        (self.metadata.revision, self.metadata.stale) = (Some(revision), Some(stale));
        self
    }
}

/// Whether what is held may be outdated: the database does not answer, or what it holds cannot be used.
pub(in crate::http) fn is_stale(settings: &GlobalSettingsService) -> bool {
    !settings.is_reachable() || !settings.is_valid()
}

/// The revision that a tag names.
pub(in crate::http) fn revision_in(tag: &str) -> Option<i64> {
    tag.trim_matches('"').strip_prefix('r')?.split('-').next()?.parse().ok()
}

/// The page that is given out now. Cheap to clone.
#[derive(Clone)]
pub struct Ofrep(Arc<Inner>);

struct Inner {
    keys: TokenVerifier,
    path_prefix: PathPrefix,
    page: ArcSwapOption<Page>,
    /// Held while a page is written, so that a crowd of readers writes it once.
    writing: tokio::sync::Mutex<()>,
}

/// All flags at one state, as bytes.
pub(in crate::http) struct Page {
    snapshot: Arc<Snapshot>,
    stale: bool,
    expires: i64,
    /// Of these very bytes: with a token that has run out a client must not be told that it holds them.
    pub(in crate::http) tag: HeaderValue,
    pub(in crate::http) body: Bytes,
    /// The event that tells of them.
    pub(in crate::http) event: Bytes,
}

impl Ofrep {
    /// Pages whose tokens `keys` will take.
    #[must_use]
    pub fn new(keys: TokenVerifier) -> Self {
        Self::with(keys, PathPrefix::default())
    }

    /// The same, for clients that reach the service under `path_prefix`.
    #[must_use]
    pub fn under(&self, path_prefix: PathPrefix) -> Self {
        Self::with(self.0.keys.clone(), path_prefix)
    }

    fn with(keys: TokenVerifier, path_prefix: PathPrefix) -> Self {
        let page = ArcSwapOption::empty();
        let writing = tokio::sync::Mutex::default();
        Self(Arc::new(Inner { keys, path_prefix, page, writing }))
    }

    /// The page of the current settings at `now`.
    pub(in crate::http) async fn page(
        &self,
        settings: &GlobalSettingsService,
        now: DateTime<Utc>,
    ) -> Result<Arc<Page>, Problem> {
        // Of one turn all have the same token, and none is good for less than half an hour.
        let expires = (now.timestamp().div_euclid(TOKEN_TURN) + 2) * TOKEN_TURN;
        if let Some(page) = self.written(settings, expires) {
            return Ok(page);
        }
        let _only = self.0.writing.lock().await;
        if let Some(page) = self.written(settings, expires) {
            return Ok(page);
        }
        let snapshot = settings.snapshot();
        let size = snapshot.schema.reading_size();
        let page = compute::run(size, || self.write(snapshot, is_stale(settings), expires)).await?;
        let page = Arc::new(page);
        self.0.page.store(Some(Arc::clone(&page)));
        Ok(page)
    }

    /// The page that is there, if it is still the right one.
    fn written(&self, settings: &GlobalSettingsService, expires: i64) -> Option<Arc<Page>> {
        let page = self.0.page.load();
        let page = page.as_ref()?;
        let same = Arc::as_ptr(&page.snapshot) == Arc::as_ptr(&settings.current());
        let right = same && page.stale == is_stale(settings) && page.expires == expires;
        right.then(|| Arc::clone(page))
    }

    fn write(&self, snapshot: Arc<Snapshot>, stale: bool, expires: i64) -> Result<Page, Problem> {
        let revision = snapshot.revision;
        let entries = snapshot.schema.editable();
        let entries = entries.filter_map(|it| Some((it, snapshot.find(&it.key)?)));
        let entries: Vec<_> = entries.collect();
        let modified = entries.iter().map(|(_, entry)| entry.updated_at.timestamp()).max();
        let page = FlagList {
            flags: entries.into_iter().map(|(it, entry)| Flag::of(it, entry, false)).collect(),
            event_streams: self.event_stream(revision, expires).into_iter().collect(),
            metadata: PageMetadata { revision, stale },
        };
        let body = serde_json::to_vec(&page).map_err(|err| Problem::internal(&err))?;
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(&body));
        let tag = format!("\"r{revision}-{:08x}\"", u32::from_be_bytes([a, b, c, d]));
        let event = json!({
            "type": "refetchEvaluation", "etag": tag, "lastModified": modified.unwrap_or_default()
        });
        let tag = HeaderValue::try_from(tag).map_err(|err| Problem::internal(&err))?;
        let (body, event) = (body.into(), event.to_string().into());
        drop(page);
        Ok(Page { snapshot, stale, expires, tag, body, event })
    }

    /// Where to hear of changes after `revision`; nowhere without a secret to sign with.
    fn event_stream(&self, revision: i64, expires: i64) -> Option<Value> {
        let token = self.0.keys.issue_stream_token(expires)?;
        // Clients resolve it against the origin of their base URL, so it has the path as well.
        let uri = format!("{}?since={revision}&token={token}", self.0.path_prefix.join(EVENTS));
        Some(json!({
            "type": "sse", "endpoint": {"requestUri": uri}, "inactivityDelaySec": INACTIVITY
        }))
    }

    pub(in crate::http) fn keys(&self) -> &TokenVerifier {
        &self.0.keys
    }
}

impl Page {
    pub(in crate::http) fn revision(&self) -> i64 {
        self.snapshot.revision
    }
}

impl fmt::Debug for Ofrep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ofrep")
    }
}
