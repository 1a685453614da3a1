//! The growth of durations with the number of settings or changes: at most linear. A latency includes Postgres and
//! other programs; the processor time is that of the service alone.

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
/// The limit of the growth, as a multiple of linear growth.
const BAR: f64 = 1.3;
const PATCH_BAR_MS: f64 = 300.0;

pub(crate) async fn run(world: &mut World) {
    scale::run(world).await;
    compare_parsers();
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
        let mut latency = Times::new();
        for _ in 0..TURNS {
            services[2].send_rejected(&mut latency, &body).await;
        }
        let figures = format!("{latency}, {} kB", body.len() / 1000);
        figure(&format!("PATCH of 1 MB, {what}"), latency.at(1.0), PATCH_BAR_MS, "ms", &figures);
    }
    for service in services {
        service.program.stop().await;
    }
}

/// The measurements of each size.
type Sides = [Side; 3];

struct Side {
    latency: Times,
    /// The processor time.
    processor: Times,
}

fn sides() -> Sides {
    std::array::from_fn(|_| Side { latency: Times::new(), processor: Times::new() })
}

/// Compares each size with the smallest by the minimum of each, because other load of the machine only adds time.
fn compare(what: &str, sizes: &[usize; 3], sides: &Sides) {
    for at in [1, 2] {
        #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
        let times_larger = sizes[at] as f64 / sizes[0] as f64;
        for (kind, of) in [
            ("", (|side: &Side| side.latency.at(0.0)) as fn(&Side) -> f64),
            (", processor", |side: &Side| side.processor.at(0.0)),
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

/// Compares the parsing of catalogs and documents without the service, by the processor time of this thread.
fn compare_parsers() {
    let mut catalogs = sides();
    let mut documents = [sides(), sides(), sides()];
    for _ in 0..TURNS {
        for (at, size) in SIZES.into_iter().enumerate() {
            let text = catalog::text(size);
            catalogs[at].processor.add(processor_time(|| _ = Catalog::parse(&text).unwrap()));
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
                documents[format as usize][at].processor.add(processor_time(read));
            }
        }
    }
    compare("reading a catalog", &SIZES, &catalogs);
    for (name, sides) in Format::NAMES.iter().zip(&documents) {
        compare(&format!("reading a document, {name}"), &SIZES, sides);
    }
}

/// Returns the processor time of `work` in this thread.
fn processor_time(work: impl FnOnce()) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let started_at = now();
    work();
    now().checked_sub(started_at).unwrap()
}

/// Returns bodies of nearly 1 MB: as many changes as fit, and the longest texts that fit.
fn megabytes() -> [(&'static str, String); 2] {
    let changes =
        |changes: Vec<Value>| json!({"reason": "measuring", "changes": changes}).to_string();
    let small = (0..36_000).map(|n| json!({"key": format!("A{n}"), "value": 1})).collect();
    let text = "a long text without a secret, ".repeat(33);
    let large = (0..1_000).map(|n| json!({"key": format!("A{n}"), "value": text})).collect();
    [("36,000 changes", changes(small)), ("1,000 long texts", changes(large))]
}

/// The program with its own database.
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

    /// Sends a request of a new administrator on a new connection, so that neither the write quota nor the idle timeout
    /// applies. Adds its latency and processor time to `side`, and returns the response.
    async fn timed(&mut self, side: &mut Side, method: Method, path: &str, body: &str) -> String {
        self.requests += 1;
        let token = admin_called(&format!("admin-{}", self.requests));
        self.client = Client::of(self.program.address).await;
        let body = body.to_owned();
        let before = self.program.processor_time();
        let started_at = Instant::now();
        let answer = self.client.expect_as(self.media_type, method, path, &token, body).await;
        side.latency.add(started_at.elapsed());
        // The system forgets the time of a thread that has ended, so the difference may be negative.
        let times = before.zip(self.program.processor_time());
        if let Some(time) = times.and_then(|(before, after)| after.checked_sub(before)) {
            side.processor.add(time);
        }
        String::from_utf8(answer.to_vec()).unwrap()
    }

    /// Returns a document in which every value differs from the document of the previous turn.
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

    /// Changes `changes` settings in one PATCH.
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

    /// Sends a PATCH that must be rejected.
    async fn send_rejected(&mut self, times: &mut Times, body: &str) {
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
