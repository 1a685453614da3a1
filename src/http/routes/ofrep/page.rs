//! All flags on one page, serialized once for all readers.

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

/// The seconds for which all pages have the same stream token.
const TOKEN_TURN: i64 = 1_800;

/// The path of the stream.
pub(in crate::http) const EVENTS: &str = "/ofrep/v1/events";

/// The seconds after which a client in a hidden page should close its stream.
const INACTIVITY: u32 = 120;

/// A setting as a flag.
#[derive(Serialize, ToSchema)]
#[schema(as = OfrepFlag)]
pub(in crate::http) struct Flag<'a> {
    /// The key.
    key: &'a str,
    /// The value, of the setting's type.
    #[schema(value_type = Value)]
    value: FlagValue<'a>,
    /// The reason of the value: always `STATIC`.
    reason: &'static str,
    /// The version.
    #[schema(example = "v7")]
    variant: String,
    metadata: FlagMetadata,
}

/// The serialized form of a value.
#[derive(Serialize)]
#[serde(untagged)]
enum FlagValue<'a> {
    Plain(&'a SettingValue),
    /// A number with a fraction, even if zero: a typed client reads `6` as an integer, and the float getter would fail for
    /// whole values.
    Decimal(f64),
    Wrapped {
        items: &'a SettingValue,
    },
}

/// The metadata of a flag.
#[derive(Serialize, ToSchema)]
#[schema(as = OfrepFlagMetadata)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct FlagMetadata {
    /// The version.
    version: i32,
    /// The type of the value.
    value_type: &'static str,
    /// The revision, in the response for a single flag. On a page, a change of any flag would look like a change of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    /// Whether the value may be outdated, in the response for a single flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<bool>,
}

/// All flags.
#[derive(Serialize, ToSchema)]
#[schema(as = OfrepFlagList)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct FlagList<'a> {
    flags: Vec<Flag<'a>>,
    /// The stream of changes; the address has a token, valid for less than an hour.
    #[schema(value_type = Vec<Object>)]
    event_streams: Vec<Value>,
    metadata: PageMetadata,
}

/// The metadata of a page.
#[derive(Serialize, ToSchema)]
#[schema(as = OfrepMetadata)]
pub(in crate::http) struct PageMetadata {
    /// The revision of the flags.
    revision: i64,
    /// Whether the flags may be outdated.
    stale: bool,
}

impl<'a> Flag<'a> {
    pub(in crate::http) fn of(definition: &'a Definition, entry: &'a Entry, wrapped: bool) -> Self {
        let value = &entry.value;
        let version = entry.version;
        let value_type = value.value_type().as_str();
        let shape = match value {
            SettingValue::StringArray(_) if wrapped => FlagValue::Wrapped { items: value },
            SettingValue::Number(number) if definition.constraints.integer != Some(true) => {
                FlagValue::Decimal(number.as_f64())
            }
            _ => FlagValue::Plain(value),
        };
        Self {
            key: &definition.key,
            value: shape,
            reason: "STATIC",
            variant: format!("v{version}"),
            metadata: FlagMetadata { version, value_type, revision: None, stale: None },
        }
    }

    /// Adds the revision and the staleness, for the response for a single flag.
    pub(in crate::http) fn at(mut self, revision: i64, stale: bool) -> Self {
        self.metadata.revision = Some(revision);
        self.metadata.stale = Some(stale);
        self
    }
}

/// Whether the settings in memory may be outdated: the database is unreachable or has invalid settings.
pub(in crate::http) fn is_stale(settings: &GlobalSettingsService) -> bool {
    !settings.is_reachable() || !settings.is_valid()
}

/// Returns the revision in a tag.
pub(in crate::http) fn revision_in(tag: &str) -> Option<i64> {
    // A client may strip the quotes of the event's `etag`.
    tag.trim_matches('"').strip_prefix('r')?.split('-').next()?.parse().ok()
}

/// The cache of the current page. Cheap to clone.
#[derive(Clone)]
pub struct Ofrep(Arc<Inner>);

struct Inner {
    keys: TokenVerifier,
    path_prefix: PathPrefix,
    page: ArcSwapOption<Page>,
    /// Locked during serialization: concurrent readers serialize a page once.
    writing: tokio::sync::Mutex<()>,
}

/// All flags at one state, serialized.
pub(in crate::http) struct Page {
    snapshot: Arc<Snapshot>,
    stale: bool,
    expires: i64,
    /// The digest of the bytes: a client whose page has an expired token must get a new page.
    pub(in crate::http) tag: HeaderValue,
    pub(in crate::http) body: Bytes,
    /// The event of the page.
    pub(in crate::http) event: Bytes,
}

impl Ofrep {
    /// Creates a cache of pages with stream tokens of `keys`.
    #[must_use]
    pub fn new(keys: TokenVerifier) -> Self {
        Self::with(keys, PathPrefix::default())
    }

    /// Returns an empty cache for clients under `path_prefix`.
    #[must_use]
    pub fn under(&self, path_prefix: PathPrefix) -> Self {
        Self::with(self.0.keys.clone(), path_prefix)
    }

    fn with(keys: TokenVerifier, path_prefix: PathPrefix) -> Self {
        let page = ArcSwapOption::empty();
        let writing = tokio::sync::Mutex::default();
        Self(Arc::new(Inner { keys, path_prefix, page, writing }))
    }

    /// Returns the page of the current settings at `now`.
    pub(in crate::http) async fn page(
        &self,
        settings: &GlobalSettingsService,
        now: DateTime<Utc>,
    ) -> Result<Arc<Page>, Problem> {
        // All pages of half an hour share a token, valid for at least half an hour more.
        let expires = (now.timestamp().div_euclid(TOKEN_TURN) + 2) * TOKEN_TURN;
        if let Some(page) = self.cached(settings, expires) {
            return Ok(page);
        }
        // Boxed: a handler's future is allocated and moved with every request, and almost all find the page.
        Box::pin(self.new_page(settings, expires)).await
    }

    /// Serializes the page of the current settings, unless another reader does.
    async fn new_page(
        &self,
        settings: &GlobalSettingsService,
        expires: i64,
    ) -> Result<Arc<Page>, Problem> {
        let _guard = self.0.writing.lock().await;
        // Another reader may have serialized the page during the wait for the lock.
        if let Some(page) = self.cached(settings, expires) {
            return Ok(page);
        }
        // Owned, because a guard must not be held across an `await`.
        let snapshot = settings.snapshot();
        let size = snapshot.schema.reading_size();
        let page =
            compute::run(size, || self.serialize(snapshot, is_stale(settings), expires)).await?;
        let page = Arc::new(page);
        self.0.page.store(Some(Arc::clone(&page)));
        Ok(page)
    }

    /// Returns the cached page, if current.
    fn cached(&self, settings: &GlobalSettingsService, expires: i64) -> Option<Arc<Page>> {
        let page = self.0.page.load();
        let page = page.as_ref()?;
        // The page keeps the snapshot alive, so an equal pointer means equal settings.
        let is_same = Arc::as_ptr(&page.snapshot) == Arc::as_ptr(&settings.current());
        let is_current = is_same && page.stale == is_stale(settings) && page.expires == expires;
        is_current.then(|| Arc::clone(page))
    }

    fn serialize(
        &self,
        snapshot: Arc<Snapshot>,
        stale: bool,
        expires: i64,
    ) -> Result<Page, Problem> {
        let revision = snapshot.revision;
        let entries = snapshot.schema.editable();
        let entries =
            entries.filter_map(|definition| Some((definition, snapshot.find(&definition.key)?)));
        let entries: Vec<_> = entries.collect();
        let modified = entries.iter().map(|(_, entry)| entry.updated_at.timestamp()).max();
        let page = FlagList {
            flags: entries
                .into_iter()
                .map(|(definition, entry)| Flag::of(definition, entry, false))
                .collect(),
            event_streams: self.event_stream(revision, expires).into_iter().collect(),
            metadata: PageMetadata { revision, stale },
        };
        let body = serde_json::to_vec(&page).map_err(|err| Problem::internal(&err))?;
        // 32 bits suffice, because the tag also names the revision.
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(&body));
        let tag = format!("\"r{revision}-{:08x}\"", u32::from_be_bytes([a, b, c, d]));
        let event = json!({
            "type": "refetchEvaluation", "etag": tag, "lastModified": modified.unwrap_or_default()
        });
        let tag = HeaderValue::try_from(tag).map_err(|err| Problem::internal(&err))?;
        // The page borrows the snapshot, and the snapshot moves into the result.
        drop(page);
        let event = event.to_string().into();
        Ok(Page { snapshot, stale, expires, tag, body: body.into(), event })
    }

    /// Returns the stream of changes after `revision`; `None` without a secret for tokens.
    fn event_stream(&self, revision: i64, expires: i64) -> Option<Value> {
        let token = self.0.keys.issue_stream_token(expires)?;
        // Clients resolve the address against the origin of the base URL, so the address needs the path prefix.
        // `since` lets the stream announce a change between the page and the connection.
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
