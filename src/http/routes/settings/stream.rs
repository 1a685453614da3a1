//! A stream of changes.

use std::sync::Arc;

use axum::{body::Bytes, extract::State, response::Response};
use serde_json::json;

use crate::{
    clock::Clock,
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::Problem,
        request::{
            headers::LastEventId,
            query::{NoParameters, Query},
        },
        serve::sse::{self, Events, Streams},
    },
    settings::{ChangeSet, Feed, FeedItem, GlobalSettingsService, Listener},
};

problems! {
    StreamProblems: MalformedRequest, Unauthorized, Forbidden, RateLimited, Unavailable
}

/// Applied changes, as a server-sent event for each revision.
///
/// The first event is `start` or `resync`; the data of both has only `revision`. After `start` the stream has every
/// later change: a client whose settings are of another revision must read the settings again. With `Last-Event-ID`
/// the missed changes follow, up to 256 revisions. `resync` means that missed changes cannot be sent: more
/// than 256 revisions, or an id of another history of the database or of the future; read the settings again. The data of
/// `change` is a change set. The `id` of every event is the revision. A comment is sent after at most 15 seconds of
/// silence. The stream ends when the token expires, and at shutdown.
#[utoipa::path(
    get,
    path = "/admin/global-settings/stream",
    operation_id = "streamChanges",
    tag = "settings",
    params(LastEventId),
    responses(
        (status = 200, description = "Events; the data of `change` is a change set", body = ChangeSet, content_type = "text/event-stream"),
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
    _: Query<NoParameters>,
    LastEventId(last): LastEventId,
) -> Result<Response, Problem> {
    // Counted by administrator: a runaway script must not use up the instance's streams.
    let place = streams.acquire(Some(&caller.user))?;
    let current = settings.revision();
    // Without an id, the stream starts at the current revision and replays nothing.
    let changes = Changes(feed.listen(last.unwrap_or(current), current));
    Ok(sse::response(place, sse::time_until(caller.until, &clock), None, changes))
}

struct Changes(Listener);

/// JSON shared by many streams.
struct SharedJson(Arc<str>);

impl AsRef<[u8]> for SharedJson {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Events for Changes {
    async fn next(&mut self) -> Vec<Bytes> {
        match self.0.next().await {
            FeedItem::Change(revision, json) => {
                sse::event(revision, "change", Bytes::from_owner(SharedJson(json)))
            }
            FeedItem::Start(revision) => revision_event(revision, "start"),
            FeedItem::Resync(revision) => revision_event(revision, "resync"),
        }
    }
}

/// Returns the event `name` with a revision.
fn revision_event(revision: i64, name: &str) -> Vec<Bytes> {
    sse::event(revision, name, json!({"revision": revision}).to_string().into())
}
