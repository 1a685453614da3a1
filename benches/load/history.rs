//! Pages of the history with each filter and each pair of filters, and counts by time (the timeline), which read every
//! matching entry: 1,000 compared with 1,000,000 entries.

use std::time::{Duration, Instant};

use chrono::{SecondsFormat, TimeDelta};
use hyper::Method;
use serde_json::Value;

use crate::{
    catalog,
    client::Client,
    rows::{BUSY, IMPORTER, RARE, RARELY_IMPORTED},
    table::{Times, line},
    world::{Instance, World, admin},
};

const BAR: f64 = 2.0;
/// Requests of each kind, and the maximum time for a kind.
const REQUESTS: usize = 400;
const LIMIT: Duration = Duration::from_secs(20);
/// The maximum time for counts of one kind: counts of a million entries take a second.
const LIMIT_OF_COUNTS: Duration = Duration::from_secs(5);
/// Requests of each kind that are not measured.
const WARM_UP: usize = 20;

pub(crate) async fn run(world: &mut World) {
    // Both are created before the first request: creation takes longer than a connection may be idle.
    let instances = [world.instance(10, 1_000).await, world.instance(10, 1_000_000).await];
    let mut sides = [Side::of(&instances[0]).await, Side::of(&instances[1]).await];
    for kind in kinds() {
        let times = compare(&mut sides, "", &kind, WARM_UP, LIMIT).await;
        report("history", &kind.name, &times);
    }
    for kind in kinds_of_counts() {
        let [few, many] = compare(&mut sides, "/timeline", &kind, 1, LIMIT_OF_COUNTS).await;
        if kind.is_linear {
            println!("{:<58} {few} / {many}", format!("counts, {}", kind.name));
        } else {
            report("counts", &kind.name, &[few, many]);
        }
    }
}

/// Sends the same request to both sides, alternating. Returns the latencies of each side.
async fn compare(
    sides: &mut [Side; 2],
    route: &str,
    kind: &Kind,
    warm_up: usize,
    limit: Duration,
) -> [Times; 2] {
    let mut times = [Times::new(), Times::new()];
    let started_at = Instant::now();
    for turn in 0..REQUESTS {
        for (side, times) in sides.iter_mut().zip(&mut times) {
            let query = kind.query(side);
            let elapsed = side.timed(route, &query).await;
            if turn >= warm_up {
                times.add(elapsed);
            }
        }
        if turn > warm_up && started_at.elapsed() > limit {
            break;
        }
    }
    times
}

fn report(what: &str, kind: &str, [few, many]: &[Times; 2]) {
    let ratio = many.median() / few.median();
    line(&format!("{what}, {kind}"), ratio, BAR, false, &format!("{few} / {many}"));
}

/// A kind of request.
struct Kind {
    name: String,
    filters: Vec<Filter>,
    /// Whether the number of matching entries grows with the history.
    is_linear: bool,
}

impl Kind {
    fn new(name: &str, filters: Vec<Filter>) -> Self {
        Self { name: name.to_owned(), filters, is_linear: false }
    }

    fn linear(name: &str, filters: Vec<Filter>) -> Self {
        Self { name: name.to_owned(), filters, is_linear: true }
    }

    fn query(&self, side: &Side) -> String {
        let filters: Vec<String> = self.filters.iter().map(|filter| filter.query(side)).collect();
        filters.join("&")
    }
}

#[derive(Clone)]
enum Filter {
    Key(usize),
    Person(&'static str),
    Action(&'static str),
    /// The request, the revision or the time in the middle of the history.
    Request,
    Revision,
    Since,
    Until,
    Cursor,
}

impl Filter {
    fn query(&self, side: &Side) -> String {
        match self {
            Self::Key(number) => format!("key={}", catalog::key(*number)),
            Self::Person(name) => format!("changed_by={name}"),
            Self::Action(name) => format!("action={name}"),
            Self::Request => format!("request_id={}", side.request),
            Self::Revision => format!("revision={}", side.revision),
            Self::Since => format!("since={}", side.middle),
            Self::Until => format!("until={}", side.middle),
            Self::Cursor => format!("cursor={}", side.cursor),
        }
    }
}

/// Every filter, every pair, and filters whose matches are rare, early or absent.
fn kinds() -> Vec<Kind> {
    let common = [
        ("key", Filter::Key(RARELY_IMPORTED)),
        ("person", Filter::Person(BUSY)),
        ("action", Filter::Action("update")),
        ("request", Filter::Request),
        ("revision", Filter::Revision),
        ("since", Filter::Since),
        ("until", Filter::Until),
    ];
    let mut kinds = vec![Kind::new("newest", Vec::new())];
    for (name, filter) in &common {
        kinds.push(Kind::new(name, vec![filter.clone()]));
    }
    for (index, (first, filter)) in common.iter().enumerate() {
        for (second, other) in &common[index + 1..] {
            let pair = vec![filter.clone(), other.clone()];
            kinds.push(Kind::new(&format!("{first} and {second}"), pair));
        }
    }
    kinds.extend(kinds_with_few_matches());
    kinds.push(Kind::new("deep", vec![Filter::Cursor]));
    kinds
}

fn kinds_with_few_matches() -> Vec<Kind> {
    use Filter::{Action, Key, Person, Request, Since};
    vec![
        Kind::new("person, early only", vec![Person(RARE)]),
        Kind::new("action, none", vec![Action("refused")]),
        Kind::new("key and person, five early", vec![Key(3), Person(RARE)]),
        Kind::new(
            "key and person, common, three early",
            vec![Key(RARELY_IMPORTED), Person(IMPORTER)],
        ),
        Kind::new("key and person, common, none", vec![Key(2), Person(IMPORTER)]),
        Kind::new(
            "key and action, common, three early",
            vec![Key(RARELY_IMPORTED), Action("import")],
        ),
        Kind::new("key and action, common, none", vec![Key(2), Action("import")]),
        Kind::new("person and action, common, none", vec![Person(IMPORTER), Action("update")]),
        Kind::new("person and action, none", vec![Person(BUSY), Action("refused")]),
        Kind::new("person and since, none", vec![Person(RARE), Since]),
        Kind::new("key and request, none", vec![Key(2), Request]),
        Kind::new("key, person and action, none", vec![Key(2), Person(BUSY), Action("import")]),
    ]
}

fn kinds_of_counts() -> Vec<Kind> {
    use Filter::{Action, Key, Person, Request, Revision};
    vec![
        Kind::linear("all", Vec::new()),
        Kind::linear("key", vec![Key(RARELY_IMPORTED)]),
        Kind::linear("person", vec![Person(BUSY)]),
        Kind::linear("action", vec![Action("update")]),
        Kind::linear("key and person", vec![Key(RARELY_IMPORTED), Person(BUSY)]),
        Kind::new("request", vec![Request]),
        Kind::new("revision", vec![Revision]),
        Kind::new("person, early only", vec![Person(RARE)]),
        Kind::new("action, none", vec![Action("refused")]),
        Kind::new("key and person, common, none", vec![Key(2), Person(IMPORTER)]),
        Kind::new("key and action, common, none", vec![Key(2), Action("import")]),
        Kind::new("person and action, common, none", vec![Person(IMPORTER), Action("update")]),
    ]
}

struct Side {
    client: Client,
    token: String,
    /// A time, a request and a revision in the middle of the history.
    middle: String,
    request: String,
    revision: i64,
    /// The second page of `middle`, with the filters that belong to the cursor.
    cursor: String,
}

impl Side {
    async fn of(instance: &Instance) -> Self {
        let client = Client::of(instance.address()).await;
        let middle = sqlx::query_as(
            "select changed_at, request_id, revision from app_global_setting_audit
             where seq = (select max(seq) / 2 from app_global_setting_audit)",
        );
        let (time, request, revision): (chrono::DateTime<chrono::Utc>, String, i64) =
            middle.fetch_one(instance.pool()).await.unwrap();
        let time = time + TimeDelta::milliseconds(1);
        let middle = time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let token = admin();
        let mut side = Self { client, token, middle, request, revision, cursor: String::new() };
        let page = side.read("", &format!("limit=200&until={}", side.middle)).await;
        let page: Value = serde_json::from_slice(&page).unwrap();
        assert_eq!(page["entries"].as_array().unwrap().len(), 200);
        // A cursor is valid with its own filters only.
        let next = page["next_cursor"].as_str().unwrap();
        side.cursor = format!("{next}&limit=200&until={}", side.middle);
        side
    }

    async fn read(&mut self, route: &str, query: &str) -> axum::body::Bytes {
        let path = format!("/admin/global-settings/history{route}?{query}");
        self.client.expect(Method::GET, &path, &self.token, String::new()).await
    }

    async fn timed(&mut self, route: &str, query: &str) -> Duration {
        let started_at = Instant::now();
        self.read(route, query).await;
        started_at.elapsed()
    }
}
