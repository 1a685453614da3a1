//! Somebody who is told: a real HTTP server that keeps what it gets, and answers as a test pleases.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use brune::config::{Alerts, Delivery, Secret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::Instant};

use super::wait::wait_until;

/// What makes its address a secret.
pub(crate) const TOKEN: &str = "a-token-of-the-receiver";
/// What it knows messages by, without what says that it is one.
pub(crate) const SIGNING: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A delivery that nobody has to wait long for.
pub(crate) const QUICK: Delivery = Delivery {
    enabled: true,
    interval: Duration::from_millis(25),
    batch: 20,
    lease: Duration::from_secs(3),
    max_retries: 3,
    retry_base: Duration::from_millis(10),
};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// What it was answered.
    pub(crate) status: StatusCode,
}

impl Received {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Whether one of its signatures is made with `secret`, as whoever receives it would find out.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(secret).unwrap()).unwrap();
        let id = self.header("webhook-id");
        let at = self.header("webhook-timestamp");
        mac.update(format!("{id}.{at}.{}", self.text).as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').any(|candidate| candidate == signature)
    }
}

/// What is answered: a status, headers as JSON, a body.
pub(crate) type Answer = (u16, Value, String);

/// A bare status.
pub(crate) fn status(status: u16) -> Answer {
    (status, json!({}), String::new())
}

type Answers = Box<dyn FnMut(&str) -> Answer + Send>;

struct Shared {
    received: Mutex<Vec<Received>>,
    answers: Mutex<Answers>,
    open: watch::Sender<bool>,
}

/// A receiver; it ends with the test.
pub(crate) struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn new() -> Self {
        Self::answering(|_| status(204)).await
    }

    /// One that answers each body as `answers` says.
    pub(crate) async fn answering(answers: impl FnMut(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            answers: Mutex::new(Box::new(answers)),
            open: watch::Sender::new(true),
        });
        let router = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, shared, task }
    }

    /// Answers as `answers` says from now on.
    pub(crate) fn answer(&self, answers: impl FnMut(&str) -> Answer + Send + 'static) {
        *self.shared.answers.lock().unwrap() = Box::new(answers);
    }

    /// Takes what comes, and answers only when it is open again.
    pub(crate) fn open(&self, open: bool) {
        self.shared.open.send_replace(open);
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/{TOKEN}", self.port)
    }

    /// Alerts that go to it as to Discord.
    pub(crate) fn as_discord(&self) -> Alerts {
        let discord = Some(Secret::new(self.address()));
        Alerts { discord, allow_private: true, ..Alerts::default() }
    }

    /// Messages that go to it as webhooks.
    pub(crate) fn as_webhook(&self) -> Alerts {
        let webhook = Some(Secret::new(self.address()));
        let signing = vec![Secret::new(format!("whsec_{SIGNING}"))];
        Alerts { webhook, signing, allow_private: true, ..Alerts::default() }
    }

    /// All that came.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// The number of calls so far, those that it refused included.
    pub(crate) fn call_count(&self) -> usize {
        self.shared.received.lock().unwrap().len()
    }

    /// What it took, as JSON, as soon as it is so much.
    pub(crate) async fn takes(&self, count: usize) -> Vec<Value> {
        wait_until("enough was delivered", async || count <= self.taken().len()).await;
        self.taken()
    }

    /// What it took so far, as JSON.
    pub(crate) fn taken(&self) -> Vec<Value> {
        let received = self.shared.received.lock().unwrap();
        let messages = received.iter().filter(|request| request.status.is_success());
        messages.map(Received::json).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let (status, response_headers, body) = shared.answers.lock().unwrap()(&text);
    let status = StatusCode::from_u16(status).unwrap();
    let received = Received { at: Instant::now(), uri, headers, text, status };
    shared.received.lock().unwrap().push(received);
    shared.open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
    let headers: HeaderMap = response_headers
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.as_str().unwrap().parse().unwrap()))
        .map(|(name, value): (axum::http::HeaderName, axum::http::HeaderValue)| (name, value))
        .collect();
    (status, headers, body).into_response()
}
