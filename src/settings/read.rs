//! Reads of the settings for administrators: from the database, current or of the past.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    compute,
    database::{self, Connection, Pool, TransactionError},
    settings::{
        constraints::Constraints,
        current::GlobalSettingsService,
        entry::StoredSetting,
        history, reload,
        schema::{Applies, Definition, KeyClass, Schema},
        store,
        value::{SettingValue, ValueType},
    },
};

/// One setting with its declaration.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Setting {
    /// The key.
    #[schema(example = "BRUNE_COOLDOWN_MINUTES")]
    pub key: String,
    /// The current value.
    pub value: Value,
    /// The type of the value.
    #[schema(value_type = String, example = "number")]
    pub value_type: ValueType,
    /// The group in which the console shows the setting.
    pub category: String,
    /// What the setting does.
    pub description: String,
    /// The rules of the value.
    #[schema(value_type = Object)]
    pub constraints: Constraints,
    /// The value after a reset.
    #[schema(value_type = Value)]
    pub default: Option<SettingValue>,
    /// Whether the setting can be changed.
    pub editable: bool,
    /// When a change takes effect.
    #[schema(value_type = String, example = "new_sessions")]
    pub applies: Applies,
    /// How many other people must approve a change, 0 to 3.
    pub approvals: i16,
    /// The source of the value: always the database.
    #[schema(example = "db")]
    pub source: &'static str,
    /// The version: increases by 1 with each change of the key.
    pub version: i32,
    /// The author of the last change.
    pub updated_by: String,
    /// The time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// Every editable setting at one revision, by key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
pub struct Listing {
    /// The revision of the state.
    pub revision: i64,
    /// The settings.
    pub settings: Vec<Setting>,
}

/// The state to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The current state.
    Now,
    /// The state at a revision.
    Revision(i64),
    /// The state at an instant.
    Instant(DateTime<Utc>),
}

/// Why the settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No revision existed at the requested point; with the existing revisions.
    #[error("{0}")]
    NoSuchRevision(String),
    /// The catalog declares no editable setting of the name, or no value is stored.
    #[error("there is no setting {0}")]
    UnknownKey(String),
    /// The declarations could not be read.
    #[error(transparent)]
    Reload(#[from] reload::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

/// The rows of one state of the database.
struct StoredState {
    revision: i64,
    catalog_revision: i64,
    rows: Vec<StoredSetting>,
}

/// Reads the newest revision from the database.
pub async fn revision(pool: &Pool) -> Result<i64, TransactionError> {
    Ok(head(pool).await?.revision)
}

/// Reads every editable setting from the database.
pub async fn list(
    pool: &Pool,
    settings: &GlobalSettingsService,
    as_of: AsOf,
) -> Result<Listing, Error> {
    let size = settings.snapshot().schema.reading_size();
    // Bounds how many large listings are in memory at once.
    let _permit = compute::read_permit(size).await;
    let state = database::read_with_retry(pool, async |conn| stored_state(conn, as_of).await);
    let StoredState { revision, catalog_revision, rows } = state.await?;
    let schema = schema_at(pool, settings, catalog_revision).await?;
    // Secrets that an older release stored as settings are never listed.
    let setting = |row: StoredSetting| match schema.classify(&row.key) {
        KeyClass::Editable(definition) => Setting::new(definition, row),
        KeyClass::Locked(_) | KeyClass::Unknown => None,
    };
    let settings = compute::run(size, || rows.into_iter().filter_map(setting).collect()).await;
    Ok(Listing { revision, settings })
}

/// Reads the name of the catalog, the revision, and the value of every editable setting from the database.
pub async fn values(
    pool: &Pool,
    settings: &GlobalSettingsService,
) -> Result<(String, i64, BTreeMap<String, SettingValue>), Error> {
    let listing = list(pool, settings, AsOf::Now).await?;
    let values = listing.settings.into_iter().filter_map(|setting| {
        // An unreadable value is left out, because an import of the export would fail.
        let value = SettingValue::from_stored(setting.value_type, &setting.value).ok()?;
        Some((setting.key, value))
    });
    let values = values.collect();
    Ok((settings.current().schema.catalog.clone(), listing.revision, values))
}

/// Reads the setting `key` from the database.
pub async fn find(
    pool: &Pool,
    settings: &GlobalSettingsService,
    key: &str,
) -> Result<Setting, Error> {
    let state = database::read_with_retry(pool, async |conn| {
        let head = store::head(conn).await?;
        let rows = store::some(conn, &[key.to_owned()]).await?;
        Ok::<_, TransactionError>((head.catalog_revision, rows))
    });
    let (catalog_revision, rows) = state.await?;
    let schema = schema_at(pool, settings, catalog_revision).await?;
    // A locked key is reported like an unknown key: secrets and variables have routes of their own.
    let setting = match (schema.classify(key), rows.into_iter().next()) {
        (KeyClass::Editable(definition), Some(row)) => Setting::new(definition, row),
        _ => None,
    };
    setting.ok_or_else(|| Error::UnknownKey(key.to_owned()))
}

/// Reads the settings as of `as_of`, in one state of the database.
async fn stored_state(conn: &mut Connection, as_of: AsOf) -> Result<StoredState, Error> {
    let read_error = TransactionError::from;
    // The common case in one statement, so in one state of the database without a transaction.
    if as_of == AsOf::Now {
        let rows = store::listing(conn).await.map_err(read_error)?;
        let (revision, catalog_revision) =
            // The query returns a row even without settings, so only a lost head gives 0.
            rows.first().map_or((0, 0), |row| (row.revision, row.catalog_revision));
        let rows = rows.into_iter().filter_map(store::Change::stored).collect();
        return Ok(StoredState { revision, catalog_revision, rows });
    }
    let head = store::head(conn).await.map_err(read_error)?;
    let revision = match as_of {
        AsOf::Now => Some(head.revision),
        AsOf::Revision(revision) => (1..=head.revision).contains(&revision).then_some(revision),
        AsOf::Instant(instant) => history::revision_at(conn, instant).await.map_err(read_error)?,
    };
    let revision = revision.ok_or_else(|| {
        let newest = head.revision;
        Error::NoSuchRevision(format!("no settings at that point; revisions go from 1 to {newest}"))
    })?;
    // Past revisions never change, so a second statement cannot see another state.
    let rows = history::as_of(conn, revision).await.map_err(read_error)?;
    Ok(StoredState { revision, catalog_revision: head.catalog_revision, rows })
}

/// Reads the head row.
pub(super) async fn head(pool: &Pool) -> Result<store::Head, TransactionError> {
    let head = database::read_with_retry(pool, async |conn| store::head(conn).await);
    head.await
}

/// Returns the declarations of the current snapshot, reloaded unless at `catalog_revision`.
pub(super) async fn schema_at(
    pool: &Pool,
    settings: &GlobalSettingsService,
    catalog_revision: i64,
) -> Result<Arc<Schema>, reload::Error> {
    if settings.current().schema.revision != catalog_revision {
        reload::refresh(pool, settings).await?;
    }
    Ok(Arc::clone(&settings.current().schema))
}

impl Setting {
    /// Returns the stored row as a setting; `None` if the setting was deleted.
    fn new(definition: &Definition, row: StoredSetting) -> Option<Self> {
        Some(Self {
            key: row.key,
            value: canonical(definition.value_type, row.value?),
            value_type: definition.value_type,
            category: definition.category.clone(),
            description: definition.description.clone(),
            constraints: definition.constraints.clone(),
            default: definition.default.clone(),
            editable: true,
            applies: definition.applies,
            approvals: definition.approvals,
            source: "db",
            version: row.version?,
            updated_by: row.updated_by?,
            updated_at: row.updated_at?,
        })
    }
}

/// Returns `stored` in the form of the snapshot: a manually inserted `30.0` as 30.
fn canonical(declared: ValueType, stored: Value) -> Value {
    // An unreadable value is shown as stored, so administrators can see the value and replace it.
    SettingValue::from_stored(declared, &stored).map_or(stored, |value| value.to_json())
}
