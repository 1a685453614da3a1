//! `/admin/instances`: the instances and their applied revisions.

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

/// The instances of the database, with the lag of each. A crashed instance stays in the list for a minute.
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
