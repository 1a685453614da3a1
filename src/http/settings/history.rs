//! Reading the trail.

use axum::extract::State;

use crate::{
    audit::{self, Action, Cursor, Filter},
    database::{self, Failure, Pool},
    http::{answer::Answer, auth::SuperAdmin, openapi::problems, problem::Problem, query::Query},
};

problems! {
    HistoryProblems: MalformedRequest, Unauthorized, Forbidden, Internal, Unavailable
}

/// Who changed what, when and why; newest first.
#[utoipa::path(
    get,
    path = "/admin/global-settings/history",
    operation_id = "listHistory",
    tag = "settings",
    params(
        ("key" = Option<String>, Query, description = "Of this key"),
        ("changed_by" = Option<String>, Query, description = "By this person"),
        ("action" = Option<String>, Query, description = "`seed`, `import`, `update`, `reset`, `rollback`, `refused` or `secret_cleanup`"),
        ("request_id" = Option<String>, Query, description = "In this request"),
        ("since" = Option<String>, Query, description = "Not before this RFC 3339 time"),
        ("until" = Option<String>, Query, description = "Not after this RFC 3339 time"),
        ("limit" = Option<i64>, Query, description = "1 to 200, 50 when left out"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses(
        (status = 200, description = "A page", body = audit::Page),
        HistoryProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn history(
    _: SuperAdmin,
    State(pool): State<Pool>,
    query: Query,
) -> Result<Answer, Problem> {
    read_trail(&pool, query).await
}

/// A page of the trail, as the query asks for it.
pub(in crate::http) async fn read_trail(pool: &Pool, query: Query) -> Result<Answer, Problem> {
    let (filter, cursor, limit) = read_history(query)?;
    let page = database::look(pool, async |conn| {
        Ok::<_, Failure>(audit::page(conn, &filter, cursor, limit).await?)
    });
    Answer::ok(&page.await?)
}

fn read_history(mut query: Query) -> Result<(Filter, Option<Cursor>, u16), Problem> {
    let action = query.choice("action", &Action::ALL.map(Action::as_str));
    let filter = Filter {
        key: query.text("key"),
        changed_by: query.text("changed_by"),
        action: action.and_then(Action::parse),
        request_id: query.text("request_id"),
        since: query.time("since"),
        until: query.time("until"),
    };
    let (cursor, limit) = query.page(|text| Cursor::parse(text, &filter));
    query.finish()?;
    Ok((filter, cursor, limit))
}
