//! Tells clients when to evaluate again.

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
        routes::ofrep::{Ofrep, Refusal},
        serve::sse::{self, Events, Streams},
    },
    settings::GlobalSettingsService,
};

/// How long a stream may go on after its token: at random, so that not all come back at the same moment.
const GRACE: Duration = Duration::from_mins(10);

query! {
    /// The parameters of the stream.
    struct EventsParameters {
        /// The token from `eventStreams`, which is valid for this stream alone
        token: Option<String>,
        /// The revision that the client has; `Last-Event-ID` takes precedence
        #[validate(range(min = 1, max = MAX_INTEGER))]
        since: Option<i64>,
    }
}

/// When to evaluate again: an event at every revision that this instance takes on.
///
/// A browser's `EventSource` sends no headers, so the address in `eventStreams` carries a token that opens
/// nothing else. Whoever can send headers may use their own credentials instead.
#[utoipa::path(
    get,
    path = "/ofrep/v1/events",
    operation_id = "streamRefetches",
    tag = "ofrep",
    params(LastEventId),
    responses(
        (status = 200, description = "Events `message` whose `data` is `{\"type\": \"refetchEvaluation\", \"etag\": …, \"lastModified\": …}`; the first at once if the caller holds another revision", body = String, content_type = "text/event-stream"),
        (status = 400, description = "`PARSE_ERROR`", body = Refusal),
        (status = 401, description = "No valid token: evaluate again to get one", body = Refusal),
        (status = 503, description = "Too many streams; `Retry-After`", body = Refusal),
    ),
    security(("bearer" = []), ("internal_key" = []))
)]
pub(in crate::http) async fn events(
    reader: Result<Reader, Problem>,
    State(settings): State<GlobalSettingsService>,
    State(ofrep): State<Ofrep>,
    State(streams): State<Streams>,
    State(clock): State<Clock>,
    Query(EventsParameters { token, since }): Query<EventsParameters>,
    LastEventId(last): LastEventId,
) -> Result<Response, Problem> {
    let until = match token {
        Some(token) => ofrep.keys().admits(&token).ok_or(auth::Refusal::Pass)?,
        None => reader?.until,
    };
    let client_revision = last.or(since);
    let place = streams.enter(None)?;
    let life = sse::until(until, &clock) + jittered(GRACE, 0.0..1.0);
    let mut revisions = settings.revisions();
    revisions.mark_unchanged();
    let page = ofrep.page(&settings, clock.now()).await?;
    let told = (client_revision == Some(page.revision())).then(|| page.tag.clone());
    // Who holds the page is sent no event yet, but an id to come back with.
    let start = told.is_some().then(|| page.revision());
    Ok(sse::answer(place, life, start, Refetches { settings, ofrep, clock, revisions, told }))
}

struct Refetches {
    settings: GlobalSettingsService,
    ofrep: Ofrep,
    clock: Clock,
    revisions: watch::Receiver<i64>,
    /// The tag of what the client was told last.
    told: Option<HeaderValue>,
}

impl Events for Refetches {
    async fn next(&mut self) -> Vec<Bytes> {
        loop {
            if self.told.is_some() {
                // An error would mean that the settings are gone, and `self` holds them.
                let _ = self.revisions.changed().await;
            }
            // A page that cannot be written has been logged, and the next one may be.
            let Ok(page) = self.ofrep.page(&self.settings, self.clock.now()).await else {
                self.told = Some(HeaderValue::from_static("none"));
                continue;
            };
            if self.told.as_ref() != Some(&page.tag) {
                self.told = Some(page.tag.clone());
                return sse::event(page.revision(), "message", page.event.clone());
            }
        }
    }
}
