//! Reading proposals.

use axum::{
    extract::{Path, State},
    response::Response,
};

use super::number;
use crate::{
    database::{self, Pool},
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::Problem,
        request::{
            page::PageParameters,
            path::PathSegment,
            preconditions::{self, ReadConditions},
            query::{NoParameters, Query, query},
        },
        response::JsonResponse,
    },
    proposals::{self, Cursor, Filter, Page},
    settings::{self, GlobalSettingsService, ProposalView},
};

query! {
    /// The proposals to list.
    struct ProposalParameters {
        /// The state
        state: Option<proposals::State>,
        /// The author of the first edition
        by: Option<String>,
        /// A setting that the current edition changes
        key: Option<String>,
        /// `true`: proposals whose verdict the caller can still give
        waiting_for_me: bool = false,
        /// The page
        page: PageParameters,
    }
}

problems! {
    ProposalListProblems: MalformedRequest, Unauthorized, Forbidden, Internal, Unavailable
}

/// The proposals, newest first.
#[utoipa::path(
    get,
    path = "/admin/proposals",
    operation_id = "listProposals",
    tag = "proposals",
    params(ProposalParameters),
    responses((status = 200, description = "A page", body = Page), ProposalListProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    SuperAdmin(caller): SuperAdmin,
    State(pool): State<Pool>,
    Query(parameters): Query<ProposalParameters>,
) -> Result<JsonResponse, Problem> {
    let ProposalParameters { state, by, key, waiting_for_me, page } = parameters;
    let waiting_for = waiting_for_me.then(|| caller.user.as_str().to_owned());
    // A cursor is bound to the filter, so the filter is built first.
    let filter = Filter { state, by, key, waiting_for };
    let cursor = page.cursor(|text| Cursor::decode(text, &filter))?;
    let limit = page.limit;
    let page = database::read_with_retry(&pool, async |conn| {
        proposals::page(conn, &filter, cursor, limit).await
    });
    JsonResponse::ok(&page.await?)
}

problems! {
    ProposalProblems: MalformedRequest, Unauthorized, Forbidden, ProposalNotFound, RevisionMismatch, Internal,
    Unavailable
}

/// A proposal with its current edition.
#[utoipa::path(
    get,
    path = "/admin/proposals/{number}",
    operation_id = "getProposal",
    tag = "proposals",
    params(("number" = i64, Path, description = "The number"), ReadConditions),
    responses(
        (status = 200, description = "The proposal", body = ProposalView, headers(
            ("ETag" = String, description = "The current edition, as `\"e<edition>\"`"),
        )),
        ProposalProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn find(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    PathSegment(path): PathSegment,
    _: Query<NoParameters>,
    conditions: ReadConditions,
) -> Result<Response, Problem> {
    let proposal = settings::find_proposal(&pool, &settings, number(&path)?, None).await?;
    respond(&proposal, &conditions)
}

/// A proposal with an earlier edition.
#[utoipa::path(
    get,
    path = "/admin/proposals/{number}/editions/{edition}",
    operation_id = "getProposalEdition",
    tag = "proposals",
    params(
        ("number" = i64, Path, description = "The number"),
        ("edition" = i32, Path, description = "The edition, from 1"),
    ),
    responses((status = 200, description = "The proposal with the edition", body = ProposalView), ProposalProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn edition(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    Path((proposal, edition)): Path<(String, String)>,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    let edition = Some(number(&edition)?);
    let number = number(&proposal)?;
    JsonResponse::ok(&settings::find_proposal(&pool, &settings, number, edition).await?)
}

/// Responds with `proposal`. Verdicts and blocks change without a new edition, so nothing is "not modified".
fn respond(proposal: &ProposalView, conditions: &ReadConditions) -> Result<Response, Problem> {
    let _ = conditions;
    let tag = preconditions::edition_tag(proposal.edition);
    Ok(axum::response::IntoResponse::into_response(
        JsonResponse::ok(proposal)?.with(axum::http::header::ETAG, &tag),
    ))
}
