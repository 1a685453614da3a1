//! Changes as they are made.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName},
    response::Response,
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    clock::Clock,
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::Problem,
        request::{headers::single_value, query::Query},
        serve::sse::{self, Events, Streams},
    },
    json::FieldError,
    settings::{ChangeSet, Feed, FeedItem, GlobalSettingsService, Listener},
};

pub(in crate::http) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

problems! {
    StreamProblems: MalformedRequest, Unauthorized, Forbidden, RateLimited, Unavailable
}

/// The data of a `start` or `resync` event.
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(in crate::http) struct Resync {
    /// The revision that the stream starts after, or that the settings are at.
    revision: i64,
}

/// Changes as this instance takes them on, one server-sent event for each change set.
///
/// The first event is `start` or `resync`. `start` has only `revision`: the stream has every change after it, so whoever
/// read the settings at another revision has to read them again. `change` has the change set. `id` is the revision,
/// of every event. With `Last-Event-ID` what was missed follows the start, up to 256 change sets. `resync` has only `revision`, and says that what was missed cannot be told one by one: it is
/// more than that, or the id is of another history of the database or of the future; read the settings. After
/// at most 15 seconds of silence comes a comment. The stream ends when the token does, and at shutdown.
#[utoipa::path(
    get,
    path = "/admin/global-settings/stream",
    operation_id = "streamChanges",
    tag = "settings",
    params(("Last-Event-ID" = Option<i64>, Header, description = "The last revision that was heard of")),
    responses(
        (status = 200, description = "Events whose `data` is this", body = ChangeSet, content_type = "text/event-stream"),
        StreamProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn stream(
    SuperAdmin(caller): SuperAdmin,
    State(settings): State<GlobalSettingsService>,
    State(feed): State<Feed>,
    State(streams): State<Streams>,
    State(clock): State<Clock>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let last = last_event(&headers)?;
    let permit = streams.acquire(Some(&caller.user))?;
    let current = settings.revision();
    let changes = Changes(feed.listen(last.unwrap_or(current), current));
    let life = sse::time_until(caller.until, &clock);
    Ok(sse::response(permit, life, None, changes))
}

/// The revision in `Last-Event-ID`, if there is one.
pub(in crate::http) fn last_event(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    if !headers.contains_key(LAST_EVENT_ID) {
        return Ok(None);
    }
    let sent = single_value(headers, &LAST_EVENT_ID).and_then(|it| it.to_str().ok()).map(str::trim);
    // A browser that heard of no event yet sends it empty.
    if sent == Some("") {
        return Ok(None);
    }
    let plain = sent.filter(|it| it.bytes().all(|b| b.is_ascii_digit()));
    plain.and_then(|it| it.parse().ok()).map(Some).ok_or_else(|| {
        let detail = "Last-Event-ID is the id of an event: a revision, in digits";
        Problem::malformed(FieldError {
            pointer: None,
            ..FieldError::at("", "invalid_last_event_id", detail)
        })
    })
}

struct Changes(Listener);

/// JSON that many streams send.
struct Shared(Arc<str>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Events for Changes {
    async fn next(&mut self) -> Vec<Bytes> {
        match self.0.next().await {
            FeedItem::Change(revision, json) => {
                sse::event(revision, "change", Bytes::from_owner(Shared(json)))
            }
            FeedItem::Start(revision) => at(revision, "start"),
            FeedItem::Resync(revision) => at(revision, "resync"),
        }
    }
}

/// The event `name`, which says no more than a revision.
fn at(revision: i64, name: &str) -> Vec<Bytes> {
    sse::event(revision, name, json!({"revision": revision}).to_string().into())
}
