//! Going back.

use axum::{Extension, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    http::{
        auth::write_quota::Writer,
        openapi::problems,
        problem::Problem,
        request::{
            body::Body,
            fields::{Fields, NUMBERS},
            query::Query,
        },
        response::JsonResponse,
        write::{WriteHeaders, WriteResponse, actor, answer, only_usual},
    },
    ids::RequestId,
    json::{FieldError, StrictJson},
    settings::{ChangeResult, RollbackPlan, SettingsWriter, Target},
};

/// What a rollback answers: a plan, or what was changed.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(in crate::http) enum RolledBack {
    /// With `dry_run`.
    Plan(RollbackPlan),
    /// Without.
    Changed(WriteResponse<ChangeResult>),
}

problems! {
    RollBackProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden, KeyLocked, VersionNotFound, RequestTimeout, VersionConflict, RevisionMismatch, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, VersionRequired, RateLimited, Internal, Unavailable, OutcomeUnknown
}

/// What to go back to: `key` with `to_version`, or `audit_id`, each with the current `version`; or
/// `to_revision` with the current `revision`.
#[derive(ToSchema)]
#[schema(as = SettingsRollback)]
#[expect(dead_code, reason = "only its schema is used: bodies are read field by field")]
pub(in crate::http) struct RollbackBody {
    /// Why, in 3 to 500 characters on one line, 3 of them visible.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
    /// The setting.
    key: Option<String>,
    /// The version whose value is wanted.
    to_version: Option<i64>,
    /// The entry of the history whose old value is wanted.
    audit_id: Option<Uuid>,
    /// The version that must still be current.
    version: Option<i64>,
    /// The revision whose values are wanted.
    to_revision: Option<i64>,
    /// The revision that must still be current.
    revision: Option<i64>,
}

/// Goes back, forward: an earlier value becomes a new version under today's rules.
#[utoipa::path(
    post,
    path = "/admin/global-settings/rollback",
    operation_id = "rollBackSettings",
    tag = "settings",
    params(
        ("dry_run" = Option<bool>, Query, description = "Answer with the plan, store nothing"),
        ("wait" = Option<String>, Query, description = "`applied`: answer when every live instance has the change; not of a dry run"),
        ("timeout_ms" = Option<i64>, Query, description = "How long that may take: 100 to 4000, 2000 when left out"),
        ("If-Match" = Option<String>, Header, description = "The revision that must be current, as `\"r<revision>\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat within 24 hours answers as the first time"),
    ),
    request_body = RollbackBody,
    responses(
        (status = 200, description = "What was changed; with `dry_run` the plan, which also has `changed_since` and `refused`", body = RolledBack),
        (status = 202, description = "It is stored, and the instances that `applied.laggards` names did not have it in time", body = WriteResponse<ChangeResult>),
        RollBackProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn roll_back(
    Writer(caller): Writer,
    State(writer): State<SettingsWriter>,
    Extension(request): Extension<RequestId>,
    query: Query,
    mut write: WriteHeaders,
    body: Result<Body, Problem>,
) -> Result<JsonResponse, Problem> {
    only_usual(query)?;
    let Body { json, bytes } = body.map_err(Problem::or_reason_required)?;
    let (reason, target) = read_rollback(json)?;
    let actor = actor(&caller, reason, request)?;
    let explain = write.explain();
    let explained = |err| explain(Problem::from(err).pointing(point));
    let (terms, wait) = write.terms(&caller, &bytes);
    if terms.dry_run {
        let plan = writer.plan_roll_back(&actor, &target, &terms).await;
        return JsonResponse::ok(&plan.map_err(explained)?);
    }
    let changed = writer.roll_back(&actor, &target, &terms).await;
    answer(&changed.map_err(explained)?, &terms, wait).await
}

/// Where a fault stands; a value that may not stand today is nowhere in the body.
fn point(_: &str, code: &str) -> Option<String> {
    match code {
        "unknown_key" | "key_locked" => Some("/key".to_owned()),
        "version_required" => Some("/version".to_owned()),
        _ => None,
    }
}

fn read_rollback(json: StrictJson) -> Result<(Option<String>, Target), Problem> {
    let mut fields = Fields::of(json)?;
    let reason = fields.optional_string("reason");
    let forms = ["to_version", "audit_id", "to_revision"].map(|name| fields.has(name));
    let target = match forms {
        [true, false, false] => {
            let (key, to_version) = (fields.string("key"), fields.integer("to_version", NUMBERS));
            let version = fields.optional_integer("version", NUMBERS);
            key.zip(to_version).map(|(key, to_version)| Target::Version {
                key,
                to_version,
                version,
            })
        }
        [false, true, false] => {
            let text = fields.string("audit_id");
            let audit_id = text.as_deref().and_then(|text| Uuid::parse_str(text).ok());
            if text.is_some() && audit_id.is_none() {
                fields.fault("audit_id", "not_a_uuid", "must be the id of an entry of the history");
            }
            let version = fields.optional_integer("version", NUMBERS);
            audit_id.map(|audit_id| Target::Entry { audit_id, version })
        }
        [false, false, true] => {
            let to_revision = fields.integer("to_revision", NUMBERS);
            let revision = fields.optional_integer("revision", NUMBERS);
            to_revision.map(|to_revision| Target::Revision { to_revision, revision })
        }
        _ => {
            let detail = "one of `to_version` (with `key`), `audit_id` and `to_revision` is needed";
            return Err(Problem::malformed(FieldError::at("", "wrong_shape", detail)));
        }
    };
    Ok((reason, fields.finish(|| target)?))
}
