//! Restoring earlier values.

use axum::extract::State;
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{OneOfBuilder, RefOr, Schema},
};
use uuid::Uuid;

use crate::{
    http::{
        auth::write_quota::RateLimitedAdmin,
        openapi::{any_of, problems},
        problem::Problem,
        request::{
            body::Body,
            fields::body,
            from_json::{FromStrictJson, Pointer},
            query::Query,
            rules::Bounds,
            value::{FieldType, MAX_INTEGER, ReleaseName},
        },
        response::JsonResponse,
        write::{ChangeNote, WriteHeaders, WriteParameters, WriteResponder, WriteResponse},
    },
    ids::RequestId,
    json::{FieldError, FieldErrors, StrictJson},
    settings::{ChangeResult, RollbackPlan, SettingsWriter, Target},
};

/// The response of a rollback.
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::http) enum RolledBack {
    /// With `dry_run`.
    Plan(RollbackPlan),
    /// Without.
    Changed(WriteResponse<ChangeResult>),
}

any_of! {
    RolledBack: "RollbackPlan" = RollbackPlan, "WriteResponse_ChangeResult" = WriteResponse<ChangeResult>;
}

problems! {
    RollBackProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden, KeyLocked, ApprovalRequired, DelegatedToken, VersionNotFound, ReleaseNotFound, RequestTimeout, VersionConflict, ChangeFrozen, RolloutRunning, RolloutConflict, RevisionMismatch, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, VersionRequired, RateLimited, Internal, Unavailable, OutcomeUnknown
}

body! {
    /// Restores an earlier version of a setting.
    struct VersionRollback {
        /// The reason
        note: ChangeNote,
        /// The setting.
        key: String,
        /// The version to restore.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        to_version: i64,
        /// The version that must be current.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        version: Option<i64>,
    }
}

body! {
    /// Undoes an entry of the history.
    struct EntryRollback {
        /// The reason
        note: ChangeNote,
        /// The entry whose old value is restored.
        audit_id: Uuid,
        /// The version that must be current.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        version: Option<i64>,
    }
}

body! {
    /// Restores all settings of an earlier revision.
    struct RevisionRollback {
        /// The reason
        note: ChangeNote,
        /// The revision to restore.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        to_revision: i64,
        /// The revision that must be current.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        revision: Option<i64>,
    }
}

body! {
    /// Restores all settings of a release.
    struct ReleaseRollback {
        /// The reason
        note: ChangeNote,
        /// The release to restore.
        to_release: ReleaseName,
        /// The revision that must be current.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        revision: Option<i64>,
    }
}

/// A rollback, in any of four forms.
#[derive(Debug)]
pub(in crate::http) struct SettingsRollback {
    note: ChangeNote,
    target: Target,
}

impl From<VersionRollback> for SettingsRollback {
    fn from(rollback: VersionRollback) -> Self {
        let VersionRollback { note, key, to_version, version } = rollback;
        Self { note, target: Target::Version { key, to_version, version } }
    }
}

impl From<EntryRollback> for SettingsRollback {
    fn from(rollback: EntryRollback) -> Self {
        let EntryRollback { note, audit_id, version } = rollback;
        Self { note, target: Target::Entry { audit_id, version } }
    }
}

impl From<RevisionRollback> for SettingsRollback {
    fn from(rollback: RevisionRollback) -> Self {
        let RevisionRollback { note, to_revision, revision } = rollback;
        Self { note, target: Target::Revision { to_revision, revision } }
    }
}

impl From<ReleaseRollback> for SettingsRollback {
    fn from(rollback: ReleaseRollback) -> Self {
        let ReleaseRollback { note, to_release: ReleaseName(name), revision } = rollback;
        Self { note, target: Target::Release { name, revision } }
    }
}

impl FieldType for SettingsRollback {
    const HAS_REASON: bool = true;

    fn field_schema(_: Bounds) -> RefOr<Schema> {
        // Each form requires a member foreign to the other forms, so `oneOf` is exact.
        OneOfBuilder::new()
            .description(Some("What to restore; each form with the state that must be current."))
            .item(VersionRollback::field_schema(Bounds::default()))
            .item(EntryRollback::field_schema(Bounds::default()))
            .item(RevisionRollback::field_schema(Bounds::default()))
            .item(ReleaseRollback::field_schema(Bounds::default()))
            .into()
    }
}

impl FromStrictJson for SettingsRollback {
    fn from_json(
        json: StrictJson,
        pointer: &Pointer<'_>,
        bounds: Bounds,
        errors: &mut FieldErrors,
    ) -> Option<Self> {
        // Every form is an object, so any form reports the right type error.
        let StrictJson::Object(members) = &json else {
            return VersionRollback::from_json(json, pointer, bounds, errors).map(Self::from);
        };
        let has = |name| members.iter().any(|(member, _)| member == name);
        // The form is chosen before the fields are read: errors name the fields of one form only.
        match ["to_version", "audit_id", "to_revision", "to_release"].map(has) {
            [true, false, false, false] => {
                VersionRollback::from_json(json, pointer, bounds, errors).map(Self::from)
            }
            [false, true, false, false] => {
                EntryRollback::from_json(json, pointer, bounds, errors).map(Self::from)
            }
            [false, false, true, false] => {
                RevisionRollback::from_json(json, pointer, bounds, errors).map(Self::from)
            }
            [false, false, false, true] => {
                ReleaseRollback::from_json(json, pointer, bounds, errors).map(Self::from)
            }
            _ => {
                let detail = "must have one of `to_version` (with `key`), `audit_id`, `to_revision` and `to_release`";
                errors.push(FieldError::at("", "wrong_shape", detail));
                None
            }
        }
    }
}

impl PartialSchema for SettingsRollback {
    fn schema() -> RefOr<Schema> {
        <Self as FieldType>::field_schema(Bounds::default())
    }
}

impl ToSchema for SettingsRollback {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        <VersionRollback as FieldType>::collect_schemas(schemas);
        <EntryRollback as FieldType>::collect_schemas(schemas);
        <RevisionRollback as FieldType>::collect_schemas(schemas);
        <ReleaseRollback as FieldType>::collect_schemas(schemas);
    }
}

/// Restores earlier values: each becomes a new version, under today's rules.
#[utoipa::path(
    post,
    path = "/admin/global-settings/rollback",
    operation_id = "rollBackSettings",
    tag = "settings",
    params(WriteParameters, WriteHeaders),
    request_body = SettingsRollback,
    responses(
        (status = 200, description = "The changes as they are stored; with `dry_run` the plan", body = RolledBack),
        (status = 202, description = "The changes are stored, and the instances in `applied.laggards` did not apply them in time", body = WriteResponse<ChangeResult>),
        RollBackProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn roll_back(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    Query(parameters): Query<WriteParameters>,
    headers: WriteHeaders,
    responder: WriteResponder,
    Body { value: rollback, bytes }: Body<SettingsRollback>,
) -> Result<JsonResponse, Problem> {
    let SettingsRollback { note, target } = rollback;
    let options = headers.options(&caller, &parameters, &bytes);
    let actor = note.actor(caller, request);
    let explain = |err| headers.explain(Problem::from(err).with_pointers(pointer));
    if parameters.dry_run {
        let plan = writer.plan_roll_back(&actor, &target, &options).await;
        return JsonResponse::ok(&RolledBack::Plan(plan.map_err(explain)?));
    }
    let outcome = writer.roll_back(&actor, &target, &options).await;
    let outcome = outcome.map_err(explain)?;
    let wrap = RolledBack::Changed;
    responder.respond_with_changes(&parameters, outcome, options.lenient, wrap).await
}

/// Returns the pointer to an error. An invalid stored value has no position in the body.
fn pointer(_: &str, code: &str) -> Option<String> {
    match code {
        "unknown_key" | "key_locked" => Some("/key".to_owned()),
        "version_required" => Some("/version".to_owned()),
        _ => None,
    }
}
