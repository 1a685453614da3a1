//! A minimal HTTP client on one kept-alive connection: the cost of the client is part of every measurement.

use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

/// An HTTP/1.1 client with one connection.
pub(crate) struct Client {
    sender: http1::SendRequest<Body>,
    host: String,
    _connection: JoinSet<()>,
}

impl Client {
    /// Connects to `address`.
    pub(crate) async fn of(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let _ = connection.await;
        });
        Self { sender, host: address.to_string(), _connection: task }
    }

    /// Sends a request and reads the whole response. Returns the status and the body.
    async fn send(
        &mut self,
        media_type: &'static str,
        method: Method,
        path: &str,
        token: &str,
        body: String,
    ) -> (StatusCode, Bytes) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request.body(Body::from(body)).unwrap()).await;
        let response = response.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    }

    /// Sends a POST without a body, with `etag` as `If-None-Match`. Returns the status, the tag and the body.
    pub(crate) async fn flags(
        &mut self,
        path: &str,
        token: &str,
        etag: Option<&HeaderValue>,
    ) -> (StatusCode, Option<HeaderValue>, Bytes) {
        self.send_plain(Method::POST, path, token, etag).await
    }

    /// Sends a request without a body, with `etag` as `If-None-Match`. Returns the status, the tag and the body.
    pub(crate) async fn send_plain(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        etag: Option<&HeaderValue>,
    ) -> (StatusCode, Option<HeaderValue>, Bytes) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request.body(Body::empty()).unwrap()).await;
        let response = response.unwrap();
        let status = response.status();
        let tag = response.headers().get(header::ETAG).cloned();
        (status, tag, response.into_body().collect().await.unwrap().to_bytes())
    }

    /// Sends a JSON body. Returns the status.
    pub(crate) async fn status(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        body: String,
    ) -> StatusCode {
        self.send("application/json", method, path, token, body).await.0
    }

    /// Sends a JSON body. Returns the body of the response.
    ///
    /// # Panics
    /// The response is not a success.
    pub(crate) async fn expect(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        body: String,
    ) -> Bytes {
        self.expect_as("application/json", method, path, token, body).await
    }

    /// Sends a body of type `media_type`. Returns the body of the response.
    ///
    /// # Panics
    /// The response is not a success.
    pub(crate) async fn expect_as(
        &mut self,
        media_type: &'static str,
        method: Method,
        path: &str,
        token: &str,
        body: String,
    ) -> Bytes {
        let (status, answer) = self.send(media_type, method, path, token, body).await;
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&answer));
        answer
    }
}
