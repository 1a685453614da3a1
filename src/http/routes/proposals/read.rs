//! Reading proposals.

use axum::{
    extract::{Path, State},
    http::header,
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
            preconditions,
            query::{NoParameters, Query, query},
        },
        response::JsonResponse,
    },
    proposals::{self, Cursor, Filter, Page},
    settings::{self, ProposalView, SettingsWriter},
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
    ProposalProblems: MalformedRequest, Unauthorized, Forbidden, ProposalNotFound, Internal, Unavailable
}

/// A proposal with its current edition.
#[utoipa::path(
    get,
    path = "/admin/proposals/{number}",
    operation_id = "getProposal",
    tag = "proposals",
    params(("number" = i64, Path, description = "The number")),
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
    State(writer): State<SettingsWriter>,
    PathSegment(path): PathSegment,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    let proposal = settings::find_proposal(&writer, number(&path)?, None).await?;
    // For `If-Match` of an edit. Verdicts and blocks change without a new edition, so the tag validates no cached copy.
    let tag = preconditions::edition_tag(proposal.edition);
    Ok(JsonResponse::ok(&proposal)?.with(header::ETAG, &tag))
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
    State(writer): State<SettingsWriter>,
    Path((proposal, edition)): Path<(String, String)>,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    let edition = Some(number(&edition)?);
    let number = number(&proposal)?;
    JsonResponse::ok(&settings::find_proposal(&writer, number, edition).await?)
}
