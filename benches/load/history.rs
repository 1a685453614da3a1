//! A page of the history: no slower where it is long.

use std::time::{Duration, Instant};

use chrono::{SecondsFormat, TimeDelta};
use hyper::Method;
use serde_json::Value;

use crate::{
    catalog,
    client::Client,
    rows::{BUSY, RARE},
    table::{Times, line},
    world::{Instance, World, admin},
};

const BAR: f64 = 2.0;
/// Pages of each kind.
const PAGES: usize = 400;
/// No kind of page is measured longer.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn run(world: &mut World) {
    // Made before either is spoken to: making one takes longer than a connection may lie idle.
    let instances = [world.instance(10, 1_000).await, world.instance(10, 1_000_000).await];
    let mut short = Side::of(&instances[0]).await;
    let mut long = Side::of(&instances[1]).await;
    for (what, query) in kinds() {
        let queries = [query(&short), query(&long)];
        let mut times = [Times::new(), Times::new()];
        let started_at = Instant::now();
        for turn in 0..PAGES {
            for (at, side) in [&mut short, &mut long].into_iter().enumerate() {
                let took = side.page(&queries[at]).await;
                if 20 < turn {
                    times[at].add(took);
                }
            }
            if LIMIT < started_at.elapsed() {
                break;
            }
        }
        let [few, many] = &times;
        let ratio = many.median() / few.median();
        line(&format!("history, {what}"), ratio, BAR, false, &format!("{few} / {many}"));
    }
}

type Query = Box<dyn Fn(&Side) -> String>;

/// The kinds of pages, each as the query that asks a side for it.
fn kinds() -> Vec<(&'static str, Query)> {
    let fixed = |query: String| -> Query { Box::new(move |_| query.clone()) };
    vec![
        ("newest", fixed(String::new())),
        ("of a key", fixed(format!("key={}", catalog::key(4)))),
        ("of nobody's key", fixed("key=NOBODY_S".to_owned())),
        ("by a person", fixed(format!("changed_by={BUSY}"))),
        ("by a person long gone", fixed(format!("changed_by={RARE}"))),
        ("of a kind that is not there", fixed("action=refused".to_owned())),
        ("of a request", Box::new(|side| format!("request_id={}", side.request))),
        ("since", Box::new(|side| format!("since={}", side.middle))),
        ("until", Box::new(|side| format!("until={}", side.middle))),
        (
            "of a key, until",
            Box::new(|side| format!("key={}&until={}", catalog::key(4), side.middle)),
        ),
        ("of a key by a person", fixed(format!("key={}&changed_by={BUSY}", catalog::key(4)))),
        (
            "of a key by a person long gone",
            fixed(format!("key={}&changed_by={RARE}", catalog::key(4))),
        ),
        ("deep", Box::new(|side| format!("cursor={}", side.cursor))),
    ]
}

struct Side {
    client: Client,
    token: String,
    /// An instant in the middle of the history.
    middle: String,
    /// A request of the history.
    request: String,
    /// A page that is not the first.
    cursor: String,
}

impl Side {
    async fn of(instance: &Instance) -> Self {
        let client = Client::of(instance.address()).await;
        let middle = sqlx::query_as(
            "select changed_at, request_id from app_global_setting_audit
             where seq = (select max(seq) / 2 from app_global_setting_audit)",
        );
        let (middle, request): (chrono::DateTime<chrono::Utc>, String) =
            middle.fetch_one(instance.pool()).await.unwrap();
        let middle =
            (middle + TimeDelta::milliseconds(1)).to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut side = Self { client, token: admin(), middle, request, cursor: String::new() };
        let page = side.read(&format!("limit=200&until={}", side.middle)).await;
        assert_eq!(page["entries"].as_array().unwrap().len(), 200);
        // A cursor is good with its own filters only.
        side.cursor =
            format!("{}&limit=200&until={}", page["next_cursor"].as_str().unwrap(), side.middle);
        side
    }

    async fn read(&mut self, query: &str) -> Value {
        let path = format!("/admin/global-settings/history?{query}");
        let page = self.client.expect(Method::GET, &path, &self.token, String::new()).await;
        serde_json::from_slice(&page).unwrap()
    }

    async fn page(&mut self, query: &str) -> Duration {
        let path = format!("/admin/global-settings/history?{query}");
        let started_at = Instant::now();
        self.client.expect(Method::GET, &path, &self.token, String::new()).await;
        started_at.elapsed()
    }
}
