//! The codes of problems: one table with the status, title and advice of each.

use axum::http::StatusCode;

macro_rules! codes {
    ($($variant:ident $code:literal $status:ident $title:literal, $advice:literal;)+) => {
        /// The code of a problem; a stable part of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the `code` of the document.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Returns the HTTP status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// Returns the summary of the code.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// Returns the advice to the caller.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)+ }
            }
        }
    };
}

codes! {
    MalformedRequest "malformed_request" BAD_REQUEST "Malformed request",
        "Fix each error in `errors`, then resend the request.";
    ReasonRequired "reason_required" BAD_REQUEST "Reason required",
        "Set `reason` to 3 to 500 characters on one line, at least 3 of them visible, that explain the change.";
    ValidationFailed "validation_failed" BAD_REQUEST "Validation failed",
        "Nothing was stored. `errors` lists each value and the rule that it violates.";
    // A route of a single setting answers 422, so the code exists with two statuses.
    InvalidValue "validation_failed" UNPROCESSABLE_ENTITY "Invalid value",
        "Nothing was stored. `errors` names the expected type and the violated rule.";
    SecretLike "secret_like_value" BAD_REQUEST "Possible secret",
        "Nothing was stored. Supply secrets in the environment of the service or in a file. If the value is a \
         secret in use, rotate it: it was sent over the network.";
    SecretLikeValue "secret_like_value" UNPROCESSABLE_ENTITY "Possible secret in the value",
        "Nothing was stored. Supply secrets in the environment of the service or in a file. If the value is a \
         secret in use, rotate it: it was sent over the network.";
    Unauthorized "unauthorized" UNAUTHORIZED "Missing or invalid credentials",
        "Send `Authorization: Bearer` with a signed, unexpired token that has a subject.";
    Forbidden "forbidden" FORBIDDEN "Insufficient permissions",
        "Use an account with the role that the route requires.";
    CrossOrigin "cross_origin" FORBIDDEN "Cross-origin request rejected",
        "Nothing was changed. Cookie authentication permits changes only from pages of this service; a proxy must \
         forward `Host`, `Origin` and `Sec-Fetch-Site` unchanged. Programs send `Authorization: Bearer` instead.";
    SubjectMismatch "subject_mismatch" FORBIDDEN "Signed in as another user",
        "Nothing was changed. Another tab of the browser has signed in as another user: load the page again to continue \
         as that user, or sign in again.";
    KeyLocked "key_locked" FORBIDDEN "Setting is locked",
        "The setting is a secret or part of the infrastructure: change it in the deployment. With \
         `Prefer: handling=lenient` such entries are skipped and the rest is applied.";
    ApprovalRequired "approval_required" FORBIDDEN "Approval required",
        "Nothing was stored. `keys` lists the protected settings: propose the change at `propose`. In an emergency, \
         `emergency=true` writes at once; another person has to acknowledge the emergency.";
    SelfApproval "self_approval" FORBIDDEN "Own proposal cannot be approved",
        "Nothing was stored. Ask somebody who wrote no edition of the proposal.";
    DelegatedToken "delegated_token" FORBIDDEN "Delegated tokens are not accepted here",
        "Nothing was stored. The person has to sign in: a token with an `act` claim may not propose, edit a proposal, \
         approve, object or acknowledge, nor write in an emergency.";
    NotEligible "not_eligible" FORBIDDEN "User is not eligible to start a session",
        "`reasons` lists each requirement that is not met, with `retry_at` if waiting helps.";
    NotFound "not_found" NOT_FOUND "Not found",
        "Check the path and the identifier.";
    UnknownKey "unknown_key" NOT_FOUND "Unknown setting",
        "The list of settings contains every key.";
    VersionNotFound "version_not_found" NOT_FOUND "Version not found",
        "The history lists every version of the setting.";
    RevisionNotFound "revision_not_found" NOT_FOUND "Revision not found",
        "The history lists every revision.";
    ProposalNotFound "proposal_not_found" NOT_FOUND "Proposal not found",
        "The list of proposals has every number, and each proposal the number of its editions.";
    RolloutNotFound "rollout_not_found" NOT_FOUND "Rollout not found",
        "The plan of the proposal has no rollout, or the rollout has not begun: apply the proposal to begin it.";
    ReleaseNotFound "release_not_found" NOT_FOUND "Release not found",
        "The list of releases has every name.";
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "Method not allowed",
        "The `Allow` header lists the supported methods.";
    VersionConflict "version_conflict" CONFLICT "Version conflict",
        "Nothing was stored. `conflicts` has the base, current and requested value of each setting: resolve them \
         and resend with the current version.";
    EditionOutdated "edition_outdated" CONFLICT "Edition is outdated",
        "Nothing was stored. Somebody wrote a new edition, `edition`: read the proposal again.";
    NotApproved "not_approved" CONFLICT "Proposal is not approved",
        "Nothing was stored. `standing` has the approvals, the objections, and the number of approvals needed.";
    ProposalClosed "proposal_closed" CONFLICT "Proposal is closed",
        "Nothing was stored. The proposal was applied or withdrawn, or it failed: a failed one needs a new edition.";
    ProposalNotDue "proposal_not_due" CONFLICT "Proposal is not due",
        "Nothing was stored. The proposal is applied by itself at its time; a new edition can have another time.";
    PredecessorNotApplied "predecessor_not_applied" CONFLICT "Earlier proposal is not applied",
        "Nothing was stored. Apply the proposal on which this one builds, or write an edition without `after`.";
    ChangeFrozen "change_frozen" CONFLICT "Settings are frozen",
        "Nothing was stored. Wait until `until`, end the freeze, or write with `emergency=true`.";
    RolloutRunning "rollout_running" CONFLICT "Rollout is running",
        "Nothing was stored. The proposal `proposal` is rolling out, with the settings `keys`: promote or revert the rollout \
         first. A write with `emergency=true` reverts the rollout.";
    RolloutConflict "rollout_conflict" CONFLICT "Conflict with the running rollout",
        "Nothing was stored. With the values of the rollout of `proposal`, the settings would be invalid: `errors` lists the \
         rules. Write other values, or promote or revert the rollout first. A write with `emergency=true` reverts the \
         rollout.";
    RolloutNotRunning "rollout_not_running" CONFLICT "Rollout is not running",
        "Nothing was stored. If the rollout has not begun, apply the proposal. If the rollout has ended, nothing is left \
         to do.";
    RolloutStepImpossible "rollout_step_impossible" CONFLICT "Step of the rollout is not possible",
        "Nothing was stored. Read the rollout again. At the last stage, promote instead; only a held rollout can be \
         resumed.";
    StageOutdated "stage_outdated" CONFLICT "Stage is outdated",
        "Nothing was stored. The rollout is at the stage `stage` by now: read the rollout again, then decide.";
    FleetOutdated "fleet_outdated" CONFLICT "Instance runs an older release",
        "Nothing was stored. `instances` lists the running instances that could not read the new data. \
         Replace these instances, then try again.";
    FreezeOver "freeze_over" CONFLICT "Freeze is over",
        "Nothing was stored. The list of freezes shows when a freeze ended.";
    ReleaseExists "release_exists" CONFLICT "Release exists",
        "Nothing was stored. A release never changes: choose another name.";
    PlanOutdated "plan_outdated" CONFLICT "Import plan is outdated",
        "Nothing was stored. Request a new plan with `dry_run=true`, review it and apply the new plan.";
    SessionActive "session_active" CONFLICT "User has an active session",
        "End the session `session_id`, or wait until it expires.";
    IdempotencyInProgress "idempotency_in_progress" CONFLICT "Request with this idempotency key in progress",
        "Retry shortly to receive the response of the first request.";
    NothingToRetry "nothing_to_retry" CONFLICT "Nothing to retry",
        "Every sink has received the message: the list of messages shows when.";
    RevisionMismatch "revision_mismatch" PRECONDITION_FAILED "Revision mismatch",
        "Nothing was stored. Read the settings again and send the current `ETag` in `If-Match`.";
    EditionMismatch "edition_mismatch" PRECONDITION_FAILED "Edition mismatch",
        "Nothing was stored. Read the proposal again and send the current `ETag` in `If-Match`.";
    RequestTimeout "request_timeout" REQUEST_TIMEOUT "Request timeout",
        "Nothing was changed. Send the whole body within the time limit.";
    PayloadTooLarge "payload_too_large" PAYLOAD_TOO_LARGE "Payload too large",
        "The maximum size of a body is 1 MiB (1048576 bytes).";
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "Unsupported media type",
        "Send `Content-Type: application/json`, in UTF-8 and uncompressed.";
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY "Idempotency key reused",
        "An `Idempotency-Key` belongs to one request for 24 hours: generate a new key.";
    // 428 (RFC 6585, 3): without a version, the write could be a blind overwrite.
    VersionRequired "version_required" PRECONDITION_REQUIRED "Version required",
        "Send the `version` of each setting as last read, or `If-Match` with the revision.";
    RateLimited "rate_limited" TOO_MANY_REQUESTS "Too many requests",
        "Retry after the number of seconds in `Retry-After`.";
    WhatIfBusy "what_if_busy" TOO_MANY_REQUESTS "Another what-if or preview is running",
        "An instance answers one what-if or one preview of a rollout at a time. Retry after `Retry-After` seconds.";
    HeadersTooLarge "headers_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "Request head too large",
        "The maximum size of a request head is 16 KiB and 64 lines.";
    Internal "internal" INTERNAL_SERVER_ERROR "Internal error",
        "The service failed. Operators find the cause in the log by `request_id`.";
    RealtimeUnavailable "realtime_unavailable" BAD_GATEWAY "Realtime provider failed",
        "The attempt counts towards the start rate limit only. Retry, after `Retry-After` seconds if the header is \
         present; if `errors` lists settings, an administrator must change them first.";
    PlanUnavailable "plan_unavailable" SERVICE_UNAVAILABLE "User's plan is unavailable",
        "The plan service did not respond. Retry after `Retry-After` seconds.";
    ConfigUnavailable "config_unavailable" SERVICE_UNAVAILABLE "Settings are invalid",
        "An operator must fix the listed settings or the database. Retry after `Retry-After` seconds.";
    StartsStopped "starts_stopped" SERVICE_UNAVAILABLE "Session starts are stopped",
        "No session was started; running sessions continue. Retry after `Retry-After` seconds.";
    Unavailable "unavailable" SERVICE_UNAVAILABLE "Service unavailable",
        "Nothing was stored. Retry after `Retry-After` seconds.";
    // 504, not 500: the change may be stored, and only the acknowledgement is missing.
    OutcomeUnknown "outcome_unknown" GATEWAY_TIMEOUT "Outcome unknown",
        "The change may or may not have been stored. Resend the request with the same `Idempotency-Key` to find \
         out, or read the settings.";
}

impl Code {
    /// Returns the path of the page about the code: the `type` of the document.
    #[must_use]
    pub fn page(self) -> String {
        // Dashes, as usual in paths; the code keeps the underscores of an identifier.
        format!("/problems/{}", self.as_str().replace('_', "-"))
    }

    /// Returns the code for the `status` of a response without a problem.
    pub(super) fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            // A library rejects a request with another status only because of its form.
            status if status.is_client_error() => Self::MalformedRequest,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn code_and_status_are_unique() {
        let unique: HashSet<_> =
            Code::ALL.iter().map(|code| (code.as_str(), code.status())).collect();
        assert_eq!(unique.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(code.advice().ends_with('.') && !code.title().ends_with('.'));
        }
    }
}
