//! Writing proposals and their editions.

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::number;
use crate::{
    http::{
        auth::write_quota::RateLimitedAdmin,
        current_fleet::CurrentFleet,
        openapi::problems,
        problem::{Code, Problem},
        request::{
            body::Body, fields::body, path::PathSegment, preconditions, query::Query,
            value::MAX_INTEGER,
        },
        response::JsonResponse,
        routes::settings::{SettingChange, unique_keys},
        write::{ChangeNote, StepHeaders, StepParameters},
    },
    ids::RequestId,
    proposals::Plan,
    rollouts::{self, Guard, OnCompletion, PlanDraft, StageDraft},
    sessions,
    settings::{self, Edit, EditionId, ProposalChange, ProposalView, SettingsWriter},
};

problems! {
    ProposeProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden, DelegatedToken, KeyLocked,
    RequestTimeout, VersionConflict, FleetOutdated, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused,
    VersionRequired, RateLimited, Internal, Unavailable, OutcomeUnknown
}

problems! {
    EditProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden, DelegatedToken, KeyLocked,
    ProposalNotFound, RequestTimeout, VersionConflict, ProposalClosed, RolloutRunning, EditionMismatch, PayloadTooLarge,
    UnsupportedMediaType, IdempotencyKeyReused, VersionRequired, RateLimited, Internal, Unavailable, OutcomeUnknown
}

body! {
    /// A proposed change.
    struct ProposedSettings {
        /// The reason
        note: ChangeNote,
        /// The changes, applied all or none.
        #[validate(length(min = 1, max = 500), custom(function = unique_keys))]
        changes: Vec<SettingChange>,
        /// When the changes take effect; by default when somebody applies the proposal.
        plan: Option<ProposedPlan>,
    }
}

body! {
    /// When a proposed change takes effect.
    struct ProposedPlan {
        /// The time from which the proposal is applied by itself, with an offset.
        #[example("2027-01-01T02:00:00Z")]
        at: Option<DateTime<Utc>>,
        /// The minutes after `at` in which the proposal is still applied; 30 by default.
        #[validate(range(min = 1, max = 10_080))]
        grace_minutes: Option<i64>,
        /// The number of an earlier proposal, on whose result this one builds.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        after: Option<i64>,
        /// How the change is rolled out; by default the change takes effect for everybody at once. Only for settings that
        /// apply to new sessions.
        rollout: Option<ProposedRollout>,
    }
}

body! {
    /// How a change is rolled out: new sessions of a growing share of the users have the proposed values, until the change
    /// is applied or reverted. `{}` is the default plan.
    struct ProposedRollout {
        /// The stages, each with a greater share than the stage before; by default 10 % until 50 users and 10 minutes, then
        /// 50 % until 200 users and 30 minutes.
        #[validate(length(min = 1, max = 10))]
        stages: Option<Vec<ProposedStage>>,
        /// The failures that revert the rollout; by default all, without `refused` if the change decides who may start a
        /// session.
        #[validate(length(min = 1, max = 3))]
        guards: Option<Vec<Guard>>,
        /// The step after the last stage; `promote` by default.
        then: Option<OnCompletion>,
        /// The hours after which the rollout is held; 72 by default.
        #[validate(range(min = 1, max = rollouts::MAX_HOURS))]
        max_hours: Option<i64>,
    }
}

body! {
    /// A stage of a rollout.
    struct ProposedStage {
        /// The share of the users in percent.
        #[validate(range(min = 1, max = 100))]
        #[example(10)]
        share: i64,
        /// The number of users with the proposed values before the next stage.
        #[validate(range(min = 1, max = rollouts::MAX_USERS))]
        #[example(50)]
        users: i64,
        /// The minutes before the next stage.
        #[validate(range(min = 0, max = rollouts::MAX_MINUTES))]
        #[example(10)]
        minutes: i64,
    }
}

impl ProposedRollout {
    /// Returns the plan with every default, for a change of `keys`.
    fn validate<'k>(self, keys: impl Iterator<Item = &'k str>) -> Result<PlanDraft, Problem> {
        let stage = |ProposedStage { share, users, minutes }| StageDraft { share, users, minutes };
        let draft = PlanDraft {
            stages: self.stages.map(|stages| stages.into_iter().map(stage).collect()),
            guards: self.guards,
            then: self.then.unwrap_or_default(),
            max_hours: self.max_hours,
        };
        // The module of the settings does not know which keys a start reads.
        let guards = Guard::defaults(sessions::decide_eligibility(keys));
        let plan = draft.validate(&guards, "/plan/rollout").map_err(|errors| {
            let detail = "the rollout is invalid; nothing was stored";
            Problem::new(Code::ValidationFailed, detail).with_errors(errors)
        })?;
        Ok(plan.to_draft())
    }
}

impl ProposedSettings {
    fn split(self) -> Result<(ChangeNote, ProposalChange), Problem> {
        let edits: Vec<_> = self.changes.into_iter().map(Edit::from).collect();
        let mut plan = Plan::default();
        if let Some(proposed) = self.plan {
            let keys = edits.iter().map(|edit| edit.key.as_str());
            plan = Plan {
                at: proposed.at,
                grace_minutes: proposed.grace_minutes.and_then(|minutes| minutes.try_into().ok()),
                after: proposed.after,
                rollout: proposed.rollout.map(|rollout| rollout.validate(keys)).transpose()?,
            };
        }
        Ok((self.note, ProposalChange { edits, plan }))
    }
}

/// The response of a dry run: the proposal would be stored.
#[derive(Debug, Serialize, ToSchema)]
struct ProposalPreview {
    /// Always true.
    dry_run: bool,
    /// The edition that would be stored.
    edition: i32,
}

/// Proposes a change, which other people approve and somebody applies, or which is applied at its time.
#[utoipa::path(
    post,
    path = "/admin/proposals",
    operation_id = "proposeChange",
    tag = "proposals",
    params(StepParameters, StepHeaders),
    request_body = ProposedSettings,
    responses(
        (status = 201, description = "The proposal", body = ProposalView, headers(
            ("Location" = String, description = "The address of the proposal"),
            ("ETag" = String, description = "The edition, as `\"e<edition>\"`"),
        )),
        (status = 200, description = "With `dry_run`: the proposal would be stored", body = ProposalPreview),
        ProposeProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn propose(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    _: CurrentFleet,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders,
    Body { value: proposed, bytes }: Body<ProposedSettings>,
) -> Result<JsonResponse, Problem> {
    let options = headers.options(&caller, dry_run, &bytes);
    let (note, change) = proposed.split()?;
    let actor = note.actor(caller, request);
    let edition = writer.propose(&actor, &change, &options).await?;
    respond(&writer, edition, dry_run, StatusCode::CREATED).await
}

/// Replaces the content of a proposal by a new edition. Approvals of earlier editions no longer count.
#[utoipa::path(
    put,
    path = "/admin/proposals/{number}",
    operation_id = "editProposal",
    tag = "proposals",
    params(("number" = i64, Path, description = "The number"), StepParameters, StepHeaders<true>),
    request_body = ProposedSettings,
    responses(
        (status = 200, description = "The proposal with the new edition", body = ProposalView, headers(
            ("ETag" = String, description = "The edition, as `\"e<edition>\"`"),
        )),
        EditProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn edit(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    PathSegment(path): PathSegment,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders<true>,
    Body { value: proposed, bytes }: Body<ProposedSettings>,
) -> Result<JsonResponse, Problem> {
    let number = number(&path)?;
    let expected = headers.required().ok_or_else(|| {
        Problem::new(Code::VersionRequired, "send `If-Match` with the edition that you read")
    })?;
    let options = headers.options(&caller, dry_run, &bytes);
    let (note, change) = proposed.split()?;
    let actor = note.actor(caller, request);
    let edition = writer.edit_proposal(number, expected, &actor, &change, &options).await;
    let edition = edition.map_err(|err| match err {
        settings::ProposalError::EditionOutdated { .. } => {
            Problem::from(err).with_code(Code::EditionMismatch)
        }
        err => err.into(),
    })?;
    respond(&writer, edition, dry_run, StatusCode::OK).await
}

async fn respond(
    writer: &SettingsWriter,
    edition: EditionId,
    dry_run: bool,
    status: StatusCode,
) -> Result<JsonResponse, Problem> {
    let EditionId { number, edition } = edition;
    if dry_run {
        return JsonResponse::ok(&ProposalPreview { dry_run, edition });
    }
    let proposal = settings::find_proposal(writer, number, Some(edition)).await?;
    let response = JsonResponse::new(status, &proposal)?;
    let response = response.with(axum::http::header::ETAG, &preconditions::edition_tag(edition));
    let location = format!("/admin/proposals/{number}");
    Ok(response.with(axum::http::header::LOCATION, &location))
}
