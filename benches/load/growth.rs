//! What takes longer with more of it: never more than in proportion. The time of an answer includes the database's and
//! that of other programs; the processor time is the service's own.

use std::{
    fs,
    time::{Duration, Instant},
};

use brune::settings::{Catalog, Format, IncomingDocument};
use hyper::Method;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::{
    catalog,
    client::Client,
    program::Program,
    scale,
    table::{Times, figure, line},
    world::{World, admin_called},
};

const SIZES: [usize; 3] = [625, 2_500, 10_000];
/// Changes of one PATCH.
const CHANGES: [usize; 3] = [60, 240, 960];
const TURNS: usize = 7;
/// Beyond what is in proportion.
const BAR: f64 = 1.3;
const PATCH_BAR_MS: f64 = 300.0;

pub(crate) async fn run(world: &mut World) {
    scale::run(world).await;
    read_alone();
    let mut services = Vec::new();
    for size in SIZES {
        services.push(Service::of(world, size).await);
    }
    for (format, media_type) in
        [("json", "application/json"), ("yaml", "application/yaml"), ("env", "text/plain")]
    {
        let mut exported = sides();
        let mut planned = sides();
        for _ in 0..TURNS {
            for (at, service) in services.iter_mut().enumerate() {
                let path = format!("/admin/config/export?format={format}");
                let document = service.timed(&mut exported[at], Method::GET, &path, "").await;
                let path = "/admin/config/import?dry_run=true";
                service.media_type = media_type;
                service.timed(&mut planned[at], Method::POST, path, &document).await;
                service.media_type = "application/json";
            }
        }
        compare(&format!("export, {format}"), &SIZES, &exported);
        compare(&format!("plan of an import, {format}"), &SIZES, &planned);
    }
    let mut imported = sides();
    let mut patched = sides();
    for turn in 0..TURNS {
        for (at, service) in services.iter_mut().enumerate() {
            let document = service.document(turn);
            let path = "/admin/config/import?reason=measuring&on_conflict=overwrite";
            service.timed(&mut imported[at], Method::POST, path, &document).await;
        }
        for (at, changes) in CHANGES.into_iter().enumerate() {
            services[2].change(&mut patched[at], changes, turn).await;
        }
    }
    compare("import, every setting changed", &SIZES, &imported);
    compare("PATCH", &CHANGES, &patched);
    for (what, body) in megabytes() {
        let mut refusal = Times::new();
        for _ in 0..TURNS {
            services[2].refused(&mut refusal, &body).await;
        }
        let worst = format!("{refusal}, {} kB", body.len() / 1000);
        figure(&format!("PATCH of 1 MB, {what}"), refusal.at(1.0), PATCH_BAR_MS, "ms", &worst);
    }
    for service in services {
        service.program.stop().await;
    }
}

/// Of each size the time of answers, and the processor time.
type Sides = [Side; 3];

struct Side {
    answered: Times,
    spent: Times,
}

fn sides() -> Sides {
    std::array::from_fn(|_| Side { answered: Times::new(), spent: Times::new() })
}

/// Each size beside the smallest; the least of each, since whatever else the machine does only adds to it.
fn compare(what: &str, sizes: &[usize; 3], sides: &Sides) {
    for at in [1, 2] {
        #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
        let times_larger = sizes[at] as f64 / sizes[0] as f64;
        for (kind, of) in [
            ("", (|side: &Side| side.answered.at(0.0)) as fn(&Side) -> f64),
            (", processor", |side: &Side| side.spent.at(0.0)),
        ] {
            let small = of(&sides[0]);
            let large = of(&sides[at]);
            if small > 0.0 {
                let figures = format!("{small:.2} / {large:.2} ms");
                let what = format!("{what}, {times_larger}x{kind}");
                line(&what, large / small / times_larger, BAR, false, &figures);
            }
        }
    }
}

/// What is read without the service, by the processor time of this thread.
fn read_alone() {
    let mut catalogs = sides();
    let mut documents = [sides(), sides(), sides()];
    for _ in 0..TURNS {
        for (at, size) in SIZES.into_iter().enumerate() {
            let text = catalog::text(size);
            catalogs[at].spent.add(spent(|| _ = Catalog::parse(&text).unwrap()));
            let lines = |ends: &dyn Fn(usize) -> String| (0..size).map(ends).collect::<String>();
            let settings = lines(&|n| {
                format!("{}\"{}\": {n}", ["", ","][usize::from(n > 0)], catalog::key(n))
            });
            let yaml = lines(&|n| format!("  {}: {n}\n", catalog::key(n)));
            for (format, text) in [
                (Format::Json, format!("{{\"format_version\": 1, \"settings\": {{{settings}}}}}")),
                (Format::Yaml, format!("format_version: 1\nsettings:\n{yaml}")),
                (Format::Env, lines(&|n| format!("{}={n}\n", catalog::key(n)))),
            ] {
                let read = || _ = IncomingDocument::read(format, text.as_bytes()).unwrap();
                documents[format as usize][at].spent.add(spent(read));
            }
        }
    }
    compare("reading a catalog", &SIZES, &catalogs);
    for (name, sides) in Format::NAMES.iter().zip(&documents) {
        compare(&format!("reading a document, {name}"), &SIZES, sides);
    }
}

fn spent(work: impl FnOnce()) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let started_at = now();
    work();
    now().checked_sub(started_at).unwrap()
}

/// Bodies of nearly 1 MB: as many changes as fit, and as much in each as fits.
fn megabytes() -> [(&'static str, String); 2] {
    let changes =
        |changes: Vec<Value>| json!({"reason": "measuring", "changes": changes}).to_string();
    let small = (0..36_000).map(|n| json!({"key": format!("A{n}"), "value": 1})).collect();
    let text = "a long text without a secret, ".repeat(33);
    let large = (0..1_000).map(|n| json!({"key": format!("A{n}"), "value": text})).collect();
    [("36,000 changes", changes(small)), ("1,000 long texts", changes(large))]
}

struct Service {
    program: Program,
    client: Client,
    settings: usize,
    requests: usize,
    media_type: &'static str,
}

impl Service {
    async fn of(world: &mut World, settings: usize) -> Self {
        let name = format!("growth{settings}");
        let file = world.scratch(&format!("{name}.toml"));
        fs::write(&file, catalog::text(settings)).unwrap();
        world.database(&name, &catalog::generated(settings)).await.close().await;
        let program = Program::start(&world.url(&name), Some(&file)).await;
        let client = Client::of(program.address).await;
        Self { program, client, settings, requests: 0, media_type: "application/json" }
    }

    /// Sends a request of somebody new, on a connection of its own: neither quota nor idleness counts here.
    async fn timed(&mut self, side: &mut Side, method: Method, path: &str, body: &str) -> String {
        self.requests += 1;
        let token = admin_called(&format!("admin-{}", self.requests));
        self.client = Client::of(self.program.address).await;
        let body = body.to_owned();
        let before = self.program.spent();
        let started_at = Instant::now();
        let answer = self.client.expect_as(self.media_type, method, path, &token, body).await;
        side.answered.add(started_at.elapsed());
        // A thread that ended in between took its time with it.
        let spent = before.zip(self.program.spent());
        if let Some(spent) = spent.and_then(|(before, after)| after.checked_sub(before)) {
            side.spent.add(spent);
        }
        String::from_utf8(answer.to_vec()).unwrap()
    }

    /// A document in which every setting is another than in that of the turn before.
    fn document(&self, turn: usize) -> String {
        let value = |n: usize| match n % 4 {
            0 => json!(turn % 2),
            1 => json!(["some text", "other text"][turn % 2]),
            2 => json!(turn.is_multiple_of(2)),
            _ => json!([["one"], ["two"]][turn % 2]),
        };
        let settings: serde_json::Map<_, _> =
            (0..self.settings).map(|n| (catalog::key(n), value(n))).collect();
        json!({"format_version": 1, "settings": settings}).to_string()
    }

    /// Changes so many numbers.
    async fn change(&mut self, side: &mut Side, changes: usize, turn: usize) {
        let [mut ignored, ..] = sides();
        let listing = self.timed(&mut ignored, Method::GET, "/admin/global-settings", "").await;
        let listing: Value = serde_json::from_str(&listing).unwrap();
        let numbers = listing["settings"].as_array().unwrap().iter();
        let numbers = numbers.filter(|setting| setting["value_type"] == "number");
        let change = |setting: &Value| {
            let value = 2 + (changes + turn) % 200;
            json!({"key": setting["key"], "value": value, "version": setting["version"]})
        };
        let changes: Vec<Value> = numbers.take(changes).map(change).collect();
        let body = json!({"reason": "measuring", "changes": changes}).to_string();
        self.timed(side, Method::PATCH, "/admin/global-settings", &body).await;
    }

    async fn refused(&mut self, times: &mut Times, body: &str) {
        self.requests += 1;
        let token = admin_called(&format!("admin-{}", self.requests));
        self.client = Client::of(self.program.address).await;
        let started_at = Instant::now();
        let path = "/admin/global-settings";
        let body = body.to_owned();
        let status = self.client.status(Method::PATCH, path, &token, body).await;
        times.add(started_at.elapsed());
        assert_eq!(status, 400);
    }
}
