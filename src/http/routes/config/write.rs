//! Writing: one key at a time.

use axum::{Extension, extract::State, http::header};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    database::Pool,
    http::{
        auth::write_quota::Writer,
        openapi::problems,
        problem::{Code, Problem},
        request::{
            body::Body,
            fields::{Fields, NUMBERS},
            path::PathSegment,
            preconditions,
            query::Query,
        },
        response::JsonResponse,
        routes::config::list::unknown,
        write::{Wait, WriteHeaders, WriteResponse, actor, ask_usual, only_usual},
    },
    ids::RequestId,
    json::FieldError,
    settings::{
        self, AsOf, ChangeResult, Edit, GlobalSettingsService, Setting, SettingsWriter,
        WriteOptions,
    },
};

/// A setting as it is after a write, or as it would be.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct KeyWriteResponse {
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
    /// Why, in 3 to 500 characters on one line, 3 of them visible.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
    /// The version it must still be at; may be left out with `If-Match: "v<version>"`.
    version: Option<i64>,
}

problems! {
    PutProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, KeyLocked, UnknownKey,
    RequestTimeout, VersionConflict, RevisionMismatch, PayloadTooLarge, UnsupportedMediaType, InvalidValue, SecretLikeValue,
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
        ("wait" = Option<String>, Query, description = "`applied`: answer when every live instance has the change; not of a dry run"),
        ("timeout_ms" = Option<i64>, Query, description = "How long that may take: 100 to 4000, 2000 when left out"),
        ("If-Match" = Option<String>, Header, description = "The version that must be current, as `\"v<version>\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat within 24 hours answers as the first time"),
    ),
    request_body = PutBody,
    responses(
        (status = 200, description = "The setting", body = WriteResponse<KeyWriteResponse>),
        (status = 202, description = "It is stored, and the instances that `applied.laggards` names did not have it in time", body = WriteResponse<KeyWriteResponse>),
        PutProblems,
    ),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "a handler takes what it is given, part by part")]
pub(in crate::http) async fn put(
    Writer(caller): Writer,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(writer): State<SettingsWriter>,
    Extension(request): Extension<RequestId>,
    PathSegment(key): PathSegment,
    query: Query,
    mut write: WriteHeaders,
    body: Result<Body, Problem>,
) -> Result<JsonResponse, Problem> {
    let Body { json, bytes } = body.map_err(Problem::or_reason_required)?;
    only_usual(query)?;
    let mut fields = Fields::of(json)?;
    let reason = fields.optional_string("reason");
    let value = fields.raw("value");
    let version = fields.optional_integer("version", NUMBERS);
    let value = fields.finish(|| value)?;
    let actor = actor(&caller, reason, request)?;
    let bound = ExpectedVersion::by(version, write.versions(), &pool, &settings, &key).await?;
    let explain = write.explain();
    let (terms, wait) = write.terms(&caller, &bytes);
    let edits = [Edit { key: key.clone(), value, version: bound.version }];
    let changed = writer.update(&actor, &edits, &terms).await;
    let changed = changed.map_err(|err| explain(bound.refusal(&key, err)))?;
    written(&pool, &settings, &key, changed, &terms, wait).await
}

problems! {
    ResetProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, KeyLocked, UnknownKey,
    VersionConflict, RevisionMismatch, InvalidValue, SecretLikeValue, IdempotencyKeyReused, VersionRequired, RateLimited,
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
        ("reason" = String, Query, description = "Why, in 3 to 500 characters on one line, 3 of them visible"),
        ("version" = Option<i64>, Query, description = "The version it must still be at"),
        ("dry_run" = Option<bool>, Query, description = "Check everything, store nothing"),
        ("wait" = Option<String>, Query, description = "`applied`: answer when every live instance has the change; not of a dry run"),
        ("timeout_ms" = Option<i64>, Query, description = "How long that may take: 100 to 4000, 2000 when left out"),
        ("If-Match" = Option<String>, Header, description = "The version that must be current, as `\"v<version>\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat within 24 hours answers as the first time"),
    ),
    responses(
        (status = 200, description = "The setting at its default", body = WriteResponse<KeyWriteResponse>),
        (status = 202, description = "It is stored, and the instances that `applied.laggards` names did not have it in time", body = WriteResponse<KeyWriteResponse>),
        ResetProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn reset(
    Writer(caller): Writer,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(writer): State<SettingsWriter>,
    Extension(request): Extension<RequestId>,
    PathSegment(key): PathSegment,
    mut query: Query,
    mut write: WriteHeaders,
) -> Result<JsonResponse, Problem> {
    let (reason, version) = (query.text("reason"), query.integer("version", NUMBERS));
    ask_usual(&mut query);
    query.finish()?;
    let actor = actor(&caller, reason, request)?;
    let bound = ExpectedVersion::by(version, write.versions(), &pool, &settings, &key).await?;
    let explain = write.explain();
    let (terms, wait) = write.terms(&caller, b"");
    let changed = writer.reset(&actor, &key, bound.version, &terms).await;
    let changed = changed.map_err(|err| explain(bound.refusal(&key, err)))?;
    written(&pool, &settings, &key, changed, &terms, wait).await
}

/// The version that a write is bound to.
struct ExpectedVersion {
    version: Option<i64>,
    /// Whether `If-Match` named it; a failed precondition is a 412, not a 409.
    tagged: bool,
}

impl ExpectedVersion {
    /// Binds a write of `key` to `version` of the body, or to the one of `tags` that is current. If none of them is,
    /// the first stands for all, and fails.
    async fn by(
        version: Option<i64>,
        tags: Option<&[i64]>,
        pool: &Pool,
        settings: &GlobalSettingsService,
        key: &str,
    ) -> Result<Self, Problem> {
        let version = match (version, tags) {
            (version, None) => version,
            (Some(version), Some(tags)) if tags.contains(&version) => Some(version),
            // No tag of these can match, which is a failed precondition. No key has version 0.
            (Some(_), Some([])) => Some(0),
            (Some(_), Some(_)) => {
                let detail = "is another version than If-Match names; send one of the two";
                return Err(Problem::malformed(FieldError::at("/version", "ambiguous", detail)));
            }
            (None, Some([tag])) => Some(*tag),
            (None, Some(tags)) => {
                // A key that cannot be read is refused by the write.
                let setting = settings::find(pool, settings, key).await.ok();
                let current = setting.map(|it| i64::from(it.version));
                let current = current.filter(|current| tags.contains(current));
                // No key has version 0.
                current.or(tags.first().copied()).or(Some(0))
            }
        };
        Ok(Self { version, tagged: tags.is_some() })
    }

    /// The same refusals as of a batch, but that an unknown key is a 404, an invalid value or one that looks like a
    /// secret a 422, and a tag that is not the current one a 412.
    fn refusal(&self, key: &str, err: settings::Error) -> Problem {
        match &err {
            settings::Error::Stale(_) if self.tagged => {
                Problem::from(err).with_code(Code::RevisionMismatch)
            }
            settings::Error::Invalid(broken) => {
                if broken.iter().any(|it| it.code == "unknown_key") {
                    return unknown(key);
                }
                let problem = Problem::from(err).with_code(Code::InvalidValue);
                problem.pointing(|_, _| Some("/value".to_owned()))
            }
            settings::Error::SecretLike(found) if !found.values.is_empty() => {
                let problem = Problem::from(err).with_code(Code::SecretLikeValue);
                problem.pointing(|_, _| Some("/value".to_owned()))
            }
            _ => Problem::from(err),
        }
    }
}

/// The setting as the write left it, whatever came after; for a dry run, as it would.
async fn written(
    pool: &Pool,
    settings: &GlobalSettingsService,
    key: &str,
    changed: ChangeResult,
    terms: &WriteOptions,
    wait: Wait,
) -> Result<JsonResponse, Problem> {
    let revision = changed.revision;
    // What was stored is not "nothing was stored", even when it cannot be read back.
    let unread = |err| match Problem::from(err) {
        problem if terms.dry_run => problem,
        _ => Problem::new(
            Code::OutcomeUnknown,
            "it was stored, and could not be read back; read it again",
        ),
    };
    let mut setting = settings::find(pool, settings, key).await.map_err(unread)?;
    match changed.changed.into_iter().next() {
        Some(would) if terms.dry_run => {
            setting.value = would.new_value.to_json();
            setting.version = would.version;
        }
        Some(done) if done.version != setting.version => {
            // Changed again since: this is a repeat, or somebody was quick.
            let then = settings::list(pool, settings, AsOf::Revision(revision)).await?;
            let then = then.settings.into_iter().find(|it| it.key == key);
            setting = then.unwrap_or(setting);
        }
        _ => (),
    }
    let tag = preconditions::version_tag(setting.version);
    let written = KeyWriteResponse { setting, locked: false, dry_run: terms.dry_run };
    Ok(wait.answer(written, revision).await?.with(header::ETAG, &tag))
}
