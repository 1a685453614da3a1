//! The realtime provider: prompt and model in, a client secret out, which is handed out once and kept nowhere.

mod answer;

use std::{ops::Range, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::{
    Method, Url,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, warn};

use answer::ProviderError;
pub use answer::RealtimeFault;

use crate::{
    clock::jittered,
    config::Secret,
    ids::RequestId,
    metrics::Metrics,
    outbound::{self, AddressPolicy, CallLimits, Outbound},
    sessions::session::Session,
};

/// How long the provider may take, its repeats and their pauses included. A request is answered within five
/// seconds; the rest is for the database.
pub(super) const TOTAL: Duration = Duration::from_millis(3500);
const CONNECT: Duration = Duration::from_secs(1);
/// Bytes of an answer; one is about two thousand.
const LARGEST: usize = 64 * 1024;
/// How often a call is made at most.
const CALLS: u32 = 3;
/// The pause before the first repeat, which doubles; half to all of it, so that instances do not come together.
const PAUSE: Duration = Duration::from_millis(200);
const SPREAD: Range<f64> = 0.5..1.0;
/// Seconds for which a client secret opens a session; how long that lasts is ours to decide.
const SECRET_SECONDS: u32 = 600;

/// What a client opens the session with.
#[derive(Debug, Clone)]
pub struct MintedSecret {
    /// The provider's secret for this client; shown as `***`.
    pub client_secret: Secret,
    /// Until when it opens a session.
    pub expires_at: DateTime<Utc>,
    /// The provider's name for the session.
    pub(super) session_id: String,
    /// The provider's name for the request.
    pub(super) request_id: Option<RequestId>,
}

/// A client of the realtime provider. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Realtime {
    http: Outbound,
    url: Url,
    key: Secret,
    metrics: Metrics,
}

impl Realtime {
    /// One that speaks to the provider at `root`, with `key`.
    ///
    /// # Errors
    /// TLS cannot be set up on this machine.
    pub fn new(
        mut root: Url,
        key: Secret,
        metrics: Metrics,
    ) -> Result<Self, outbound::OutboundError> {
        let bounds = CallLimits {
            connect_timeout: CONNECT,
            total_timeout: TOTAL,
            max_body_bytes: LARGEST,
            address_policy: AddressPolicy::Anywhere,
        };
        if let Ok(mut path) = root.path_segments_mut() {
            path.pop_if_empty().extend(["realtime", "client_secrets"]);
        }
        Ok(Self { http: Outbound::new(bounds)?, url: root, key, metrics })
    }

    /// A client secret for `session`, by `until` at the latest. What surely made none is tried again, twice at
    /// most; what may have made one is not. `instructions`, if there are any, take the place of the stored
    /// prompt.
    pub(super) async fn mint(
        &self,
        session: &Session,
        instructions: Option<&str>,
        request: &RequestId,
        until: Instant,
    ) -> Result<MintedSecret, RealtimeFault> {
        let until = until.min(Instant::now() + TOTAL);
        let body = body(session, instructions);
        let mut calls = 1;
        loop {
            let fault = match self.call(&body, request, until).await {
                Ok(minted) => return Ok(minted),
                Err(fault) => fault,
            };
            let pause = jittered(PAUSE * calls, SPREAD).max(fault.wait().unwrap_or_default());
            // The pause may be any that the provider names: it is compared, never added.
            let left = until.saturating_duration_since(Instant::now());
            if !fault.is_passing() || calls == CALLS || left <= pause {
                return Err(fault);
            }
            sleep(pause).await;
            calls += 1;
        }
    }

    /// One call, counted and, when it fails, logged.
    async fn call(
        &self,
        body: &Value,
        request: &RequestId,
        until: Instant,
    ) -> Result<MintedSecret, RealtimeFault> {
        let begun = Instant::now();
        let sent = self.http.request(Method::POST, self.url.clone());
        let sent = sent.bearer_auth(self.key.expose()).json(body);
        let sent = sent.header("x-client-request-id", request.as_str());
        let answered = match timeout_at(until, self.http.send(sent)).await {
            Ok(answered) => answered.map_err(ProviderError::of_fault),
            Err(_) => Err(ProviderError::of_fault(outbound::OutboundError::Timeout)),
        };
        let minted = answered.and_then(|answer| answer::read(&answer));
        let outcome = minted.as_ref().map_or_else(|told| told.fault.outcome(), |_| "done");
        self.metrics.realtime_call(outcome, begun.elapsed());
        minted.map_err(|told| {
            log(&told);
            told.fault
        })
    }
}

/// What is asked for.
fn body(session: &Session, instructions: Option<&str>) -> Value {
    let mut wanted = json!({"type": "realtime", "model": session.model});
    match instructions {
        Some(text) => wanted["instructions"] = json!(text),
        // The version is text to the provider, whatever it looks like.
        None => {
            wanted["prompt"] = json!({"id": session.prompt_id, "version": session.prompt_version});
        }
    }
    let life = json!({"anchor": "created_at", "seconds": SECRET_SECONDS});
    json!({"expires_after": life, "session": wanted})
}

/// Never the provider's own words: they may repeat the key.
fn log(told: &ProviderError) {
    let ProviderError { fault, status, code, param, request_id } = told;
    let (status, code, param) = (status.unwrap_or_default(), code.as_deref(), param.as_deref());
    let provider_request_id = request_id.as_ref().map(RequestId::as_str);
    if fault.is_for_an_operator() {
        error!(status, code, param, provider_request_id, %fault, "the realtime provider refuses this service");
    } else {
        warn!(status, code, param, provider_request_id, %fault, "a call of the realtime provider failed");
    }
}

/// The seconds that an answer asks to wait, if it says so in seconds.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
