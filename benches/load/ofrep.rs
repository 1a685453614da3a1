//! All settings as flags, beside the least that a service could do: a bare handler that returns the same bytes.

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
/// Reads of one turn, and how often the two take turns.
const READS: usize = 20_000;
const TURNS: usize = 9;
/// Neither comparison goes on for longer.
const LIMIT: Duration = Duration::from_mins(1);
const BAR: f64 = 0.85;
const BAR_HELD: f64 = 0.85;

pub(crate) async fn run(world: &mut World) {
    let brun_e = Catalog::parse(BRUN_E).unwrap();
    compare("nine settings", world, "flags", &brun_e).await;
    // A page is written once for each revision, so it may be as long as it likes.
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
    // Of ten thousand most of the time is the kernel's: a tenth of the reads says as much.
    let reads = if name == "flags" { READS } else { READS / 10 };
    take_turns(&format!("OFREP, {what}"), BAR, sides, &token, None, reads).await;
    take_turns(&format!("OFREP, {what}, 304"), BAR_HELD, sides, &token, Some(&tag), READS).await;
    tasks.abort_all();
    instance.end().await;
}

async fn take_turns(
    what: &str,
    bar: f64,
    sides: [SocketAddr; 2],
    token: &str,
    held: Option<&HeaderValue>,
    reads: usize,
) {
    let mut ratios = Vec::new();
    let mut rates = [Vec::new(), Vec::new()];
    let mut times = [Times::new(), Times::new()];
    // One turn that does not count.
    for side in sides {
        turn(side, token, held, reads / 4, &mut Times::new()).await;
    }
    let started_at = Instant::now();
    for _ in 0..TURNS {
        let real = turn(sides[0], token, held, reads, &mut times[0]).await;
        let bare = turn(sides[1], token, held, reads, &mut times[1]).await;
        ratios.push(real / bare);
        rates[0].push(real);
        rates[1].push(bare);
        if LIMIT < started_at.elapsed() {
            break;
        }
    }
    let [real, bare] = rates.map(|rate| median(&rate));
    let figures = format!("{real:.0}/s of {bare:.0}/s; {} of {}", times[0], times[1]);
    line(what, median(&ratios), bar, true, &figures);
}

/// Reads of all clients in a second.
async fn turn(
    address: SocketAddr,
    token: &str,
    held: Option<&HeaderValue>,
    reads: usize,
    times: &mut Times,
) -> f64 {
    let mut connected = Vec::new();
    for _ in 0..CLIENTS {
        connected.push(Client::of(address).await);
    }
    let expected = if held.is_some() { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let (token, held): (Arc<str>, _) = (token.into(), held.cloned());
    let mut tasks = JoinSet::new();
    let started_at = Instant::now();
    for mut client in connected {
        let token = Arc::clone(&token);
        let held = held.clone();
        tasks.spawn(async move {
            let mut times = Times::new();
            for _ in 0..reads / CLIENTS {
                let started_at = Instant::now();
                let (status, _, _) = client.flags(PATH, &token, held.as_ref()).await;
                assert_eq!(status, expected);
                times.add(started_at.elapsed());
            }
            times
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        times.join(&outcome.unwrap());
    }
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
    let reads = (reads / CLIENTS * CLIENTS) as f64;
    reads / started_at.elapsed().as_secs_f64()
}

#[derive(Clone)]
struct Page {
    bytes: Bytes,
    tag: HeaderValue,
}

/// A bare axum handler: no credentials, no limits, no log.
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
