//! `/admin/proposals/{number}/…`: verdicts, apply and withdraw.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{number, person};
use crate::{
    audit::Reason,
    http::{
        auth::write_quota::RateLimitedAdmin,
        current_fleet::RolloutFleet,
        openapi::problems,
        problem::{Code, Problem},
        request::{
            body::Body, fields::body, path::PathSegment, query::Query, value::REASON_REQUIRED,
        },
        response::JsonResponse,
        write::{
            ChangeNote, StepHeaders, StepParameters, WriteParameters, WriteResponder, WriteResponse,
        },
    },
    ids::RequestId,
    json::FieldError,
    proposals::VerdictKind,
    settings::{self, ChangeResult, NewVerdict, ProposalView, SettingsWriter},
};

problems! {
    VerdictProblems: MalformedRequest, ValidationFailed, SecretLike, Unauthorized, Forbidden, SelfApproval,
    DelegatedToken, KeyLocked, ProposalNotFound, RequestTimeout, VersionConflict, EditionOutdated, NotApproved, ProposalClosed,
    ProposalNotDue, PredecessorNotApplied, ChangeFrozen, RolloutRunning, RolloutConflict, FleetOutdated, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused,
    RateLimited, Internal, Unavailable, OutcomeUnknown
}

problems! {
    ApplyProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden,
    DelegatedToken, KeyLocked, ProposalNotFound, RequestTimeout, VersionConflict, EditionOutdated, NotApproved, ProposalClosed, ProposalNotDue,
    PredecessorNotApplied, ChangeFrozen, RolloutRunning, RolloutConflict, FleetOutdated, PayloadTooLarge,
    UnsupportedMediaType, IdempotencyKeyReused, RateLimited, Internal, Unavailable, OutcomeUnknown
}

problems! {
    WithdrawProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, ProposalNotFound,
    RequestTimeout, ProposalClosed, RolloutRunning, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, RateLimited, Internal,
    Unavailable, OutcomeUnknown
}

body! {
    /// A verdict on an edition.
    struct VerdictRequest {
        /// The edition that was read; a verdict on an older one is refused.
        #[validate(range(min = 1, max = 2_147_483_647))]
        edition: i64,
        /// `approve`, `object`, or `acknowledge` for an emergency.
        #[example("approve")]
        verdict: VerdictKind,
        /// A note for the readers. With `object` required, in 3 to 500 characters on one line, 3 of them visible: what has
        /// to change.
        #[validate(length(max = 500))]
        note: Option<String>,
        /// Whether to apply the proposal in the same transaction, if the approvals suffice; only with `approve`.
        apply: Option<bool>,
    }
}

body! {
    /// The edition to apply.
    struct ApplyRequest {
        /// The edition that was read; an older one is refused.
        #[validate(range(min = 1, max = 2_147_483_647))]
        edition: i64,
        /// With `emergency`, and only then: why the change cannot wait for approvals, in 3 to 500 characters on one line,
        /// 3 of them visible.
        reason: Option<Reason>,
    }
}

body! {
    /// A withdrawal.
    struct Withdrawal {
        /// The reason
        note: ChangeNote,
    }
}

/// The proposal after a verdict, and the change, if the proposal was applied.
#[derive(Debug, Serialize, ToSchema)]
struct VerdictResponse {
    /// The proposal.
    proposal: ProposalView,
    /// The change.
    #[schema(required)]
    changed: Option<ChangeResult>,
}

/// Gives a verdict on the current edition of a proposal.
#[utoipa::path(
    post,
    path = "/admin/proposals/{number}/verdicts",
    operation_id = "judgeProposal",
    tag = "proposals",
    params(("number" = i64, Path, description = "The number"), StepParameters, StepHeaders),
    request_body = VerdictRequest,
    responses((status = 200, description = "The proposal with the verdict", body = VerdictResponse), VerdictProblems),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn give_verdict(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    PathSegment(path): PathSegment,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders,
    fleet: RolloutFleet,
    Body { value: body, bytes }: Body<VerdictRequest>,
) -> Result<JsonResponse, Problem> {
    let number = number(&path)?;
    let applies = body.apply.unwrap_or(false);
    if applies && body.verdict != VerdictKind::Approve {
        let detail = "requires the verdict `approve`";
        return Err(Problem::malformed(FieldError::at("/apply", "without_approval", detail)));
    }
    if body.verdict == VerdictKind::Object {
        require_note(body.note.as_deref())?;
    }
    let options = headers.options(&caller, dry_run, &bytes);
    let person = person(caller, request);
    let verdict = NewVerdict {
        edition: i32::try_from(body.edition).unwrap_or(i32::MAX),
        verdict: body.verdict,
        note: body.note.unwrap_or_default().trim().to_owned(),
        applies,
    };
    if applies {
        fleet.require(&writer, (number, verdict.edition)).await?;
    }
    let change = writer.give_verdict(number, &person, &verdict, &options).await?;
    let proposal = settings::find_proposal(&writer, number, None).await?;
    JsonResponse::ok(&VerdictResponse { proposal, changed: change })
}

/// Requires a note of an objection: nobody can act on an objection without a reason.
fn require_note(note: Option<&str>) -> Result<(), Problem> {
    let Err(rule) = Reason::parse(note.unwrap_or_default()) else { return Ok(()) };
    let detail = format!("must say what has to change, and {rule}");
    Err(Problem::malformed(FieldError::at("/note", "note_required", detail)))
}

/// Applies a proposal: the changes of its current edition become the current settings. A proposal whose plan has a rollout
/// begins the rollout instead; with `emergency`, the changes take effect for everybody at once.
#[utoipa::path(
    post,
    path = "/admin/proposals/{number}/apply",
    operation_id = "applyProposal",
    tag = "proposals",
    params(("number" = i64, Path, description = "The number"), WriteParameters, StepHeaders),
    request_body = ApplyRequest,
    responses(
        (status = 200, description = "The changes as they are stored", body = WriteResponse<ChangeResult>, headers(
            ("ETag" = String, description = "The current revision, as `\"r<revision>\"`"),
        )),
        (status = 202, description = "The changes are stored, and the instances in `applied.laggards` did not apply them in time", body = WriteResponse<ChangeResult>),
        ApplyProblems,
    ),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn apply(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    PathSegment(path): PathSegment,
    Query(parameters): Query<WriteParameters>,
    headers: StepHeaders,
    responder: WriteResponder,
    fleet: RolloutFleet,
    Body { value: ApplyRequest { edition, reason }, bytes }: Body<ApplyRequest>,
) -> Result<JsonResponse, Problem> {
    let number = number(&path)?;
    require_reason_of_emergency(parameters.emergency, reason.as_ref())?;
    let options = headers.options(&caller, parameters.dry_run, &bytes);
    let person = person(caller, request);
    let edition = i32::try_from(edition).unwrap_or(i32::MAX);
    // An emergency applies the change for everybody, without a rollout.
    if !parameters.emergency {
        fleet.require(&writer, (number, edition)).await?;
    }
    let result = writer.apply_proposal((number, edition), &person, reason, &options).await?;
    responder.respond_with_changes(&parameters, result, false, std::convert::identity).await
}

/// Requires a reason of an emergency, and no reason otherwise: the edition has the reason of the change.
fn require_reason_of_emergency(is_emergency: bool, reason: Option<&Reason>) -> Result<(), Problem> {
    match (is_emergency, reason) {
        (true, None) => {
            let error =
                FieldError::at("/reason", REASON_REQUIRED, "is required with `emergency=true`");
            let detail = "the reason of the emergency is missing";
            Err(Problem::new(Code::ReasonRequired, detail).with_errors(error))
        }
        (false, Some(_)) => {
            let detail = "requires `emergency=true`: the edition has the reason of the change";
            Err(Problem::malformed(FieldError::at("/reason", "without_emergency", detail)))
        }
        (true, Some(_)) | (false, None) => Ok(()),
    }
}

/// Withdraws a proposal. Every administrator may, because a withdrawal changes no setting.
#[utoipa::path(
    post,
    path = "/admin/proposals/{number}/withdraw",
    operation_id = "withdrawProposal",
    tag = "proposals",
    params(("number" = i64, Path, description = "The number"), StepParameters, StepHeaders),
    request_body = Withdrawal,
    responses((status = 200, description = "The proposal", body = ProposalView), WithdrawProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn withdraw(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    PathSegment(path): PathSegment,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders,
    Body { value: Withdrawal { note }, bytes }: Body<Withdrawal>,
) -> Result<JsonResponse, Problem> {
    let number = number(&path)?;
    let options = headers.options(&caller, dry_run, &bytes);
    let actor = note.actor(caller, request);
    writer.withdraw(number, &actor, &options).await?;
    JsonResponse::ok(&settings::find_proposal(&writer, number, None).await?)
}
