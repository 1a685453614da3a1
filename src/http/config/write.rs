//! Writing: one key at a time.

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use utoipa::ToSchema;

use crate::{
    http::{
        answer::Answer,
        body::Body,
        conditions,
        config::list::unknown,
        fields::{Fields, NUMBERS},
        limit::Writer,
        openapi::problems,
        path::Segment,
        problem::{Code, Problem},
        query::Query,
        settings::{WriteHead, actor, only_dry_run},
    },
    ids::RequestId,
    settings::{self, Changed, Edit, GlobalSettingsService, Setting, Terms},
};

/// A setting as it is after a write, or as it would be.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Written {
    #[serde(flatten)]
    setting: Setting,
    /// Always false.
    locked: bool,
    /// Whether nothing was stored.
    dry_run: bool,
}

/// A new value.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: bodies are read field by field")]
pub(in crate::http) struct PutBody {
    /// The value, of the key's type.
    value: Value,
    /// Why, in 3 to 500 characters on one line.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
    /// The version it must still be at; may be left out with `If-Match: "v<version>"`.
    version: Option<i64>,
}

problems! {
    PutProblems: MalformedRequest, ReasonRequired, Unauthorized, Forbidden, KeyLocked, UnknownKey,
    RequestTimeout, VersionConflict, RevisionMismatch, PayloadTooLarge, UnsupportedMediaType, InvalidValue,
    IdempotencyKeyReused, VersionRequired, RateLimited, Internal, Unavailable, OutcomeUnknown
}

/// Changes one setting.
#[utoipa::path(
    put,
    path = "/admin/config/{key}",
    tag = "config",
    operation_id = "putConfig",
    params(
        ("key" = String, Path, description = "Its key"),
        ("dry_run" = Option<bool>, Query, description = "Check everything, store nothing"),
        ("If-Match" = Option<String>, Header, description = "The version that must be current, as `\"v<version>\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat within 24 hours answers as the first time"),
    ),
    request_body = PutBody,
    responses((status = 200, description = "The setting", body = Written), PutProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn put(
    Writer(caller): Writer,
    State(pool): State<PgPool>,
    State(settings): State<GlobalSettingsService>,
    Extension(request): Extension<RequestId>,
    Segment(key): Segment,
    headers: HeaderMap,
    query: Query,
    write: WriteHead,
    Body { json, bytes }: Body,
) -> Result<Answer, Problem> {
    only_dry_run(query)?;
    let mut fields = Fields::of(json)?;
    let reason = fields.optional_string("reason");
    let value = fields.raw("value");
    let version = fields.optional_integer("version", NUMBERS);
    let value = fields.finish(|| value)?;
    let actor = actor(&caller, reason, request)?;
    let terms = Terms { revisions: None, ..write.terms(&caller, &bytes) };
    let version = version.or_else(|| conditions::required_version(&headers));
    let edits = [Edit { key: key.clone(), value, version }];
    let changed = settings::update(&pool, &settings, &actor, &edits, &terms).await;
    written(&pool, &settings, &key, changed, &terms).await
}

problems! {
    ResetProblems: MalformedRequest, ReasonRequired, Unauthorized, Forbidden, KeyLocked, UnknownKey,
    VersionConflict, RevisionMismatch, InvalidValue, IdempotencyKeyReused, VersionRequired, RateLimited,
    Internal, Unavailable, OutcomeUnknown
}

/// Gives one setting its default.
#[utoipa::path(
    delete,
    path = "/admin/config/{key}",
    tag = "config",
    operation_id = "resetConfig",
    params(
        ("key" = String, Path, description = "Its key"),
        ("reason" = String, Query, description = "Why, in 3 to 500 characters on one line"),
        ("version" = Option<i64>, Query, description = "The version it must still be at"),
        ("dry_run" = Option<bool>, Query, description = "Check everything, store nothing"),
        ("If-Match" = Option<String>, Header, description = "The version that must be current, as `\"v<version>\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat within 24 hours answers as the first time"),
    ),
    responses((status = 200, description = "The setting at its default", body = Written), ResetProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn reset(
    Writer(caller): Writer,
    State(pool): State<PgPool>,
    State(settings): State<GlobalSettingsService>,
    Extension(request): Extension<RequestId>,
    Segment(key): Segment,
    headers: HeaderMap,
    mut query: Query,
    write: WriteHead,
) -> Result<Answer, Problem> {
    let (reason, version) = (query.text("reason"), query.integer("version", NUMBERS));
    query.flag("dry_run");
    query.finish()?;
    let actor = actor(&caller, reason, request)?;
    let terms = Terms { revisions: None, ..write.terms(&caller, b"") };
    let version = version.or_else(|| conditions::required_version(&headers));
    let changed = settings::reset(&pool, &settings, &actor, &key, version, &terms).await;
    written(&pool, &settings, &key, changed, &terms).await
}

/// The setting as it is stored now; for a dry run, as it would be.
async fn written(
    pool: &PgPool,
    settings: &GlobalSettingsService,
    key: &str,
    changed: Result<Changed, settings::Error>,
    terms: &Terms,
) -> Result<Answer, Problem> {
    let changed = changed.map_err(|err| refusal(key, err))?;
    let mut setting = settings::find(pool, settings, key).await?;
    if let Some(would) = changed.changed.into_iter().find(|_| terms.dry_run) {
        setting.value = would.new_value.to_json();
        setting.version = would.version;
    }
    let tag = conditions::version_tag(setting.version);
    let written = Written { setting, locked: false, dry_run: terms.dry_run };
    Ok(Answer::ok(&written)?.with(header::ETAG, &tag))
}

/// The same refusals as of a batch, but that an unknown key is a 404 and an invalid value a 422.
fn refusal(key: &str, err: settings::Error) -> Problem {
    let settings::Error::Invalid(broken) = &err else {
        return Problem::from(err).pointing(|_, _| Some("/value".to_owned()));
    };
    if broken.iter().any(|it| it.code == "unknown_key") {
        return unknown(key);
    }
    Problem::from(err).with_code(Code::InvalidValue).pointing(|_, _| Some("/value".to_owned()))
}
