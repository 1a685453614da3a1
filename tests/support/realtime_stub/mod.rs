//! A stand-in for the realtime provider: as strict about what it is asked as the provider, and as bad as one can
//! be when it is told to. Which scenario is played is said by the model, or by the header `x-stub-scenario`.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// What a session may hold.
const SESSION: [&str; 14] = [
    "type",
    "model",
    "prompt",
    "instructions",
    "output_modalities",
    "audio",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "max_output_tokens",
    "truncation",
    "tracing",
    "include",
];

/// A provider that answers until it is dropped.
pub(crate) struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    calls: Mutex<Vec<Value>>,
    /// How often each scenario was played.
    played: Mutex<HashMap<String, usize>>,
    /// Whether slow answers go out.
    released: watch::Sender<bool>,
    delay: Duration,
}

impl Stub {
    /// One on a free port.
    pub(crate) async fn new() -> Self {
        Self::on("127.0.0.1:0").await
    }

    /// One at `address`.
    pub(crate) async fn on(address: &str) -> Self {
        Self::taking(Duration::ZERO, address).await
    }

    /// One at `address` that takes so long for each answer.
    pub(crate) async fn taking(delay: Duration, address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            calls: Mutex::default(),
            played: Mutex::default(),
            released: watch::Sender::new(false),
            delay,
        });
        let router = Router::new()
            .route("/v1/realtime/client_secrets", post(mint))
            .route("/v1/realtime/sessions", post(beta))
            .route("/v1/models", get(models))
            .route("/_calls", get(calls))
            .with_state(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, _tasks: tasks }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `BRUNE_OPENAI_BASE_URL` is set to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What it says of itself where it runs alone.
    pub(crate) fn announcement(&self) -> String {
        let url = self.url();
        let address = self.address;
        format!(
            "the realtime provider's stand-in answers on {url}\n\
             what it was asked: curl -s http://{address}/_calls"
        )
    }

    /// What it was asked for a secret, in order.
    pub(crate) fn calls(&self) -> Vec<Value> {
        held(&self.shared.calls).clone()
    }

    /// Lets those answers out that are slow.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A refusal in the provider's words.
struct Refusal(StatusCode, &'static str, Value, Value, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, kind, code, param, message) = self;
        let error = json!({"type": kind, "code": code, "param": param, "message": message});
        (status, [(header::CONTENT_TYPE, "application/json")], json!({"error": error}).to_string())
            .into_response()
    }
}

fn invalid(code: &str, param: &str, message: impl Into<String>) -> Refusal {
    let kind = "invalid_request_error";
    Refusal(StatusCode::BAD_REQUEST, kind, json!(code), json!(param), message.into())
}

async fn mint(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Infallible> {
    let read: Value = serde_json::from_slice(&body).unwrap_or_default();
    let number = {
        let mut calls = held(&shared.calls);
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        calls.push(json!({
            "authorized": said("authorization").is_some(),
            "client_request_id": said("x-client-request-id"),
            "body": read,
        }));
        calls.len()
    };
    tokio::time::sleep(shared.delay).await;
    let answer = match check(&headers, &read) {
        Ok(()) => play(&shared, &headers, &read, number).await,
        Err(refusal) => refusal.into_response(),
    };
    Ok(named(answer, number))
}

fn named(mut answer: Response, number: usize) -> Response {
    if let Ok(id) = HeaderValue::from_str(&format!("req_stub_{number:06}")) {
        answer.headers_mut().insert("x-request-id", id);
    }
    answer
}

fn key(headers: &HeaderMap) -> &str {
    let request = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    request.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

/// As the provider words it, with the key in it.
fn unauthorized(headers: &HeaderMap) -> Refusal {
    let message = format!("Incorrect API key provided: {}. Find yours at …", key(headers));
    let kind = "invalid_request_error";
    let code = json!("invalid_api_key");
    Refusal(StatusCode::UNAUTHORIZED, kind, code, Value::Null, message)
}

/// What the provider would refuse.
fn check(headers: &HeaderMap, body: &Value) -> Result<(), Refusal> {
    let said =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if key(headers).is_empty() {
        return Err(unauthorized(headers));
    }
    if !said("openai-beta").is_empty() {
        return Err(invalid(
            "beta_api_shape_disabled",
            "",
            "The Realtime Beta API is no longer supported.",
        ));
    }
    if said("content-type") != "application/json" || !body.is_object() {
        return Err(invalid("unsupported_content_type", "", "Send application/json."));
    }
    check_members(body, &["expires_after", "session"], "")?;
    let session = &body["session"];
    check_members(session, &SESSION, "session.")?;
    if session["type"] != "realtime" {
        return Err(invalid(
            "missing_required_parameter",
            "session.type",
            "Missing 'session.type'.",
        ));
    }
    check_life(&body["expires_after"])?;
    check_prompt(session)
}

fn check_members(object: &Value, known: &[&str], prefix: &str) -> Result<(), Refusal> {
    let Some(members) = object.as_object() else {
        let place = prefix.trim_end_matches('.');
        return Err(invalid("invalid_type", place, format!("'{place}' is no object.")));
    };
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let place = format!("{prefix}{name}");
            Err(invalid("unknown_parameter", &place, format!("Unknown parameter: '{place}'.")))
        }
    }
}

fn check_life(life: &Value) -> Result<(), Refusal> {
    if life.is_null() {
        return Ok(());
    }
    check_members(life, &["anchor", "seconds"], "expires_after.")?;
    let fits = life["seconds"].as_u64().is_some_and(|seconds| (10..=7200).contains(&seconds));
    if fits && life["anchor"] == "created_at" {
        return Ok(());
    }
    Err(invalid("invalid_value", "expires_after.seconds", "Expected 10 to 7200 from created_at."))
}

fn check_prompt(session: &Value) -> Result<(), Refusal> {
    let prompt = &session["prompt"];
    if prompt.is_null() {
        return Ok(());
    }
    check_members(prompt, &["id", "version", "variables"], "session.prompt.")?;
    let Some(id) = prompt["id"].as_str() else {
        return Err(invalid("missing_required_parameter", "session.prompt.id", "Missing id."));
    };
    if !(prompt["version"].is_string() || prompt["version"].is_null()) {
        let message = "Invalid type for 'session.prompt.version': expected a string.";
        return Err(invalid("invalid_type", "session.prompt.version", message));
    }
    if id.ends_with("_gone") {
        let message = format!("Prompt with id '{id}' not found.");
        let kind = "invalid_request_error";
        let status = StatusCode::NOT_FOUND;
        return Err(Refusal(status, kind, Value::Null, Value::Null, message));
    }
    Ok(())
}

/// The answer to a request that is right.
async fn play(shared: &Shared, headers: &HeaderMap, body: &Value, number: usize) -> Response {
    let model = body["session"]["model"].as_str().unwrap_or("gpt-realtime-2.1");
    let scenario =
        headers.get("x-stub-scenario").and_then(|value| value.to_str().ok()).unwrap_or(model);
    let played = {
        let mut played = held(&shared.played);
        let played = played.entry(scenario.to_owned()).or_default();
        *played += 1;
        *played
    };
    let busy = |status, code: &str| {
        Refusal(status, "server_error", json!(code), Value::Null, "Slow down.".to_owned())
    };
    match scenario {
        "stub-429" | "stub-429-once" if scenario == "stub-429" || played == 1 => {
            let refusal = busy(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded");
            ([(header::RETRY_AFTER, if scenario == "stub-429" { "7" } else { "0" })], refusal)
                .into_response()
        }
        "stub-401" => unauthorized(headers).into_response(),
        "stub-quota" => busy(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota").into_response(),
        "stub-500" => busy(StatusCode::INTERNAL_SERVER_ERROR, "server_error").into_response(),
        "stub-503-twice" if played < 3 => {
            busy(StatusCode::SERVICE_UNAVAILABLE, "slow_down").into_response()
        }
        "stub-no-model" => {
            let message = format!("The model '{model}' does not exist.");
            let code = json!("model_not_found");
            let kind = "invalid_request_error";
            Refusal(StatusCode::NOT_FOUND, kind, code, json!("session.model"), message)
                .into_response()
        }
        "stub-slow" => {
            let mut released = shared.released.subscribe();
            let _ = released.wait_for(|is_released| *is_released).await;
            minted(body, number)
        }
        "stub-drop" => {
            let broken = futures_util::stream::iter([Err::<Bytes, _>(io::Error::other("gone"))]);
            Body::from_stream(broken).into_response()
        }
        "stub-html" => {
            ([(header::CONTENT_TYPE, "text/html")], "<html>Welcome</html>").into_response()
        }
        "stub-empty" => (StatusCode::OK, r#"{"session": {"id": "sess_x"}}"#).into_response(),
        "stub-huge" => vec![b' '; 10 * 1024 * 1024].into_response(),
        "stub-redirect" => {
            let elsewhere =
                [(header::LOCATION, "http://elsewhere.test/v1/realtime/client_secrets")];
            (StatusCode::TEMPORARY_REDIRECT, elsewhere).into_response()
        }
        _ => minted(body, number),
    }
}

fn minted(body: &Value, number: usize) -> Response {
    let mut session = body["session"].clone();
    session["object"] = json!("realtime.session");
    session["id"] = json!(format!("sess_stub_{number:06}"));
    // As in the provider's own example, where it means nothing.
    session["expires_at"] = json!(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let life = body["expires_after"]["seconds"].as_u64().unwrap_or(600);
    let value = format!("ek_stub_{number:06}");
    let answer = json!({"value": value, "expires_at": now + life, "session": session});
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

async fn beta() -> Refusal {
    invalid("beta_api_shape_disabled", "", "The Realtime Beta API is no longer supported.")
}

async fn models() -> Response {
    let models = json!({"object": "list", "data": [
        {"id": "gpt-realtime-2.1", "object": "model", "shutdown_date": null},
        {"id": "gpt-realtime-2.1-mini", "object": "model", "shutdown_date": null},
        {"id": "gpt-realtime", "object": "model", "shutdown_date": "2027-01-20"},
    ]});
    ([(header::CONTENT_TYPE, "application/json")], models.to_string()).into_response()
}

async fn calls(State(shared): State<Arc<Shared>>) -> Response {
    let calls = Value::from(held(&shared.calls).clone());
    ([(header::CONTENT_TYPE, "application/json")], calls.to_string()).into_response()
}
