//! Writing single settings.

use std::convert::identity;

use axum::{extract::State, http::header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    database::Pool,
    http::{
        auth::write_quota::RateLimitedAdmin,
        openapi::problems,
        problem::{Code, Problem},
        request::{
            body::Body,
            fields::body,
            path::PathSegment,
            preconditions,
            query::{Query, query},
            value::MAX_INTEGER,
        },
        response::JsonResponse,
        routes::config::list::unknown,
        write::{ChangeNote, WriteHeaders, WriteParameters, WriteResponder, WriteResponse},
    },
    ids::RequestId,
    json::{FieldError, StrictJson},
    settings::{self, ChangeResult, Edit, GlobalSettingsService, Setting, SettingsWriter},
};

/// A setting after a write or a planned write.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct KeyWriteResponse {
    #[serde(flatten)]
    setting: Setting,
    /// Always false.
    locked: bool,
    /// Whether nothing was stored.
    dry_run: bool,
    /// The number of the proposal that records an emergency.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<i64>,
    /// The number of the proposal whose rollout was reverted by the emergency.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverted: Option<i64>,
}

body! {
    /// A new value.
    struct PutBody {
        /// The value, of the setting's type.
        value: StrictJson,
        /// The reason
        note: ChangeNote,
        /// The version that must be current; may be left out with `If-Match: "v<version>"`.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        version: Option<i64>,
    }
}

problems! {
    PutProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, KeyLocked, ApprovalRequired, DelegatedToken, ChangeFrozen, RolloutRunning, RolloutConflict,
    UnknownKey,
    RequestTimeout, VersionConflict, RevisionMismatch, PayloadTooLarge, UnsupportedMediaType, InvalidValue, SecretLikeValue,
    IdempotencyKeyReused, VersionRequired, RateLimited, Internal, Unavailable, OutcomeUnknown
}

/// Changes a setting.
#[utoipa::path(
    put,
    path = "/admin/config/{key}",
    tag = "config",
    operation_id = "putConfig",
    params(WriteParameters, ("key" = String, Path, description = "The setting"), WriteHeaders<true>),
    request_body = PutBody,
    responses(
        (status = 200, description = "The setting", body = WriteResponse<KeyWriteResponse>),
        (status = 202, description = "The change is stored, and the instances in `applied.laggards` did not apply it in time", body = WriteResponse<KeyWriteResponse>),
        PutProblems,
    ),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn put(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    PathSegment(key): PathSegment,
    Query(parameters): Query<WriteParameters>,
    headers: WriteHeaders<true>,
    responder: WriteResponder,
    Body { value: body, bytes }: Body<PutBody>,
) -> Result<JsonResponse, Problem> {
    // Before the write, because several tags need the current version.
    let expected = ExpectedVersion::new(
        ("/version", body.version),
        headers.required(),
        &pool,
        &settings,
        &key,
    )
    .await?;
    let options = headers.options(&caller, &parameters, &bytes);
    let actor = body.note.actor(caller, request);
    let edits = [Edit { key: key.clone(), value: body.value, version: expected.version }];
    let outcome = writer.update(&actor, &edits, &options).await;
    let outcome = outcome.map_err(|err| headers.explain(expected.problem(&key, err)))?;
    let setting = read_back(&pool, &settings, &key, outcome.clone()).await?;
    respond(responder, &parameters, setting, outcome.revision).await
}

problems! {
    ResetProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, KeyLocked, ApprovalRequired, DelegatedToken, ChangeFrozen, RolloutRunning, RolloutConflict,
    UnknownKey,
    VersionConflict, RevisionMismatch, InvalidValue, SecretLikeValue, IdempotencyKeyReused, VersionRequired, RateLimited,
    Internal, Unavailable, OutcomeUnknown
}

query! {
    /// The parameters of a reset.
    struct ResetParameters {
        /// The reason
        note: ChangeNote,
        /// The version that must be current
        #[validate(range(min = 1, max = MAX_INTEGER))]
        version: Option<i64>,
        /// The parameters of every write
        write: WriteParameters,
    }
}

/// Resets a setting to its default.
#[utoipa::path(
    delete,
    path = "/admin/config/{key}",
    tag = "config",
    operation_id = "resetConfig",
    params(ResetParameters, ("key" = String, Path, description = "The setting"), WriteHeaders<true>),
    responses(
        (status = 200, description = "The setting at its default", body = WriteResponse<KeyWriteResponse>),
        (status = 202, description = "The change is stored, and the instances in `applied.laggards` did not apply it in time", body = WriteResponse<KeyWriteResponse>),
        ResetProblems,
    ),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn reset(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    PathSegment(key): PathSegment,
    Query(parameters): Query<ResetParameters>,
    headers: WriteHeaders<true>,
    responder: WriteResponder,
) -> Result<JsonResponse, Problem> {
    let ResetParameters { note, version, write } = parameters;
    let expected =
        ExpectedVersion::new(("?version", version), headers.required(), &pool, &settings, &key)
            .await?;
    // A reset has no body; the query with the reason is part of the fingerprint.
    let options = headers.options(&caller, &write, b"");
    let actor = note.actor(caller, request);
    let version = expected.version;
    let outcome = writer.reset(&actor, &key, version, &options).await;
    let outcome = outcome.map_err(|err| headers.explain(expected.problem(&key, err)))?;
    let setting = read_back(&pool, &settings, &key, outcome.clone()).await?;
    respond(responder, &write, setting, outcome.revision).await
}

/// The version that must be current.
struct ExpectedVersion {
    version: Option<i64>,
    /// Whether the version comes from `If-Match`: then a conflict is a 412, not a 409.
    is_precondition: bool,
}

impl ExpectedVersion {
    /// Returns `version` of the body, or the current version if among the `tags` of `If-Match`. Otherwise the first tag
    /// stands for all, and conflicts.
    async fn new(
        (place, version): (&str, Option<i64>),
        tags: Option<&[i64]>,
        pool: &Pool,
        settings: &GlobalSettingsService,
        key: &str,
    ) -> Result<Self, Problem> {
        let version = match (version, tags) {
            (version, None) => version,
            // A client may send version and tag together, as long as both agree.
            (Some(version), Some(tags)) if tags.contains(&version) => Some(version),
            // No tag is a version, so the precondition fails. No setting has version 0.
            (Some(_), Some([])) => Some(0),
            (Some(_), Some(_)) => {
                let detail = "differs from the version of If-Match; send only one of the two";
                return Err(Problem::malformed(FieldError::at(place, "ambiguous", detail)));
            }
            // The usual case needs no read: the write compares the version.
            (None, Some([tag])) => Some(*tag),
            // A change after the read makes the write conflict, so the early read is safe.
            (None, Some(tags)) => {
                // The write reports an unreadable key.
                let setting = settings::find(pool, settings, key).await.ok();
                let current = setting.map(|setting| i64::from(setting.version));
                let current = current.filter(|current| tags.contains(current));
                // No setting has version 0.
                current.or(tags.first().copied()).or(Some(0))
            }
        };
        Ok(Self { version, is_precondition: tags.is_some() })
    }

    /// Returns the problem of a batch, but 404 for an unknown key, 422 for an invalid or secret-like value, and 412 for an
    /// outdated tag.
    fn problem(&self, key: &str, err: settings::Error) -> Problem {
        match &err {
            settings::Error::Stale(_) if self.is_precondition => {
                Problem::from(err).with_code(Code::RevisionMismatch)
            }
            settings::Error::Invalid(violations) => {
                // The path names the key, so an undeclared key is a missing resource.
                if violations.iter().any(|violation| violation.code == "unknown_key") {
                    return unknown(key);
                }
                let problem = Problem::from(err).with_code(Code::InvalidValue);
                problem.with_pointers(|_, _| Some("/value".to_owned()))
            }
            // A secret in the reason alone stays a 400: the value is not at fault.
            settings::Error::SecretLike(matches) if !matches.values.is_empty() => {
                let problem = Problem::from(err).with_code(Code::SecretLikeValue);
                problem.with_pointers(|_, _| Some("/value".to_owned()))
            }
            _ => Problem::from(err),
        }
    }
}

/// Returns the setting after the write. A failure to read back a committed write must not claim that nothing was stored.
async fn read_back(
    pool: &Pool,
    settings: &GlobalSettingsService,
    key: &str,
    changed: ChangeResult,
) -> Result<KeyWriteResponse, Problem> {
    let dry_run = changed.dry_run;
    let (proposal, reverted) = (changed.proposal, changed.reverted);
    let setting = settings::find_written(pool, settings, key, changed).await;
    let setting = setting.map_err(|err| match Problem::from(err) {
        problem if dry_run => problem,
        _ => {
            let detail = "the change was stored, and could not be read back; read it again";
            Problem::new(Code::OutcomeUnknown, detail)
        }
    })?;
    Ok(KeyWriteResponse { setting, locked: false, dry_run, proposal, reverted })
}

async fn respond(
    responder: WriteResponder,
    parameters: &WriteParameters,
    body: KeyWriteResponse,
    revision: i64,
) -> Result<JsonResponse, Problem> {
    let tag = preconditions::version_tag(body.setting.version);
    let response = responder.respond(parameters, body, revision, identity).await?;
    Ok(response.with(header::ETAG, &tag))
}
