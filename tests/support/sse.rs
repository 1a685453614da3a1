//! Server-sent events as a client over a socket hears them.

use std::net::SocketAddr;

use brune::http::{Limits, serve};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::task::TaskTracker;

use super::{Instance, wait::no_hang};

/// An instance behind the real accept loop.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) task: JoinHandle<()>,
}

impl Served {
    /// `instance`, until its `ending`.
    pub(crate) async fn of(instance: &Instance, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve(listener, instance.router.clone(), limits, instance.shutdown.clone());
        Self { address, task: TaskTracker::new().spawn(serving) }
    }

    /// A GET of `path` with `headers`.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = reqwest::Client::new().get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// A stream from `path`.
    pub(crate) async fn stream(&self, path: &str, headers: &[(&str, &str)]) -> Stream {
        let response = self.get(path, headers).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Stream { response, head: String::new(), heard: String::new() };
        stream.head = stream.block().await.unwrap();
        assert!(stream.head.starts_with(": connected\nretry: "), "{}", stream.head);
        stream
    }
}

/// A stream that is being heard.
pub(crate) struct Stream {
    response: Response,
    /// What came before the first event.
    pub(crate) head: String,
    heard: String,
}

/// One event.
#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Stream {
    /// What comes up to the next blank line; `None` at the end.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.heard.split_once("\n\n") {
                let block = block.to_owned();
                let rest = rest.to_owned();
                self.heard = rest;
                return Some(block);
            }
            let part = no_hang("the stream goes on or ends", self.response.chunk()).await;
            let part = part.expect("it ends as it should")?;
            self.heard.push_str(std::str::from_utf8(&part).unwrap());
        }
    }

    /// The next event; comments are passed over.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            let block = self.block().await.expect("an event before the end");
            if block.starts_with(':') {
                continue;
            }
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_else(|| panic!("no {name} in {block}"))
            };
            let id = field("id: ").parse().unwrap();
            let name = field("event: ").to_owned();
            return Event { id, name, data: serde_json::from_str(field("data: ")).unwrap() };
        }
    }
}
