//! Instructions for each request: `cargo bench --bench instructions [request ...]`.
//!
//! Counts the instructions of this process with callgrind, which no other load of the machine changes: a client, and the
//! real router behind the real accept loop, compared with a bare axum handler that returns the same bytes to the same
//! client. The difference is what the service adds. Postgres is another process, and so is not counted.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark that cannot continue should fail, and its output is the result"
)]

#[path = "load/bare_insert.rs"]
mod bare_insert;
#[path = "catalog/mod.rs"]
mod catalog;
#[path = "load/client.rs"]
#[expect(dead_code, reason = "the load harness uses more of the module")]
mod client;
#[path = "load/rows.rs"]
#[expect(dead_code, reason = "the load harness uses more of the module")]
mod rows;
#[path = "load/world.rs"]
#[expect(dead_code, reason = "the load harness uses more of the module")]
mod world;

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use brune::{
    database::{Pool, Topology},
    settings::{BRUN_E, Catalog},
};
use sqlx::postgres::PgConnectOptions;
use tokio::{net::TcpListener, runtime, task::JoinSet};
use uuid::Uuid;

use client::Client;
use world::{Instance, POOL, World, admin_called, user};

/// Requests before the measurement: they fill every cache.
const WARM_UP: usize = 300;
const REQUESTS: usize = 1_000;

/// The function within which callgrind counts. The pattern does not match the closures of the function.
const COUNTED: &str = "--toggle-collect=*::count_requests";

const FLAGS: &str = "/ofrep/v1/evaluate/flags";

/// A session start. Each is of a new user, and the bare handler inserts the same row.
const START: &str = "/brun-e/start";

/// A measured request. Another request needs a line in [`CASES`], and perhaps a branch in [`Case::send`].
struct Case {
    name: &'static str,
    method: Method,
    path: &'static str,
    database: &'static str,
    is_conditional: bool,
}

const CASES: [Case; 6] = [
    Case {
        name: "flags",
        method: Method::POST,
        path: FLAGS,
        database: "few",
        is_conditional: false,
    },
    Case {
        name: "flags-304",
        method: Method::POST,
        path: FLAGS,
        database: "few",
        is_conditional: true,
    },
    Case {
        name: "many-flags-304",
        method: Method::POST,
        path: FLAGS,
        database: "many",
        is_conditional: true,
    },
    Case {
        name: "livez",
        method: Method::GET,
        path: "/livez",
        database: "few",
        is_conditional: false,
    },
    Case {
        name: "setting",
        method: Method::GET,
        path: "/admin/global-settings/BRUNE_COOLDOWN_MINUTES",
        database: "few",
        is_conditional: false,
    },
    Case {
        name: "start",
        method: Method::POST,
        path: START,
        database: "few",
        is_conditional: false,
    },
];

/// The response of the service, which the bare handler repeats.
#[derive(Clone)]
struct Answer {
    bytes: Bytes,
    tag: Option<HeaderValue>,
}

impl Case {
    async fn send(
        &self,
        client: &mut Client,
        target: &Target,
        tag: Option<&HeaderValue>,
    ) -> Answer {
        let (status, tag, bytes) =
            client.send_plain(self.method.clone(), &target.path, &target.token, tag).await;
        assert!(status.is_success() || status == StatusCode::NOT_MODIFIED, "{status}");
        Answer { bytes, tag }
    }

    /// Returns what each of `count` requests asks for, prepared before the measurement.
    fn targets(&self, is_service: bool, count: usize) -> Vec<Target> {
        if self.path == START {
            let start = |_| {
                let name = Uuid::new_v4().to_string();
                let path = if is_service { START.to_owned() } else { format!("/least/{name}") };
                Target { path, token: user(&name) }
            };
            return (0..count).map(start).collect();
        }
        let path = self.path.to_owned();
        let is_admin = path.starts_with("/admin");
        // Signed once, so that every token but the first is known to the service, as most are in production.
        let token = if is_admin { admin_called("a") } else { user("a") };
        vec![Target { path, token }; count]
    }
}

/// The path and the token of a request.
#[derive(Clone)]
struct Target {
    path: String,
    token: String,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // `cargo test --benches` also starts the program, and expects no measurement.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--child", name, side, url, ..] = words[..] {
        child(case(name), side == "service", url);
        return;
    }
    let names: Vec<&str> = words.into_iter().filter(|word| !word.starts_with('-')).collect();
    for name in &names {
        case(name);
    }
    let is_installed = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !is_installed.is_ok_and(|status| status.success()) {
        println!("valgrind is not installed; instructions cannot be counted");
        return;
    }
    let runtime = runtime::Runtime::new().unwrap();
    runtime.block_on(measure(&names));
}

fn case(name: &str) -> &'static Case {
    let case = CASES.iter().find(|case| case.name == name);
    case.unwrap_or_else(|| panic!("unknown request {name}"))
}

async fn measure(names: &[&str]) {
    let world = World::new().await;
    world.database("few", &Catalog::parse(BRUN_E).unwrap()).await.close().await;
    // Ten times as many would take longer than the limit of a read from the database, as callgrind slows down the program.
    world.database("many", &catalog::generated(1_000)).await.close().await;
    println!("instructions for each request, client included; Postgres is not included");
    for case in CASES.iter().filter(|case| names.is_empty() || names.contains(&case.name)) {
        let url = world.url(case.database);
        let service = count(case, "service", &url);
        let bare = count(case, "bare", &url);
        let difference = service - bare;
        println!("{:<16} service {service:>8}  bare {bare:>8}  added {difference:>8}", case.name);
    }
    world.end().await;
}

/// Runs the measurement under callgrind and returns the instructions for each request.
fn count(case: &Case, side: &str, url: &str) -> i64 {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions");
    fs::create_dir_all(&dir).unwrap();
    // Kept, so that `callgrind_annotate` can attribute the count to functions.
    let profile: PathBuf = dir.join(format!("{}.{side}.callgrind", case.name));
    let status = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no", COUNTED])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe().unwrap())
        .args(["--child", case.name, side, url, "--bench"])
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let text = fs::read_to_string(&profile).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    total.trim().parse::<i64>().unwrap() / i64::try_from(REQUESTS).unwrap()
}

fn child(case: &'static Case, is_service: bool, url: &str) {
    world::log_into(Path::new("/dev/null"));
    // A single thread, so that the count includes every task of both ends.
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options: PgConnectOptions = url.parse().unwrap();
    let mut tasks = JoinSet::new();
    let targets = case.targets(is_service, WARM_UP + REQUESTS);
    let (warm_up, counted) = targets.split_at(WARM_UP);
    let (_instance, mut client, tag) = runtime.block_on(async {
        let pool = Pool::open(options, Topology::Direct, POOL).await.unwrap();
        let instance = Instance::builder(pool).start().await;
        let mut client = Client::of(instance.address()).await;
        let mut tag = None;
        if case.path == START {
            if !is_service {
                let address = bare_insert::serve(instance.pool(), &mut tasks).await;
                client = Client::of(address).await;
            }
        } else {
            let answer = case.send(&mut client, &targets[0], None).await;
            tag = answer.tag.clone().filter(|_| case.is_conditional);
            if !is_service {
                client = Client::of(serve_bare(case.path, answer, &mut tasks).await).await;
            }
        }
        for target in warm_up {
            case.send(&mut client, target, tag.as_ref()).await;
        }
        // Dropping the instance would stop the service.
        (instance, client, tag)
    });
    count_requests(&runtime, case, &mut client, counted, tag.as_ref());
}

/// Sends the counted requests.
#[inline(never)]
fn count_requests(
    runtime: &runtime::Runtime,
    case: &Case,
    client: &mut Client,
    targets: &[Target],
    tag: Option<&HeaderValue>,
) {
    runtime.block_on(async {
        for target in targets {
            case.send(client, target, tag).await;
        }
    });
}

/// A bare axum handler: no credentials, no limits, no log.
async fn serve_bare(path: &str, answer: Answer, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route(path, any(bare)).with_state(answer);
    tasks.spawn(async move {
        axum::serve(listener, router).await.unwrap();
    });
    address
}

async fn bare(State(answer): State<Answer>, headers: HeaderMap) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    let Some(tag) = answer.tag else { return (content_type, answer.bytes).into_response() };
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    ([(header::ETAG, tag)], content_type, answer.bytes).into_response()
}
