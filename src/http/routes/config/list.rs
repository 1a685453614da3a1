//! Reading: every declared key, locked ones without their values.

use std::collections::BTreeMap;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::{Provision, Source},
    database::Pool,
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::{Code, Problem},
        request::{path::PathSegment, preconditions, query::Query},
        response::JsonResponse,
        routes::settings::read_trail,
    },
    secret_scanner::SecretScanner,
    settings::{self, AsOf, Definition, GlobalSettingsService, KeyClass, Setting},
};

/// A key of the catalog: a setting, or one that is locked.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum ConfigEntry {
    /// A setting.
    Editable(Box<EditableEntry>),
    /// A key that is a secret, infrastructure's, or locked by the catalog.
    Locked(LockedEntry),
}

/// A setting, and that it is not locked.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct EditableEntry {
    #[serde(flatten)]
    setting: Setting,
    /// Always false.
    locked: bool,
}

/// A key that is not written here; its value is not told.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LockedEntry {
    /// The key.
    key: String,
    /// Always null.
    value: (),
    /// The type of its value.
    value_type: &'static str,
    /// The group it is shown in.
    category: String,
    /// What it does.
    description: String,
    /// Always false.
    editable: bool,
    /// Always true.
    locked: bool,
    /// When a change takes effect.
    applies: &'static str,
    /// Where its value comes from: `env`, `env_file`, `file`, `credential`, `legacy_db`,
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

/// Every key of the catalog; secrets and infrastructure's without values.
#[utoipa::path(
    get,
    path = "/admin/config",
    tag = "config",
    operation_id = "listConfig",
    params(
        ("search" = Option<String>, Query, description = "Part of a key or a description, in any case"),
        ("category" = Option<String>, Query, description = "Of this category"),
    ),
    responses(
        (status = 200, description = "The keys; `ETag: \"r<revision>\"`", body = ConfigListing),
        (status = 304, description = "The caller holds them already"),
        ConfigListProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(provision): State<Provision>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let (search, category) = (query.text("search"), query.text("category"));
    query.finish()?;
    let listing = settings::list(&pool, &settings, AsOf::Now).await?;
    let revision = listing.revision;
    let snapshot = settings.snapshot();
    let mut values: BTreeMap<String, Setting> =
        listing.settings.into_iter().map(|it| (it.key.clone(), it)).collect();
    let wanted = search.map(|it| it.to_lowercase());
    let fits = |definition: &&Definition| {
        let text = format!("{} {}", definition.key, definition.description).to_lowercase();
        wanted.as_ref().is_none_or(|it| text.contains(it))
            && category.as_ref().is_none_or(|it| *it == definition.category)
    };
    let entries = snapshot.schema.all().filter(fits).filter_map(|definition| {
        match snapshot.schema.classify(&definition.key) {
            KeyClass::Editable(_) => values.remove(&definition.key).map(editable),
            KeyClass::Locked(_) => {
                Some(ConfigEntry::Locked(LockedEntry::new(definition, &provision)))
            }
            KeyClass::Unknown => None,
        }
    });
    let listing = ConfigListing { revision, entries: entries.collect() };
    let tag = preconditions::revision_tag(revision);
    preconditions::tagged(&headers, &tag, || JsonResponse::ok(&listing))
}

fn editable(setting: Setting) -> ConfigEntry {
    ConfigEntry::Editable(Box::new(EditableEntry { setting, locked: false }))
}

problems! {
    ConfigFindProblems: MalformedRequest, Unauthorized, Forbidden, UnknownKey, RevisionMismatch, Internal, Unavailable,
    ConfigUnavailable
}

/// One key of the catalog.
#[utoipa::path(
    get,
    path = "/admin/config/{key}",
    tag = "config",
    operation_id = "getConfig",
    params(("key" = String, Path, description = "Its key")),
    responses(
        (status = 200, description = "The key; a setting's `ETag: \"v<version>\"`", body = ConfigEntry),
        (status = 304, description = "The caller holds it already"),
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
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let snapshot = settings.snapshot();
    match snapshot.schema.classify(&key) {
        KeyClass::Locked(definition) => {
            Ok(JsonResponse::ok(&LockedEntry::new(definition, &provision))?.into_response())
        }
        KeyClass::Unknown => Err(unknown(&key)),
        KeyClass::Editable(_) => {
            let setting = settings::find(&pool, &settings, &key).await?;
            let tag = preconditions::version_tag(setting.version);
            preconditions::tagged(&headers, &tag, || JsonResponse::ok(&editable(setting)))
        }
    }
}

/// There is no such key.
pub(super) fn unknown(key: &str) -> Problem {
    Problem::new(Code::UnknownKey, format!("the catalog declares no key {key}"))
}

problems! {
    AuditProblems: MalformedRequest, Unauthorized, Forbidden, UnknownKey, Internal, Unavailable
}

/// Who changed what, when and why; as `/admin/global-settings/history`.
#[utoipa::path(
    get,
    path = "/admin/config/audit",
    tag = "config",
    operation_id = "listConfigAudit",
    params(
        ("key" = Option<String>, Query, description = "Of this key"),
        ("changed_by" = Option<String>, Query, description = "By this person"),
        ("action" = Option<String>, Query, description = "Of this kind"),
        ("request_id" = Option<String>, Query, description = "In this request"),
        ("revision" = Option<i64>, Query, description = "Of this change set"),
        ("since" = Option<String>, Query, description = "Not before this RFC 3339 time"),
        ("until" = Option<String>, Query, description = "Not after this RFC 3339 time"),
        ("limit" = Option<i64>, Query, description = "1 to 200, 50 when left out"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses((status = 200, description = "A page", body = crate::audit::Page), AuditProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn audit(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(scanner): State<SecretScanner>,
    query: Query,
) -> Result<JsonResponse, Problem> {
    read_trail(&pool, &settings, &scanner, query).await
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
    query: Query,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    let schema = settings::json_schema(&settings.current().schema);
    Ok(JsonResponse::text("application/schema+json", schema.to_string()))
}
