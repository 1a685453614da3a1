//! The client of OpenAI's realtime API.

mod response;

use std::{ops::Range, time::Duration};

use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, warn};

use response::ProviderError;

use crate::{
    clock::jittered,
    config::Secret,
    ids::RequestId,
    metrics::Metrics,
    outbound::{self, AddressPolicy, CallLimits, Outbound},
    sessions::{
        realtime::{error::RealtimeError, secret::MintedSecret},
        session::Session,
    },
};

/// Total timeout, retries and pauses included. Requests have a deadline of five seconds; the rest is for the database.
const TOTAL: Duration = Duration::from_millis(3500);
const CONNECT: Duration = Duration::from_secs(1);
/// Maximum size of a response in bytes; a typical response has two thousand.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// Maximum number of calls.
const MAX_CALLS: u32 = 3;
/// Backoff before the first retry; grows linearly.
const BACKOFF: Duration = Duration::from_millis(200);
/// Jitter of the backoff, so that instances do not retry at the same time.
const JITTER: Range<f64> = 0.5..1.0;
/// Validity of a client secret in seconds, for opening a session; the session may last longer.
// Also the provider's default, stated because the default may change.
const SECRET_SECONDS: u32 = 600;

/// A client of OpenAI's realtime API. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct OpenAi {
    http: Outbound,
    url: Url,
    key: Secret,
    metrics: Metrics,
}

impl OpenAi {
    /// Creates a client for the API at `root`, with the API key `key`.
    ///
    /// # Errors
    /// TLS is not available on this machine.
    pub(super) fn new(
        mut root: Url,
        key: Secret,
        metrics: Metrics,
    ) -> Result<Self, outbound::OutboundError> {
        let bounds = CallLimits {
            connect_timeout: CONNECT,
            total_timeout: TOTAL,
            max_body_bytes: MAX_RESPONSE_BYTES,
            // The operator configures the address, which may be a local proxy.
            address_policy: AddressPolicy::Anywhere,
        };
        if let Ok(mut path) = root.path_segments_mut() {
            // The configured root may end with a slash.
            path.pop_if_empty().extend(["realtime", "client_secrets"]);
        }
        Ok(Self { http: Outbound::new(bounds)?, url: root, key, metrics })
    }

    /// Requests a client secret for `session` until `until`.
    ///
    /// Retries at most twice, and never after a timeout. `instructions` replace the stored prompt.
    pub(super) async fn mint(
        &self,
        session: &Session,
        instructions: Option<&str>,
        request: &RequestId,
        until: Instant,
    ) -> Result<MintedSecret, RealtimeError> {
        let until = until.min(Instant::now() + TOTAL);
        let body = body(session, instructions);
        let mut calls = 1;
        loop {
            let error = match self.call(&body, request, until).await {
                Ok(secret) => return Ok(secret),
                Err(error) => error,
            };
            // The requested pause is a minimum, so jitter never shortens the pause.
            let pause = jittered(BACKOFF * calls, JITTER).max(error.wait().unwrap_or_default());
            // Compared and never added, because the provider may request an arbitrarily long pause.
            let remaining = until.saturating_duration_since(Instant::now());
            if !error.is_transient() || calls == MAX_CALLS || pause >= remaining {
                return Err(error);
            }
            sleep(pause).await;
            calls += 1;
        }
    }

    /// Calls the API once, with metrics and a log line for an error.
    async fn call(
        &self,
        body: &Value,
        request: &RequestId,
        until: Instant,
    ) -> Result<MintedSecret, RealtimeError> {
        let started_at = Instant::now();
        let call = self.http.request(Method::POST, self.url.clone());
        let call = call.bearer_auth(self.key.expose()).json(body);
        // The provider logs the id, so a support request can name the call.
        let call = call.header("x-client-request-id", request.as_str());
        // The remaining time of the request may be shorter than the timeout of the client.
        let response = match timeout_at(until, self.http.send(call)).await {
            Ok(response) => response.map_err(ProviderError::no_response),
            Err(_) => Err(ProviderError::no_response(outbound::OutboundError::Timeout)),
        };
        let secret = response.and_then(|response| response::read(&response));
        let outcome = secret.as_ref().map_or_else(|failure| failure.error.outcome(), |_| "done");
        self.metrics.realtime_call(outcome, started_at.elapsed());
        secret.map_err(|failure| {
            log(&failure);
            failure.error
        })
    }
}

/// Returns the body of the request.
fn body(session: &Session, instructions: Option<&str>) -> Value {
    let mut config = json!({"type": "realtime", "model": session.model});
    match instructions {
        Some(text) => config["instructions"] = json!(text),
        // The provider expects the version as a string, even if numeric.
        None => {
            config["prompt"] = json!({"id": session.prompt_id, "version": session.prompt_version});
        }
    }
    // `created_at` is the only anchor of the provider's API.
    let expiry = json!({"anchor": "created_at", "seconds": SECRET_SECONDS});
    json!({"expires_after": expiry, "session": config})
}

/// Logs an error, without the provider's message, which may quote the API key.
fn log(failure: &ProviderError) {
    let ProviderError { error, status, code, param, request_id } = failure;
    // 0 in the log means no response.
    let status = status.unwrap_or_default();
    let code = code.as_deref();
    let param = param.as_deref();
    let provider_request_id = request_id.as_deref().map(RequestId::as_str);
    if error.needs_operator() {
        error!(status, code, param, provider_request_id, fault = %error, "the realtime provider rejects requests of this service");
    } else {
        warn!(status, code, param, provider_request_id, fault = %error, "request to the realtime provider failed");
    }
}
