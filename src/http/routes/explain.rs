//! `/problems`: what a problem's `type` leads to.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use crate::http::{
    openapi::problems,
    problem::{Code, Problem},
    request::path::PathSegment,
};

problems! {
    ExplainProblems: NotFound
}

/// What a problem's `type` leads to: what the code means and what to do.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    operation_id = "explainProblem",
    tag = "problems",
    params(("code" = String, Path, description = "A problem's code, with dashes")),
    responses(
        (status = 200, description = "What it means and what to do", body = String, content_type = "text/plain"),
        ExplainProblems,
    )
)]
pub async fn explain(PathSegment(slug): PathSegment) -> Result<Response, Problem> {
    let entries: Vec<String> = Code::ALL
        .iter()
        .filter(|code| code.page().strip_prefix("/problems/") == Some(&slug))
        .map(|code| {
            let (name, status) = (code.as_str(), code.status().as_u16());
            format!("{name} ({status})\n\n{}.\n{}\n", code.title(), code.advice())
        })
        .collect();
    if entries.is_empty() {
        return Err(Problem::not_found("there is no problem of this name"));
    }
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    Ok((headers, entries.join("\n")).into_response())
}
