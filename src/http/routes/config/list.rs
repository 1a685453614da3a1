//! Reading the keys of the catalog.

use std::collections::BTreeMap;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::{Provision, Source},
    database::Pool,
    http::{
        auth::SuperAdmin,
        openapi::{any_of, problems},
        problem::{Code, Problem},
        request::{
            path::PathSegment,
            preconditions::{self, ReadConditions},
            query::{NoParameters, Query, query},
        },
        response::JsonResponse,
        routes::settings::{TrailPageParameters, read_trail},
    },
    secret_scanner::SecretScanner,
    settings::{self, AsOf, Definition, GlobalSettingsService, KeyClass, Search, Setting},
};

/// A key of the catalog: a setting or a locked key.
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::http) enum ConfigEntry {
    /// A setting.
    Editable(Box<EditableEntry>),
    /// A secret, a key of the infrastructure, or a key locked by the catalog.
    Locked(LockedEntry),
}

any_of! {
    ConfigEntry: "EditableEntry" = EditableEntry, "LockedEntry" = LockedEntry;
}

/// A setting, marked as not locked.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct EditableEntry {
    #[serde(flatten)]
    setting: Setting,
    /// Always false.
    locked: bool,
}

/// A locked key, without a value.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LockedEntry {
    /// The key.
    key: String,
    /// Always null.
    value: (),
    /// The type of the value.
    value_type: &'static str,
    /// The category.
    category: String,
    /// The description.
    description: String,
    /// Always false.
    editable: bool,
    /// Always true.
    locked: bool,
    /// When a change takes effect.
    applies: &'static str,
    /// The source of the value: `env`, `env_file`, `file`, `credential`, `legacy_db`,
    /// `default` or `none`.
    source: &'static str,
}

/// The keys of the catalog.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ConfigListing {
    /// The revision of the settings.
    revision: i64,
    /// The entries, by key.
    entries: Vec<ConfigEntry>,
}

impl LockedEntry {
    fn new(definition: &Definition, provision: &Provision) -> Self {
        let default = if definition.default.is_some() { "default" } else { "none" };
        Self {
            key: definition.key.clone(),
            // The value of a locked key never leaves the process, not even for administrators.
            value: (),
            value_type: definition.value_type.as_str(),
            category: definition.category.clone(),
            description: definition.description.clone(),
            editable: false,
            locked: true,
            applies: "restart",
            source: provision.source(&definition.key).map_or(default, Source::as_str),
        }
    }
}

problems! {
    ConfigListProblems: MalformedRequest, Unauthorized, Forbidden, RevisionMismatch, Internal, Unavailable, ConfigUnavailable
}

query! {
    /// The keys to list.
    struct ConfigParameters {
        /// A part of the key or of the description, in any case
        search: Option<String>,
        /// Keys of this category
        category: Option<String>,
    }
}

/// Every key of the catalog; locked keys without values.
#[utoipa::path(
    get,
    path = "/admin/config",
    tag = "config",
    operation_id = "listConfig",
    params(ConfigParameters, ReadConditions),
    responses(
        (status = 200, description = "The keys; `ETag: \"r<revision>\"`", body = ConfigListing),
        (status = 304, description = "The state is that of `If-None-Match`"),
        ConfigListProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(provision): State<Provision>,
    Query(ConfigParameters { search, category }): Query<ConfigParameters>,
    conditions: ReadConditions,
) -> Result<Response, Problem> {
    // From the database, not from memory: an editor must see the newest versions.
    let listing = settings::list(&pool, &settings, AsOf::Now).await?;
    let revision = listing.revision;
    let snapshot = settings.snapshot();
    let mut values: BTreeMap<String, Setting> =
        listing.settings.into_iter().map(|setting| (setting.key.clone(), setting)).collect();
    let search = Search::new(search.as_deref(), category);
    let entries = snapshot.schema.all().filter(|definition| search.matches(definition));
    let entries =
        entries.filter_map(|definition| match snapshot.schema.classify(&definition.key) {
            // Moved out of the map instead of cloned: a value may be large.
            KeyClass::Editable(_) => values.remove(&definition.key).map(editable),
            KeyClass::Locked(_) => {
                Some(ConfigEntry::Locked(LockedEntry::new(definition, &provision)))
            }
            // The catalog changed between the two reads; the next request has the key.
            KeyClass::Unknown => None,
        });
    let listing = ConfigListing { revision, entries: entries.collect() };
    // The tag needs no filter: an address with other filters is another resource.
    let tag = preconditions::revision_tag(revision);
    conditions.tagged(&tag, || JsonResponse::ok(&listing))
}

fn editable(setting: Setting) -> ConfigEntry {
    ConfigEntry::Editable(Box::new(EditableEntry { setting, locked: false }))
}

problems! {
    ConfigFindProblems: MalformedRequest, Unauthorized, Forbidden, UnknownKey, RevisionMismatch, Internal, Unavailable,
    ConfigUnavailable
}

/// A key of the catalog.
#[utoipa::path(
    get,
    path = "/admin/config/{key}",
    tag = "config",
    operation_id = "getConfig",
    params(("key" = String, Path, description = "The key"), ReadConditions),
    responses(
        (status = 200, description = "The key; a setting's `ETag: \"v<version>\"`", body = ConfigEntry),
        (status = 304, description = "The version is that of `If-None-Match`"),
        ConfigFindProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn find(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(provision): State<Provision>,
    PathSegment(key): PathSegment,
    _: Query<NoParameters>,
    conditions: ReadConditions,
) -> Result<Response, Problem> {
    let snapshot = settings.snapshot();
    match snapshot.schema.classify(&key) {
        KeyClass::Locked(definition) => {
            // No tag: a locked key has no version to be written against.
            Ok(JsonResponse::ok(&LockedEntry::new(definition, &provision))?.into_response())
        }
        KeyClass::Unknown => Err(unknown(&key)),
        KeyClass::Editable(_) => {
            let setting = settings::find(&pool, &settings, &key).await?;
            let tag = preconditions::version_tag(setting.version);
            conditions.tagged(&tag, || JsonResponse::ok(&editable(setting)))
        }
    }
}

/// Returns the problem of an undeclared key.
pub(super) fn unknown(key: &str) -> Problem {
    // The caller's text may be quoted: rendering redacts possible secrets.
    Problem::new(Code::UnknownKey, format!("the catalog declares no key {key}"))
}

problems! {
    AuditProblems: MalformedRequest, Unauthorized, Forbidden, UnknownKey, Internal, Unavailable
}

/// Changes with author, time and reason; as `/admin/global-settings/history`.
#[utoipa::path(
    get,
    path = "/admin/config/audit",
    tag = "config",
    operation_id = "listConfigAudit",
    params(TrailPageParameters),
    responses((status = 200, description = "A page", body = crate::audit::Page), AuditProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn audit(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(scanner): State<SecretScanner>,
    Query(parameters): Query<TrailPageParameters>,
) -> Result<JsonResponse, Problem> {
    read_trail(&pool, &settings, &scanner, parameters).await
}

problems! {
    SchemaProblems: MalformedRequest, Unauthorized, Forbidden, Internal
}

/// The declarations of the editable settings as a JSON Schema.
#[utoipa::path(
    get,
    path = "/admin/config/schema",
    tag = "config",
    operation_id = "getConfigSchema",
    responses(
        (status = 200, description = "A JSON Schema (2020-12) of an object with every setting", body = Object, content_type = "application/schema+json"),
        SchemaProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn schema(
    _: SuperAdmin,
    State(settings): State<GlobalSettingsService>,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    let schema = settings::json_schema(&settings.current().schema);
    Ok(JsonResponse::text("application/schema+json", schema.to_string()))
}
