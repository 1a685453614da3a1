//! `/admin/proposals/{number}/rollout`: the steps of a rollout by people.

use axum::extract::State;

use super::number;
use crate::{
    database::Pool,
    http::{
        auth::write_quota::RateLimitedAdmin,
        current_fleet::RolloutFleet,
        openapi::problems,
        problem::{Code, Problem},
        request::{body::Body, fields::body, path::PathSegment, query::Query},
        response::JsonResponse,
        write::{ChangeNote, StepHeaders, StepParameters},
    },
    ids::RequestId,
    json::FieldError,
    sessions::{self, RolloutReport},
    settings::{PersonStep, RolloutAction, SettingsWriter},
};

problems! {
    RolloutStepProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden, SelfApproval,
    DelegatedToken, KeyLocked, ProposalNotFound, RequestTimeout, VersionConflict, NotApproved, ChangeFrozen,
    RolloutNotRunning, RolloutStepImpossible, StageOutdated, FleetOutdated, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, RateLimited,
    Internal, Unavailable, OutcomeUnknown
}

body! {
    /// A step of a rollout.
    struct RolloutStepRequest {
        /// `hold` keeps the share, `resume` ends the hold, `advance` begins the next stage, `promote` applies the change for
        /// everybody, `revert` ends the rollout.
        #[example("hold")]
        action: RolloutAction,
        /// The stage that was read, from 1; required for `advance`. A step for another stage than the current one is refused.
        #[validate(range(min = 1, max = 10))]
        #[example(1)]
        stage: Option<i64>,
        /// The reason
        note: ChangeNote,
    }
}

/// Takes a step of a rollout. Every administrator may hold, resume and revert, also in a freeze. If a setting needs approvals,
/// only a person who wrote no edition may advance and promote.
#[utoipa::path(
    post,
    path = "/admin/proposals/{number}/rollout",
    operation_id = "moveRollout",
    tag = "proposals",
    params(("number" = i64, Path, description = "The number"), StepParameters, StepHeaders),
    request_body = RolloutStepRequest,
    responses(
        (status = 200, description = "The rollout: after the step, before the step with `dry_run`", body = RolloutReport),
        RolloutStepProblems,
    ),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn move_rollout(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(writer): State<SettingsWriter>,
    State(pool): State<Pool>,
    request: RequestId,
    PathSegment(path): PathSegment,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders,
    fleet: RolloutFleet,
    Body { value: RolloutStepRequest { action, stage, note }, bytes }: Body<RolloutStepRequest>,
) -> Result<JsonResponse, Problem> {
    let number = number(&path)?;
    // Two people who advance the same stage would otherwise skip the next one.
    if action == RolloutAction::Advance && stage.is_none() {
        let detail = "`advance` needs the stage that was read";
        return Err(Problem::new(Code::ValidationFailed, detail).with_errors(FieldError::at(
            "/stage",
            "required",
            "is required for `advance`",
        )));
    }
    if action == RolloutAction::Advance {
        fleet.require_current().await?;
    }
    let step = PersonStep { action, stage: stage.and_then(|stage| stage.try_into().ok()) };
    let options = headers.options(&caller, dry_run, &bytes);
    let actor = note.actor(caller, request);
    writer.take_rollout_step(number, step, &actor, &options).await?;
    JsonResponse::ok(&sessions::find_rollout(&writer, &pool, number).await?)
}
