//! What a change would have done to recorded session starts.

use axum::extract::State;
use chrono::{DateTime, Utc};
use validator::ValidationError;

use super::declared::WithSessions;
use crate::{
    clock::Clock,
    database::Pool,
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::{Code, Problem},
        request::{
            body::Body,
            fields::body,
            query::{NoParameters, Query},
            rules::Slot,
            value::MAX_INTEGER,
        },
        response::JsonResponse,
        routes::settings::{SettingChange, check_unique_keys, with_positions},
    },
    json::FieldError,
    sessions::{Period, WhatIf, WhatIfRunner},
    settings::{Edit, SettingsWriter},
};

problems! {
    WhatIfProblems: MalformedRequest, ValidationFailed, SecretLike, Unauthorized, Forbidden, KeyLocked, NotFound,
    ProposalNotFound, RequestTimeout, PayloadTooLarge, UnsupportedMediaType, WhatIfBusy, Internal, ConfigUnavailable,
    Unavailable
}

body! {
    /// A change that nobody makes, and the recorded attempts to replay. Either `changes` or `proposal` is required.
    struct WhatIfRequest {
        /// The changes. A version may be left out, and is not compared.
        #[validate(length(min = 1, max = 500), custom(function = unique_changes))]
        changes: Option<Vec<SettingChange>>,
        /// The number of a proposal, whose current edition is the change.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        proposal: Option<i64>,
        /// The beginning of the window, at most 8 days ago; by default 24 hours before the end.
        since: Option<DateTime<Utc>>,
        /// The end of the window; by default now.
        until: Option<DateTime<Utc>>,
    }
}

/// Requires that no two changes have the same key.
fn unique_changes(changes: &Slot<Option<Vec<SettingChange>>>) -> Result<(), ValidationError> {
    check_unique_keys(changes.0.iter().flatten().flatten())
}

/// Replays recorded session starts under a change of the settings, and stores nothing.
///
/// The rules of a start judge every recorded attempt of the window again, user by user: with the settings of the attempt,
/// to see whether the records can be trusted (`reproduced`), and with the changed settings. A change is validated as by a
/// dry run, but needs no approval and no version, and a freeze does not matter.
#[utoipa::path(
    post,
    path = "/admin/what-if",
    operation_id = "whatIf",
    tag = "sessions",
    request_body = WhatIfRequest,
    responses((status = 200, description = "The differences", body = WhatIf), WhatIfProblems),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn what_if(
    _: SuperAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    State(writer): State<SettingsWriter>,
    State(runner): State<WhatIfRunner>,
    State(clock): State<Clock>,
    _: Query<NoParameters>,
    Body { value: request, .. }: Body<WhatIfRequest>,
) -> Result<JsonResponse, Problem> {
    let WhatIfRequest { changes, proposal, since, until } = request;
    let preview = match (changes, proposal) {
        (Some(changes), None) => {
            let edits: Vec<_> = changes.into_iter().map(Edit::from).collect();
            let preview = writer.preview(&edits).await;
            preview.map_err(|err| with_positions(Problem::from(err), &edits))?
        }
        (None, Some(number)) => writer.preview_proposal(number).await?,
        _ => return Err(either()),
    };
    let report = runner.run(&pool, &preview, &Period { since, until }, clock.now()).await?;
    JsonResponse::ok(&report)
}

/// Returns the problem of a body with both or none of the two kinds of changes.
fn either() -> Problem {
    let detail = "either `changes` or `proposal` is required, not both";
    Problem::new(Code::MalformedRequest, detail).with_errors(FieldError::at(
        "/changes",
        "one_required",
        detail,
    ))
}
