//! `/admin/audit`: verification of the audit trail.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    audit::{self, ChainBreak, Verification},
    database::{self, Pool},
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::Problem,
        request::{
            query::{Query, query},
            value::MAX_INTEGER,
        },
        response::JsonResponse,
    },
};

/// The maximum of verified entries per request, well within the deadline.
const MAX_ENTRIES: i64 = 20_000;

/// The result of a verification.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AuditVerification {
    /// How many entries were verified.
    checked: i64,
    /// The number of the last verified entry.
    last: i64,
    /// The `after` of the next request; null at the end, where the settings were compared with the trail as well.
    #[schema(required)]
    next: Option<i64>,
    /// Every break; empty for a valid trail.
    breaks: Vec<AuditBreak>,
}

/// A break of the trail.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AuditBreak {
    /// Of an entry: `missing`, `unchained`, `altered`, `version_gap` or `revision_gap`. `head`: the revision is not the
    /// revision of the newest entry. `stray`: a setting differs from the last entry of its key.
    code: &'static str,
    /// The entry's number.
    #[schema(required)]
    entry: Option<i64>,
    /// The setting's key.
    #[schema(required)]
    key: Option<String>,
    /// The break in words.
    detail: String,
}

impl From<&ChainBreak> for AuditBreak {
    fn from(error: &ChainBreak) -> Self {
        let key = error.key().map(str::to_owned);
        Self { code: error.code(), entry: error.entry(), key, detail: error.to_string() }
    }
}

impl From<Verification> for AuditVerification {
    fn from(verification: Verification) -> Self {
        let Verification { checked, last, is_end, breaks } = verification;
        // Null tells a client to stop without another request.
        let next = Some(last).filter(|_| !is_end);
        Self { checked, last, next, breaks: breaks.iter().map(AuditBreak::from).collect() }
    }
}

problems! {
    VerifyProblems: MalformedRequest, Unauthorized, Forbidden, NotFound, Internal, Unavailable
}

query! {
    /// The entries to verify.
    struct VerifyParameters {
        /// `next` of the request before; the first entry by default
        #[validate(range(min = 0, max = MAX_INTEGER))]
        after: i64 = 0,
    }
}

/// Verifies up to 20,000 entries of the audit trail: each hash is computed again from the stored entry.
#[utoipa::path(
    get,
    path = "/admin/audit/verify",
    operation_id = "verifyAuditTrail",
    tag = "settings",
    params(VerifyParameters),
    responses((status = 200, description = "The result", body = AuditVerification), VerifyProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn verify(
    _: SuperAdmin,
    State(pool): State<Pool>,
    Query(VerifyParameters { after }): Query<VerifyParameters>,
) -> Result<JsonResponse, Problem> {
    let verification = database::read_with_retry(&pool, async |conn| {
        audit::verify_after(conn, after, MAX_ENTRIES).await
    });
    // The hash of the entry `after` is the start of the chain, so the entry must exist.
    let not_found = || Problem::not_found(format!("the audit trail has no entry {after}"));
    JsonResponse::ok(&AuditVerification::from(verification.await?.ok_or_else(not_found)?))
}
