//! Lists and pages of proposals, and a PATCH beside them: 10 compared with 10,000 proposals, of which 100 are open.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    catalog,
    client::Client,
    table::{Times, line},
    world::{Instance, World, admin, admin_called},
};

const BAR: f64 = 2.0;
/// The number of settings; each open proposal changes a setting of its own.
const SETTINGS: usize = 400;
/// The number of proposals and of open ones, of each side.
const SIZES: [(usize, usize); 2] = [(10, 10), (10_000, 100)];
/// The rows of a page, so that both sides send as many.
const PAGE: usize = 10;
const REQUESTS: usize = 400;
/// Requests of each kind that are not measured.
const WARM_UP: usize = 20;
/// The author of every proposal.
const AUTHOR: &str = "author";

pub(crate) async fn run(world: &mut World) {
    let mut sides = Vec::new();
    for (at, (total, open)) in SIZES.into_iter().enumerate() {
        // Instances with as many settings and rows are the same.
        let instance = world.instance(SETTINGS + at, 0).await;
        sides.push(Side::of(instance, total, open).await);
    }
    // The first connection was idle for longer than the service permits.
    for side in &mut sides {
        side.client = Client::of(side.instance.address()).await;
    }
    for kind in KINDS {
        let mut times = [Times::new(), Times::new()];
        for turn in 0..REQUESTS {
            for (side, times) in sides.iter_mut().zip(&mut times) {
                let elapsed = side.timed(kind).await;
                if turn >= WARM_UP {
                    times.add(elapsed);
                }
            }
        }
        let [few, many] = times;
        let ratio = many.median() / few.median();
        line(&format!("proposals, {}", kind.name()), ratio, BAR, false, &format!("{few} / {many}"));
    }
}

const KINDS: [Kind; 7] = [
    Kind::List("newest", ""),
    Kind::List("open", "state=open"),
    Kind::List("of a person", "by=author"),
    Kind::List("of a key", "key=BENCH_SETTING_00004"),
    Kind::List("waiting for me", "waiting_for_me=true"),
    Kind::Proposal,
    Kind::Patch,
];

/// A kind of request.
#[derive(Clone, Copy)]
enum Kind {
    /// A page of the list; the name and the query.
    List(&'static str, &'static str),
    /// The page of an open proposal.
    Proposal,
    /// A change of a setting that an open proposal changes.
    Patch,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::List(name, _) => name,
            Self::Proposal => "a single one",
            Self::Patch => "PATCH beside them",
        }
    }
}

struct Side {
    instance: Instance,
    client: Client,
    token: String,
    /// The number of an open proposal.
    open: i64,
    /// The version of the setting that a PATCH changes.
    version: i64,
}

impl Side {
    /// Makes `total` proposals and withdraws all but `open` of them.
    async fn of(instance: Instance, total: usize, open: usize) -> Self {
        let client = Client::of(instance.address()).await;
        let mut side = Self { instance, client, token: admin_called(AUTHOR), open: 0, version: 1 };
        // The open proposals are the newest.
        for n in 0..total {
            side.open = side.propose(n % open).await;
            if n + open < total {
                let path = format!("/admin/proposals/{}/withdraw", side.open);
                let body = json!({"reason": "measuring"}).to_string();
                side.client.expect(Method::POST, &path, &side.token, body).await;
            }
        }
        side.token = admin();
        side
    }

    /// Proposes a change of the integer setting with number 4 · `at`, and returns the number of the proposal.
    async fn propose(&mut self, at: usize) -> i64 {
        let change = json!({"key": catalog::key(4 * at % SETTINGS), "value": 31, "version": 1});
        let body = json!({"reason": "measuring", "changes": [change]}).to_string();
        let path = "/admin/proposals";
        let answer = self.client.expect(Method::POST, path, &self.token, body).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["number"].as_i64().unwrap()
    }

    /// Sends a request of `kind` and returns the duration.
    async fn timed(&mut self, kind: Kind) -> Duration {
        let (method, path, body) = match kind {
            Kind::List(_, query) => {
                (Method::GET, format!("/admin/proposals?limit={PAGE}&{query}"), String::new())
            }
            Kind::Proposal => {
                (Method::GET, format!("/admin/proposals/{}", self.open), String::new())
            }
            Kind::Patch => {
                let value = self.version % 200;
                let change =
                    json!({"key": catalog::key(0), "value": value, "version": self.version});
                let body = json!({"reason": "measuring", "changes": [change]}).to_string();
                self.version += 1;
                (Method::PATCH, "/admin/global-settings".to_owned(), body)
            }
        };
        let path = path.trim_end_matches('&').to_owned();
        let started_at = Instant::now();
        self.client.expect(method, &path, &self.token, body).await;
        started_at.elapsed()
    }
}
