//! All settings as flags, compared with a bare handler that returns the same bytes.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use brune::settings::{BRUN_E, Catalog};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    catalog,
    client::Client,
    table::{Times, line, median},
    world::{Instance, World, user},
};

const PATH: &str = "/ofrep/v1/evaluate/flags";
const CLIENTS: usize = 8;
/// Reads of one turn, and turns of the service and of the bare handler.
const READS: usize = 20_000;
const TURNS: usize = 9;
/// The maximum duration of a comparison.
const LIMIT: Duration = Duration::from_mins(1);
const BAR: f64 = 0.85;
const UNCHANGED_BAR: f64 = 0.85;

pub(crate) async fn run(world: &mut World) {
    let brun_e = Catalog::parse(BRUN_E).unwrap();
    compare("nine settings", world, "flags", &brun_e).await;
    compare("10,000 settings", world, "many_flags", &catalog::generated(10_000)).await;
}

async fn compare(what: &str, world: &World, name: &str, catalog: &Catalog) {
    let instance = Instance::builder(world.database(name, catalog).await).start().await;
    let token = user("measuring");
    let mut client = Client::of(instance.address()).await;
    let (status, tag, bytes) = client.flags(PATH, &token, None).await;
    let tag = tag.unwrap();
    assert_eq!(status, StatusCode::OK);
    println!("  {what}: {} bytes", bytes.len());
    let mut tasks = JoinSet::new();
    let bare = serve_bare(Page { bytes, tag: tag.clone() }, &mut tasks).await;
    let sides = [instance.address(), bare];
    // The kernel takes most of the time of a large page, so a tenth of the reads suffices.
    let reads = if name == "flags" { READS } else { READS / 10 };
    take_turns(&format!("OFREP, {what}"), BAR, sides, &token, None, reads).await;
    take_turns(&format!("OFREP, {what}, 304"), UNCHANGED_BAR, sides, &token, Some(&tag), READS)
        .await;
    tasks.abort_all();
    instance.end().await;
}

async fn take_turns(
    what: &str,
    bar: f64,
    sides: [SocketAddr; 2],
    token: &str,
    etag: Option<&HeaderValue>,
    reads: usize,
) {
    let mut ratios = Vec::new();
    let mut rates = [Vec::new(), Vec::new()];
    let mut times = [Times::new(), Times::new()];
    // The first turn opens connections, and does not count.
    for side in sides {
        turn(side, token, etag, reads / 4, &mut Times::new()).await;
    }
    let started_at = Instant::now();
    for _ in 0..TURNS {
        let real = turn(sides[0], token, etag, reads, &mut times[0]).await;
        let bare = turn(sides[1], token, etag, reads, &mut times[1]).await;
        ratios.push(real / bare);
        rates[0].push(real);
        rates[1].push(bare);
        if started_at.elapsed() > LIMIT {
            break;
        }
    }
    let [real, bare] = rates.map(|rate| median(&rate));
    let figures = format!("{real:.0}/s of {bare:.0}/s; {} of {}", times[0], times[1]);
    line(what, median(&ratios), bar, true, &figures);
}

/// Sends `reads` requests, with `etag` as `If-None-Match`. Returns the requests per second of all clients.
async fn turn(
    address: SocketAddr,
    token: &str,
    etag: Option<&HeaderValue>,
    reads: usize,
    times: &mut Times,
) -> f64 {
    let mut connected = Vec::new();
    for _ in 0..CLIENTS {
        connected.push(Client::of(address).await);
    }
    let expected = if etag.is_some() { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let token: Arc<str> = token.into();
    let mut tasks = JoinSet::new();
    let started_at = Instant::now();
    for mut client in connected {
        let token = Arc::clone(&token);
        let etag = etag.cloned();
        tasks.spawn(async move {
            let mut times = Times::new();
            for _ in 0..reads / CLIENTS {
                let started_at = Instant::now();
                let (status, _, _) = client.flags(PATH, &token, etag.as_ref()).await;
                assert_eq!(status, expected);
                times.add(started_at.elapsed());
            }
            times
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        times.join(&outcome.unwrap());
    }
    #[expect(clippy::cast_precision_loss, reason = "tens of thousands")]
    let reads = (reads / CLIENTS * CLIENTS) as f64;
    reads / started_at.elapsed().as_secs_f64()
}

/// The response of the service, which the bare handler repeats.
#[derive(Clone)]
struct Page {
    bytes: Bytes,
    tag: HeaderValue,
}

/// Serves a bare axum handler: no authentication, no limits, no log.
async fn serve_bare(page: Page, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route(PATH, post(bare)).with_state(page);
    tasks.spawn(async move {
        axum::serve(listener, router).await.unwrap();
    });
    address
}

async fn bare(State(page): State<Page>, headers: HeaderMap) -> Response {
    let tag = [(header::ETAG, page.tag.clone())];
    if headers.get(header::IF_NONE_MATCH) == Some(&page.tag) {
        return (StatusCode::NOT_MODIFIED, tag).into_response();
    }
    (tag, [(header::CONTENT_TYPE, "application/json")], page.bytes).into_response()
}
