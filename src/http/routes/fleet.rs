//! `/admin/instances`: who runs, and what each has applied.

use axum::extract::State;

use crate::{
    database::Pool,
    fleet::{self, Fleet, Listing},
    http::{
        auth::SuperAdmin, openapi::problems, problem::Problem, request::query::Query,
        response::JsonResponse,
    },
};

problems! {
    InstancesProblems: MalformedRequest, Unauthorized, Forbidden, Internal, Unavailable
}

/// The instances over this database, and how far each is behind; those that ended without a word for a
/// minute longer.
#[utoipa::path(
    get,
    path = "/admin/instances",
    operation_id = "listInstances",
    tag = "fleet",
    responses(
        (status = 200, description = "The instances, the one that has run longest first", body = Listing),
        InstancesProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(fleet): State<Fleet>,
    query: Query,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    JsonResponse::ok(&fleet::members(&pool, &fleet).await?)
}
