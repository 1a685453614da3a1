//! Settings as an administrator reads them: from the database, now or as they were.

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
        entry::Stored,
        reload,
        schema::{Applies, Definition, KeyClass, Schema},
        service::GlobalSettingsService,
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
    /// Its value, of its type.
    pub value: Value,
    /// The type of its value.
    #[schema(value_type = String, example = "number")]
    pub value_type: ValueType,
    /// The group it is shown in.
    pub category: String,
    /// What it does.
    pub description: String,
    /// The rules of its value.
    #[schema(value_type = Object)]
    pub constraints: Constraints,
    /// What it is reset to.
    #[schema(value_type = Value)]
    pub default: Option<SettingValue>,
    /// Whether it may be changed here.
    pub editable: bool,
    /// When a change takes effect.
    #[schema(value_type = String, example = "new_sessions")]
    pub applies: Applies,
    /// Where its value comes from: always the database.
    #[schema(example = "db")]
    pub source: &'static str,
    /// Grows by one with every change of the key.
    pub version: i32,
    /// Who changed it last.
    pub updated_by: String,
    /// When.
    pub updated_at: DateTime<Utc>,
}

/// Every editable setting at one revision, by key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
pub struct Listing {
    /// The revision they were at.
    pub revision: i64,
    /// The settings.
    pub settings: Vec<Setting>,
}

/// Which state is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The current one.
    Now,
    /// The one at a revision.
    Revision(i64),
    /// The one at an instant.
    Instant(DateTime<Utc>),
}

/// Why the settings were not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There was no such revision yet.
    #[error("{0}")]
    NoSuchRevision(String),
    /// The catalog declares no such editable setting, or none is stored.
    #[error("there is no setting {0}")]
    UnknownKey(String),
    /// The declarations could not be read.
    #[error(transparent)]
    Reload(#[from] reload::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

/// The newest revision, read from the database.
pub async fn revision(pool: &Pool) -> Result<i64, TransactionError> {
    let head = database::read_with_retry(pool, async |conn| {
        Ok::<_, TransactionError>(store::head(conn).await?)
    });
    head.await.map(|head| head.revision)
}

/// Every editable setting, read from the database.
pub async fn list(
    pool: &Pool,
    settings: &GlobalSettingsService,
    as_of: AsOf,
) -> Result<Listing, Error> {
    let size = settings.snapshot().schema.reading_size();
    let _permit = compute::read_permit(size).await;
    let (revision, catalog_revision, rows) =
        database::read_with_retry(pool, async |conn| state(conn, as_of).await).await?;
    let schema = declared(pool, settings, catalog_revision).await?;
    let settings = |row: Stored| match schema.classify(&row.key) {
        KeyClass::Editable(definition) => Setting::new(definition, row),
        KeyClass::Locked(_) | KeyClass::Unknown => None,
    };
    let settings = compute::run(size, || rows.into_iter().filter_map(settings).collect()).await;
    Ok(Listing { revision, settings })
}

/// The catalog, the revision, and the value of every editable setting at it, read from the database.
pub async fn values(
    pool: &Pool,
    settings: &GlobalSettingsService,
) -> Result<(String, i64, BTreeMap<String, SettingValue>), Error> {
    let listing = list(pool, settings, AsOf::Now).await?;
    let value = |setting: Setting| {
        let value = SettingValue::from_stored(setting.value_type, &setting.value).ok()?;
        Some((setting.key, value))
    };
    let values = listing.settings.into_iter().filter_map(value).collect();
    Ok((settings.current().schema.catalog.clone(), listing.revision, values))
}

/// The setting `key`, read from the database.
pub async fn find(
    pool: &Pool,
    settings: &GlobalSettingsService,
    key: &str,
) -> Result<Setting, Error> {
    let read = database::read_with_retry(pool, async |conn| {
        let head = store::head(conn).await?;
        let rows = store::some(conn, &[key.to_owned()]).await?;
        Ok::<_, TransactionError>((head.catalog_revision, rows))
    });
    let (catalog_revision, rows) = read.await?;
    let schema = declared(pool, settings, catalog_revision).await?;
    let setting = match (schema.classify(key), rows.into_iter().next()) {
        (KeyClass::Editable(definition), Some(row)) => Setting::new(definition, row),
        _ => None,
    };
    setting.ok_or_else(|| Error::UnknownKey(key.to_owned()))
}

/// The revision, the state of the catalog it was read with, and the rows.
async fn state(conn: &mut Connection, as_of: AsOf) -> Result<(i64, i64, Vec<Stored>), Error> {
    let database = TransactionError::from;
    if as_of == AsOf::Now {
        let rows = store::listing(conn).await.map_err(database)?;
        let (revision, catalog) =
            rows.first().map_or((0, 0), |row| (row.revision, row.catalog_revision));
        return Ok((
            revision,
            catalog,
            rows.into_iter().filter_map(store::Change::stored).collect(),
        ));
    }
    let head = store::head(conn).await.map_err(database)?;
    let revision = match as_of {
        AsOf::Now => Some(head.revision),
        AsOf::Revision(revision) => (1..=head.revision).contains(&revision).then_some(revision),
        AsOf::Instant(instant) => store::revision_at(conn, instant).await.map_err(database)?,
    };
    let revision = revision.ok_or_else(|| {
        let newest = head.revision;
        Error::NoSuchRevision(format!(
            "there are no settings then; revisions go from 1 to {newest}"
        ))
    })?;
    let rows = store::as_of(conn, revision).await.map_err(database)?;
    Ok((revision, head.catalog_revision, rows))
}

/// The declarations at `catalog_revision`: those held, unless they moved.
pub(super) async fn declared(
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
    /// The row as a setting; `None` when it is no more stored.
    fn new(definition: &Definition, row: Stored) -> Option<Self> {
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
            source: "db",
            version: row.version?,
            updated_by: row.updated_by?,
            updated_at: row.updated_at?,
        })
    }
}

/// Returns a manually written `30.0` as the `30` of the snapshot.
fn canonical(declared: ValueType, stored: Value) -> Value {
    SettingValue::from_stored(declared, &stored).map_or(stored, |value| value.to_json())
}
