//! `/admin/audit`: whether the trail is whole.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    audit::{self, ChainBreak, Verification},
    database::{self, Pool, TransactionError},
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::Problem,
        request::{fields::NUMBERS, query::Query},
        response::JsonResponse,
    },
};

/// How many entries one request verifies: what fits well within its deadline.
const MOST: i64 = 20_000;

/// Entries of the trail that were verified.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AuditVerification {
    /// How many.
    checked: i64,
    /// The number of the last one.
    last: i64,
    /// What to send as `after` to go on; null at the end, where the settings were compared with the trail as well.
    #[schema(required)]
    next: Option<i64>,
    /// Everything that does not hold; empty when all is well.
    breaks: Vec<AuditBreak>,
}

/// Where the trail does not hold.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AuditBreak {
    /// Of an entry: `missing`, `unchained`, `altered`, `version_gap` or `revision_gap`. `head`: its revision is not that
    /// of the newest entry. `stray`: a setting that is not what the trail says last.
    code: &'static str,
    /// The entry's number.
    #[schema(required)]
    entry: Option<i64>,
    /// The setting's key.
    #[schema(required)]
    key: Option<String>,
    /// The same in words.
    detail: String,
}

impl From<&ChainBreak> for AuditBreak {
    fn from(it: &ChainBreak) -> Self {
        let key = it.key().map(str::to_owned);
        Self { code: it.code(), entry: it.entry(), key, detail: it.to_string() }
    }
}

impl From<Verification> for AuditVerification {
    fn from(verified: Verification) -> Self {
        let Verification { checked, last, is_end, breaks } = verified;
        let next = Some(last).filter(|_| !is_end);
        Self { checked, last, next, breaks: breaks.iter().map(AuditBreak::from).collect() }
    }
}

problems! {
    VerifyProblems: MalformedRequest, Unauthorized, Forbidden, NotFound, Internal, Unavailable
}

/// Verifies up to 20,000 entries of the trail: each hash is computed again, from what the database holds.
#[utoipa::path(
    get,
    path = "/admin/audit/verify",
    operation_id = "verifyAuditTrail",
    tag = "settings",
    params(("after" = Option<i64>, Query, description = "`next` of the part before, whose last hash is gone on from; from the first entry when left out")),
    responses((status = 200, description = "What was found", body = AuditVerification), VerifyProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn verify(
    _: SuperAdmin,
    State(pool): State<Pool>,
    mut query: Query,
) -> Result<JsonResponse, Problem> {
    let after = query.integer("after", 0..=*NUMBERS.end()).unwrap_or(0);
    query.finish()?;
    let verified = database::read_with_retry(&pool, async |conn| {
        Ok::<_, TransactionError>(audit::verify_after(conn, after, MOST).await?)
    });
    let none = || Problem::not_found(format!("the trail has no entry of number {after}"));
    JsonResponse::ok(&AuditVerification::from(verified.await?.ok_or_else(none)?))
}
