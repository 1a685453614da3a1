//! `/admin/instances`: the instances, and the revision that each has applied.

use axum::extract::State;

use crate::{
    database::Pool,
    fleet::{self, Fleet, Listing},
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::Problem,
        request::query::{NoParameters, Query},
        response::JsonResponse,
    },
};

problems! {
    InstancesProblems: MalformedRequest, Unauthorized, Forbidden, Internal, Unavailable
}

/// The instances that share this database, with the lag of each. An instance that died without signing off is listed
/// for one more minute.
#[utoipa::path(
    get,
    path = "/admin/instances",
    operation_id = "listInstances",
    tag = "fleet",
    responses(
        (status = 200, description = "The instances, the longest running first", body = Listing),
        InstancesProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(fleet): State<Fleet>,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    JsonResponse::ok(&fleet::members(&pool, &fleet).await?)
}
