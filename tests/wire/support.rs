//! The server under test, with routes of its own, and a client that speaks in bytes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::FromRef,
    routing::{any, get, patch, post},
};
use brune::{
    config::{Auth, Secret},
    http::{
        Body, Limits, PathSegment, Problem, SuperAdmin, TokenVerifier, explain, serve,
        with_middleware,
    },
    json::{FieldError, StrictJson},
    metrics::Metrics,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::wait::no_hang;

pub(crate) const LIMITS: Limits = Limits {
    connections: 512,
    head: Duration::from_millis(300),
    write: Duration::from_millis(500),
    request: Duration::from_millis(500),
    drain: Duration::from_secs(5),
};

#[derive(Clone, FromRef)]
struct State {
    keys: TokenVerifier,
    slow: SlowRoute,
}

/// The route `/slow`, which a test holds.
#[derive(Clone)]
struct SlowRoute {
    /// Gets a message when a request has reached the route.
    reached: mpsc::UnboundedSender<()>,
    /// The route answers when a test has notified it.
    release: Arc<Notify>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) metrics: Metrics,
    pub(crate) task: JoinHandle<()>,
    /// Gets a message when a request has reached `/slow`.
    pub(crate) reached: mpsc::UnboundedReceiver<()>,
    /// Lets `/slow` answer.
    pub(crate) release: Arc<Notify>,
}

pub(crate) async fn server(limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, reached) = mpsc::unbounded_channel();
    let release = Arc::new(Notify::new());
    let slow = SlowRoute { reached: sender, release: Arc::clone(&release) };
    let shutdown = CancellationToken::new();
    let metrics = Metrics::default();
    let router = with_middleware(
        routes(State { keys: keys(), slow }),
        &limits,
        brune::secret_scanner::SecretScanner::default(),
        metrics.clone(),
        brune::http::PathPrefix::default(),
        None,
    );
    let task = TaskTracker::new().spawn(serve(listener, router, limits, shutdown.clone()));
    Server { address, shutdown, metrics, task, reached, release }
}

fn keys() -> TokenVerifier {
    let jwt_secrets = vec![Secret::new("a secret of this test, 32 bytes and more".to_owned())];
    TokenVerifier::new(&Auth {
        jwt_secrets,
        issuer: None,
        audience: None,
        internal_api_key: None,
        max_life: Auth::DEFAULT_MAX_LIFE,
    })
}

fn routes(state: State) -> Router {
    Router::new()
        .route("/ok", get(async || "fine"))
        .route("/slow", get(slow))
        .route("/stuck", any(async || std::future::pending::<()>().await))
        .route("/panic", get(panics))
        .route("/log", get(logs))
        .route("/large", get(async || vec![b'x'; 64 * 1024 * 1024]))
        .route("/medium", get(async || vec![b'x'; 1024 * 1024]))
        .route("/events", get(events))
        .route("/echo", post(echo))
        .route("/patch", patch(echo))
        .route("/name/{name}", get(async |PathSegment(name): PathSegment| name))
        .route("/admin", get(async |_: SuperAdmin| "admin"))
        .route("/problems/{code}", get(explain))
        .with_state(state)
}

/// Events without an end, one after the other.
async fn events() -> axum::body::Body {
    let events =
        futures_util::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b'x'; 1024]));
    axum::body::Body::from_stream(events)
}

async fn slow(axum::extract::State(route): axum::extract::State<SlowRoute>) -> &'static str {
    let _ = route.reached.send(());
    route.release.notified().await;
    "slowly"
}

/// Logs two lines in two steps.
async fn logs() -> &'static str {
    tracing::info!("before the pause");
    tokio::task::yield_now().await;
    tracing::info!("after the pause");
    "logged"
}

async fn panics() -> &'static str {
    panic!("a secret in a panic")
}

async fn echo(Body { value, .. }: Body<StrictJson>) -> Result<String, Problem> {
    match value {
        StrictJson::Object(members) => match members.as_slice() {
            [(name, StrictJson::String(text))] if name == "text" => Ok(text.clone()),
            _ => Err(Problem::malformed(FieldError::at("/text", "required", "is required"))),
        },
        json => {
            let detail = format!("must be an object, and is {}", json.kind());
            Err(Problem::malformed(FieldError::at("", "wrong_type", detail)))
        }
    }
}

/// One answer, and whether the server closed the connection after it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// That it is a whole problem document of `status` and `code`.
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        let document: Value = serde_json::from_str(&self.body)
            .unwrap_or_else(|_| panic!("no problem: {} {:?}", self.head, self.body));
        assert_eq!((self.status, document["code"].as_str()), (status, Some(code)), "{document}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(document["status"], status);
        assert_eq!(document["type"], format!("/problems/{}", code.replace('_', "-")));
        assert_eq!(document["request_id"].as_str(), self.header("x-request-id"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("referrer-policy"), Some("no-referrer"));
        assert!(self.header("content-security-policy").is_some());
        assert!(self.header("server").is_none());
    }
}

impl Server {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes` and reads until the server closes; it must do so by itself.
    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        // A server that refuses early may close before all is sent.
        let _ = stream.write_all(bytes.as_ref()).await;
        Answer::read(&until_closed(&mut stream).await)
    }

    /// A request of `line` with `headers` after a sound `Host`.
    pub(crate) async fn ask(&self, line: &str, headers: &str, body: &str) -> Answer {
        self.send(format!(
            "{line} HTTP/1.1\r\nHost: brune\r\n{headers}Connection: close\r\n\r\n{body}"
        ))
        .await
    }

    pub(crate) async fn post(&self, body: &str) -> Answer {
        let length = body.len();
        let headers = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        self.ask("POST /echo", &headers, body).await
    }
}

/// Everything the server sends until it closes the connection.
pub(crate) async fn until_closed(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        match no_hang("the server closes the connection", stream.read(&mut part)).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&all).into_owned(),
            Ok(read) => all.extend_from_slice(&part[..read]),
        }
    }
}
