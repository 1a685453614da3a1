//! Every way a request can fail: one table, and nothing outside it is ever sent.

use axum::http::StatusCode;

macro_rules! codes {
    ($($variant:ident $code:literal $status:ident $title:literal, $advice:literal;)+) => {
        /// Why a request failed, for programs; stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As it stands in a problem's `code`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The status it is sent with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// What happened, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// What the caller can do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)+ }
            }
        }
    };
}

codes! {
    MalformedRequest "malformed_request" BAD_REQUEST "The request could not be read",
        "Mend every place that `errors` points to, then send it again.";
    ReasonRequired "reason_required" BAD_REQUEST "A reason is needed",
        "Say in `reason`, in 3 to 500 characters on one line, 3 of them visible, why the change is made.";
    ValidationFailed "validation_failed" BAD_REQUEST "One or more values are not allowed",
        "Nothing was stored. `errors` names each value and the rule it breaks.";
    InvalidValue "validation_failed" UNPROCESSABLE_ENTITY "The value is not allowed",
        "Nothing was stored. `errors` names the expected type and the rule it breaks.";
    SecretLike "secret_like_value" BAD_REQUEST "It looks like a secret",
        "Nothing was stored. Give secrets to the service in its environment or a file. If it is one that is \
         in use, replace it: it was sent over the wire.";
    SecretLikeValue "secret_like_value" UNPROCESSABLE_ENTITY "The value looks like a secret",
        "Nothing was stored. Give secrets to the service in its environment or a file. If it is one that is \
         in use, replace it: it was sent over the wire.";
    Unauthorized "unauthorized" UNAUTHORIZED "No valid credentials",
        "Send `Authorization: Bearer` with a token that is signed, current and names its subject.";
    Forbidden "forbidden" FORBIDDEN "Not allowed to this caller",
        "Ask with an account that has the role this route needs.";
    CrossOrigin "cross_origin" FORBIDDEN "The request is not known to come from a page of this service",
        "Nothing was done. Where a browser's cookie says who asks, only pages of this service may change \
         something, and a proxy in front must leave `Host`, `Origin` and `Sec-Fetch-Site` as they are. Programs \
         send `Authorization: Bearer` and need none of it.";
    KeyLocked "key_locked" FORBIDDEN "The setting cannot be changed here",
        "It is a secret, or infrastructure's: change it where the service is deployed. With \
         `Prefer: handling=lenient` such entries are left out and the rest is applied.";
    NotEligible "not_eligible" FORBIDDEN "The user may not start a session now",
        "`reasons` has each rule that applies, and `retry_at` where waiting helps.";
    NotFound "not_found" NOT_FOUND "There is nothing here",
        "Check the path and the identifier.";
    UnknownKey "unknown_key" NOT_FOUND "There is no setting of this name",
        "The list of settings has every key there is.";
    VersionNotFound "version_not_found" NOT_FOUND "The setting never had this version",
        "The history has every version there was.";
    RevisionNotFound "revision_not_found" NOT_FOUND "There was no such revision",
        "The history has every revision there was.";
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The path does not answer this method",
        "The `Allow` header has those that it answers.";
    VersionConflict "version_conflict" CONFLICT "Someone else changed a setting first",
        "Nothing was stored. `conflicts` has what you knew, what stands now and what you sent: decide, \
         and send it again with the current version.";
    PlanOutdated "plan_outdated" CONFLICT "The settings have moved since the plan",
        "Nothing was stored. Ask for a new plan with `dry_run=true`, review it, and apply that one.";
    SessionActive "session_active" CONFLICT "The user has a running session",
        "End the session named by `session_id`, or wait until it expires.";
    IdempotencyInProgress "idempotency_in_progress" CONFLICT "The first request with this key is under way",
        "Send it again in a moment to get the first one's answer.";
    NothingToRetry "nothing_to_retry" CONFLICT "There is nothing left to try again",
        "Every sink took the message already: the list of messages says when.";
    RevisionMismatch "revision_mismatch" PRECONDITION_FAILED "The settings have changed since",
        "Nothing was stored. Read them again and send the current `ETag` in `If-Match`.";
    RequestTimeout "request_timeout" REQUEST_TIMEOUT "The body came too slowly",
        "Nothing was done. Send the whole body at once.";
    PayloadTooLarge "payload_too_large" PAYLOAD_TOO_LARGE "The body is too large",
        "A body may have 1 MiB (1048576 bytes).";
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "The body is of another type",
        "Send `Content-Type: application/json`, in UTF-8 and not compressed.";
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY "The key was used for another request",
        "An `Idempotency-Key` belongs to one request for 24 hours: make a new one.";
    VersionRequired "version_required" PRECONDITION_REQUIRED "The version that is changed is needed",
        "Send the `version` of each setting as you read it, or `If-Match` with the revision.";
    RateLimited "rate_limited" TOO_MANY_REQUESTS "Too many requests",
        "Wait as long as `Retry-After` says.";
    HeadersTooLarge "headers_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "The headers are too large",
        "A request's head may have 16 KiB and 64 lines.";
    Internal "internal" INTERNAL_SERVER_ERROR "The service failed",
        "This is a fault of the service. Its operators find it in the log by `request_id`.";
    RealtimeUnavailable "realtime_unavailable" BAD_GATEWAY "The realtime provider failed",
        "The attempt counts for nothing but the limit of attempts. Try again, after `Retry-After` seconds where \
         it is sent; where `errors` names settings, an administrator has to change them first.";
    PlanUnavailable "plan_unavailable" SERVICE_UNAVAILABLE "The user's plan is not known",
        "The service that knows it does not answer. Try again after `Retry-After` seconds.";
    ConfigUnavailable "config_unavailable" SERVICE_UNAVAILABLE "The settings are not in order",
        "An operator has to mend the settings that are named, or the database. Try again after \
         `Retry-After` seconds.";
    Unavailable "unavailable" SERVICE_UNAVAILABLE "The service cannot answer now",
        "Nothing was stored. Try again after `Retry-After` seconds.";
    OutcomeUnknown "outcome_unknown" GATEWAY_TIMEOUT "The change may or may not have been stored",
        "Send the same request with the same `Idempotency-Key` to learn which, or read the settings.";
}

impl Code {
    /// Where it is explained, as it stands in a problem's `type`.
    #[must_use]
    pub fn page(self) -> String {
        format!("/problems/{}", self.as_str().replace('_', "-"))
    }

    /// The one that says what a bare `status` says, for answers that were not made here.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
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
    fn a_code_and_its_status_name_one_problem() {
        let named: HashSet<_> = Code::ALL.iter().map(|it| (it.as_str(), it.status())).collect();
        assert_eq!(named.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(code.advice().ends_with('.') && !code.title().ends_with('.'));
        }
    }
}
