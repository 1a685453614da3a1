//! A stream of refetch events for clients.

use std::time::Duration;

use axum::{body::Bytes, extract::State, http::HeaderValue, response::Response};
use tokio::sync::watch;

use crate::{
    clock::{Clock, jittered},
    http::{
        auth::{self, Reader},
        problem::Problem,
        request::{
            headers::LastEventId,
            query::{Query, query},
            value::MAX_INTEGER,
        },
        routes::ofrep::{page::Ofrep, refusal::Refusal},
        serve::sse::{self, Events, Streams},
    },
    settings::GlobalSettingsService,
};

/// The maximum time of a stream after its token expires, at random: otherwise all clients would reconnect at once.
const GRACE: Duration = Duration::from_mins(10);

query! {
    /// The parameters of the stream.
    struct EventsParameters {
        /// The token from `eventStreams`, valid only for the stream
        token: Option<String>,
        /// The client's revision; `Last-Event-ID` takes precedence
        #[validate(range(min = 1, max = MAX_INTEGER))]
        since: Option<i64>,
    }
}

/// Refetch events: a message for every applied revision.
///
/// A browser's `EventSource` sends no headers, so the address in `eventStreams` has a token for the
/// stream alone. A client with control over headers may use its own credentials instead.
#[utoipa::path(
    get,
    path = "/ofrep/v1/events",
    operation_id = "streamRefetches",
    tag = "ofrep",
    params(EventsParameters, LastEventId),
    responses(
        (status = 200, description = "Events `message` whose `data` is `{\"type\": \"refetchEvaluation\", \"etag\": …, \"lastModified\": …}`; the first at once if the client has another revision", body = String, content_type = "text/event-stream"),
        (status = 400, description = "`PARSE_ERROR`", body = Refusal),
        (status = 401, description = "No valid token: evaluate again to get one", body = Refusal),
        (status = 503, description = "Too many streams; `Retry-After`", body = Refusal),
    ),
    security(("bearer" = []), ("internal_key" = []))
)]
pub(in crate::http) async fn events(
    // A `Result`, because a token in the URL replaces the credentials of the header.
    reader: Result<Reader, Problem>,
    State(settings): State<GlobalSettingsService>,
    State(ofrep): State<Ofrep>,
    State(streams): State<Streams>,
    State(clock): State<Clock>,
    Query(EventsParameters { token, since }): Query<EventsParameters>,
    LastEventId(last): LastEventId,
) -> Result<Response, Problem> {
    let until = match token {
        Some(token) => {
            ofrep.keys().verify_stream_token(&token).ok_or(auth::AuthError::StreamToken)?
        }
        None => reader?.until,
    };
    // A browser repeats the original `since` on reconnecting, so the newer id wins.
    let client_revision = last.or(since);
    // A stream token has no subject, so no limit per caller applies.
    let place = streams.acquire(None)?;
    let life = sse::time_until(until, &clock) + jittered(GRACE, 0.0..1.0);
    let mut revisions = settings.revisions();
    // Before the page is read: a revision applied in between must wake the loop.
    revisions.mark_unchanged();
    let page = ofrep.page(&settings, clock.now()).await?;
    let is_current = client_revision == Some(page.revision());
    let sent_tag = is_current.then(|| page.tag.clone());
    // A client with the current page gets no event yet, but an id for the next connection.
    let start = is_current.then(|| page.revision());
    Ok(sse::response(place, life, start, Refetches { settings, ofrep, clock, revisions, sent_tag }))
}

struct Refetches {
    settings: GlobalSettingsService,
    ofrep: Ofrep,
    clock: Clock,
    revisions: watch::Receiver<i64>,
    /// The tag of the last announced page.
    sent_tag: Option<HeaderValue>,
}

impl Events for Refetches {
    async fn next(&mut self) -> Vec<Bytes> {
        loop {
            if self.sent_tag.is_some() {
                // `changed` fails only after the settings are dropped, and `self` owns a handle.
                let _ = self.revisions.changed().await;
            }
            // The failure is logged; the page of the next revision may succeed.
            let Ok(page) = self.ofrep.page(&self.settings, self.clock.now()).await else {
                // No page has the tag `none`: the loop waits, and announces the next page.
                self.sent_tag = Some(HeaderValue::from_static("none"));
                continue;
            };
            // Several quick revisions may wake the loop again after the newest page was sent.
            if self.sent_tag.as_ref() != Some(&page.tag) {
                self.sent_tag = Some(page.tag.clone());
                return sse::event(page.revision(), "message", page.event.clone());
            }
        }
    }
}
