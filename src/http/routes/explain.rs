//! `/problems`: the page of each problem code.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use crate::http::{
    openapi::problems,
    problem::{Code, Problem},
    request::{
        path::PathSegment,
        query::{NoParameters, Query},
    },
};

problems! {
    ExplainProblems: MalformedRequest, NotFound
}

/// The page of a problem's `type`: the meaning of the code, and the remedy.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    operation_id = "explainProblem",
    tag = "problems",
    params(("code" = String, Path, description = "A problem's code, with dashes")),
    responses(
        (status = 200, description = "The meaning of the code, and the remedy", body = String, content_type = "text/plain"),
        ExplainProblems,
    )
)]
pub async fn explain(
    PathSegment(slug): PathSegment,
    _: Query<NoParameters>,
) -> Result<Response, Problem> {
    // The page needs no credentials, because the document of a 401 links to a page.
    let entries: Vec<String> = Code::ALL
        .iter()
        // The path is only compared: a page must not reflect text of the caller.
        .filter(|code| code.page().strip_prefix("/problems/") == Some(&slug))
        .map(|code| {
            let (name, status) = (code.as_str(), code.status().as_u16());
            format!("{name} ({status})\n\n{}.\n{}\n", code.title(), code.advice())
        })
        .collect();
    // Several codes may share a page: the same problem with different statuses.
    if entries.is_empty() {
        return Err(Problem::not_found("no problem has this code"));
    }
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        // The pages change only with a release.
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    Ok((headers, entries.join("\n")).into_response())
}
