//! `/admin/global-settings/stream`: changes as they are made, over real sockets.

use std::time::Duration;

use brune::http::{Limits, StreamBounds};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

use crate::support::{
    Instance, TestApp, admin,
    proxy::Proxy,
    sse::{Event, Served, Stream},
    user,
    wait::{no_hang, wait_until},
};

const PATH: &str = "/admin/global-settings/stream";

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A stream before its first event.
async fn open(served: &Served, last: Option<&str>) -> Stream {
    let token = bearer(&admin("ada"));
    let mut headers = vec![("authorization", token.as_str())];
    headers.extend(last.map(|id| ("last-event-id", id)));
    served.stream(PATH, &headers).await
}

/// A stream after its first event, which says where it starts.
async fn listen(served: &Served, last: Option<&str>) -> Stream {
    let mut stream = open(served, last).await;
    assert_eq!(stream.event().await.name, "start");
    stream
}

async fn change(instance: &Instance, to: &str, version: i64) {
    instance.change(&[("BRUNE_PROMPT_VERSION", json!(to), version)]).await.ok();
}

fn told(event: &Event) -> (i64, &str) {
    (event.id, event.name.as_str())
}

#[tokio::test]
async fn each_change_set_is_one_event_with_actor_and_reason() {
    let app = TestApp::new().await;
    let served = Served::of(&app.instance, Limits::default()).await;
    let mut stream = listen(&served, None).await;
    let two = [("BRUNE_PROMPT_VERSION", json!("2"), 1), ("BRUNE_COOLDOWN_MINUTES", json!(5), 1)];
    let reply = app.instance.change(&two).await;
    let request = reply.header("x-request-id").to_owned();
    reply.ok();
    let event = stream.event().await;
    assert_eq!(told(&event), (2, "change"));
    let mut data = event.data;
    assert!(data["changed_at"].take().is_string());
    assert_eq!(
        data,
        json!({
            "revision": 2, "keys": ["BRUNE_COOLDOWN_MINUTES", "BRUNE_PROMPT_VERSION"], "truncated": false,
            "action": "update", "changed_by": "admin-1", "reason": "a test", "request_id": request,
            "changed_at": null
        })
    );
    // From another instance, and in order.
    let other = app.another_instance().await;
    for n in 3..8 {
        change(&other, &n.to_string(), n - 1).await;
    }
    for n in 3..8 {
        assert_eq!(told(&stream.event().await), (n, "change"));
    }
}

#[tokio::test]
async fn a_reconnecting_client_receives_missed_events_first() {
    let app = TestApp::new().await;
    let served = Served::of(&app.instance, Limits::default()).await;
    for n in 2..6 {
        change(&app.instance, &n.to_string(), n - 1).await;
    }
    app.instance.wait_for_revision(5).await;
    let mut behind = listen(&served, Some("3")).await;
    let mut current = listen(&served, Some("5")).await;
    let mut new = listen(&served, None).await;
    // Of an instance that has only just begun.
    let late = Instance::builder(app.db.pool()).start().await;
    let mut elsewhere = listen(&Served::of(&late, Limits::default()).await, Some("3")).await;
    change(&app.instance, "6", 5).await;
    for stream in [&mut behind, &mut elsewhere] {
        for n in 4..7 {
            assert_eq!(told(&stream.event().await), (n, "change"));
        }
    }
    assert_eq!(told(&current.event().await), (6, "change"));
    assert_eq!(told(&new.event().await), (6, "change"));
}

#[tokio::test]
async fn the_first_event_has_the_start_of_the_stream() {
    let app = TestApp::new().await;
    let served = Served::of(&app.instance, Limits::default()).await;
    let mut new = open(&served, None).await;
    let start = Event { id: 1, name: "start".to_owned(), data: json!({"revision": 1}) };
    assert_eq!(new.event().await, start);
    // A change between reading and listening is noticed: what was read is not where the stream starts.
    let body = app.instance.get("/admin/global-settings").bearer(&admin("ada")).send().await.ok();
    change(&app.instance, "2", 1).await;
    app.instance.wait_for_revision(2).await;
    let mut late = open(&served, None).await;
    let start = late.event().await;
    assert_eq!((body["revision"].as_i64(), told(&start)), (Some(1), (2, "start")));
    // Who comes back before anything was changed has an id to come back with.
    let mut repeat = open(&served, Some(&start.id.to_string())).await;
    assert_eq!(told(&repeat.event().await), (2, "start"));
    let mut behind = open(&served, Some("1")).await;
    assert_eq!(told(&behind.event().await), (1, "start"));
    assert_eq!(told(&behind.event().await), (2, "change"));
    // Of an instance that has only just begun, and reads no trail.
    let fresh = Instance::builder(app.db.pool()).without_listener().start().await;
    let mut ahead = open(&Served::of(&fresh, Limits::default()).await, Some("7")).await;
    let event = ahead.event().await;
    assert_eq!((told(&event), &event.data), ((2, "resync"), &json!({"revision": 2})));
}

#[tokio::test]
async fn a_client_too_far_behind_or_ahead_is_told_to_resync() {
    let app = TestApp::new().await;
    let sql = "do $$ begin for n in 2..300 loop
        update app_global_settings set value_json = to_jsonb(n::text), version = version + 1, updated_by = 'dba'
          where key = 'BRUNE_PROMPT_VERSION';
        insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
          select key, 'update', value_json, version, 'dba', 'by hand' from app_global_settings
          where key = 'BRUNE_PROMPT_VERSION';
        commit; end loop; end $$";
    sqlx::raw_sql(sql).execute(&app.db.pool()).await.unwrap();
    app.instance.wait_for_revision(300).await;
    let served = Served::of(&app.instance, Limits::default()).await;
    let mut far = open(&served, Some("2")).await;
    let mut near = listen(&served, Some("44")).await;
    let mut future = open(&served, Some("301")).await;
    let mut beyond = open(&served, Some("9223372036854775807")).await;
    for stream in [&mut far, &mut future, &mut beyond] {
        let event = stream.event().await;
        assert_eq!((told(&event), &event.data), ((300, "resync"), &json!({"revision": 300})));
    }
    for n in 45..=300 {
        assert_eq!(told(&near.event().await), (n, "change"));
    }
    change(&app.instance, "on", 300).await;
    for stream in [&mut far, &mut future, &mut near] {
        assert_eq!(told(&stream.event().await), (301, "change"));
    }
}

#[tokio::test]
async fn an_invalid_request_is_rejected_before_the_stream() {
    let app = TestApp::new().await;
    let ask = |token: String| app.instance.get(PATH).bearer(&token);
    app.instance.get(PATH).send().await.problem(401, "unauthorized");
    ask(user("ana")).send().await.problem(403, "forbidden");
    for wrong in ["-1", "r7", "1.5", "9223372036854775808", "7 8"] {
        let reply = ask(admin("ada")).header("last-event-id", wrong).send().await;
        reply.problem(400, "malformed_request");
    }
    let path = format!("{PATH}?since=2");
    app.instance.get(&path).bearer(&admin("ada")).send().await.problem(400, "malformed_request");
    assert_eq!(app.instance.streams.open(), 0);
}

#[tokio::test]
async fn a_stream_has_heartbeats_and_outlives_the_request_deadline() {
    let app = TestApp::new().await;
    let bounds = StreamBounds { heartbeat: Duration::from_millis(50), ..StreamBounds::default() };
    let instance = Instance::builder(app.db.pool()).stream_bounds(bounds).start().await;
    let limits = Limits { request: Duration::from_millis(100), ..Limits::default() };
    let served = Served::of(&instance, limits).await;
    let mut stream = listen(&served, None).await;
    for _ in 0..10 {
        assert_eq!(stream.block().await.as_deref(), Some(": alive"));
    }
    change(&app.instance, "2", 1).await;
    assert_eq!(told(&stream.event().await), (2, "change"));
}

#[tokio::test]
async fn shutdown_ends_every_stream_at_once() {
    let app = TestApp::new().await;
    let limits = Limits { drain: Duration::from_mins(1), ..Limits::default() };
    let served = Served::of(&app.instance, limits).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(listen(&served, None).await);
    }
    assert_eq!(app.instance.streams.open(), 5);
    app.instance.shutdown.cancel();
    for stream in &mut streams {
        assert_eq!(stream.block().await, None);
    }
    no_hang("the server ends", served.task).await.unwrap();
    assert_eq!(app.instance.streams.open(), 0);
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let app = TestApp::new().await;
    let served = Served::of(&app.instance, Limits::default()).await;
    let token = bearer(&admin("ada"));
    // Almost an hour later by the service's clock, the token has some seconds left, and a busy machine takes its time for
    // the request.
    app.instance.shift.advance(chrono::TimeDelta::seconds(3_594));
    let mut stream = served.stream(PATH, &[("authorization", &token)]).await;
    assert_eq!(stream.event().await.name, "start");
    assert_eq!(stream.block().await, None);
}

#[tokio::test]
async fn streams_are_bounded_for_each_caller_and_for_all() {
    let app = TestApp::new().await;
    let bounds = StreamBounds { instance: 3, caller: 2, ..StreamBounds::default() };
    let instance = Instance::builder(app.db.pool()).stream_bounds(bounds).start().await;
    let served = Served::of(&instance, Limits::default()).await;
    let ada = [listen(&served, None).await, listen(&served, None).await];
    let refusal = instance.get(PATH).bearer(&admin("ada")).send().await;
    assert_eq!(refusal.header("retry-after"), "5");
    refusal.problem(429, "rate_limited");
    let token = bearer(&admin("ben"));
    let ben = served.stream(PATH, &[("authorization", &token)]).await;
    let refusal = instance.get(PATH).bearer(&admin("cleo")).send().await;
    assert_eq!(refusal.header("retry-after"), "5");
    refusal.problem(503, "unavailable");
    // Who leaves makes room.
    drop((ada, ben));
    wait_until("they are let go", async || instance.streams.open() == 0).await;
    listen(&served, None).await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped_and_others_receive_everything() {
    let app = TestApp::with_catalog(&great_catalog()).await;
    let limits = Limits { write: Duration::from_millis(500), ..Limits::default() };
    let served = Served::of(&app.instance, limits).await;
    let mut reader = listen(&served, None).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(served.address).await.unwrap();
    let token = admin("ben");
    let head = format!("GET {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    slow.write_all(head.as_bytes()).await.unwrap();
    wait_until("both listen", async || app.instance.streams.open() == 2).await;
    let sql = "with new as (update app_global_settings set version = version + 1, updated_by = 'dba' returning *)
        insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
        select key, 'update', value_json, version, 'dba', 'by hand' from new";
    for n in 2..80 {
        sqlx::raw_sql(sql).execute(&app.db.pool()).await.unwrap();
        let event = reader.event().await;
        assert_eq!((event.id, event.data["keys"].as_array().unwrap().len()), (n, 1_000));
        assert_eq!(event.data["truncated"], true);
        if app.instance.streams.open() == 1 {
            break;
        }
    }
    wait_until("the slow one is dropped", async || app.instance.streams.open() == 1).await;
    let mut rest = Vec::new();
    let closed = slow.read_to_end(&mut rest);
    let _ = no_hang("the connection of the slow reader is closed", closed).await;
}

/// More settings than an event names, with names as long as they may be.
fn great_catalog() -> String {
    use std::fmt::Write as _;
    let mut catalog = "catalog = \"great\"\ndescription = \"d\"\n".to_owned();
    for n in 0..1_001 {
        let key = format!("KEY_{n:04}_{}", "X".repeat(110));
        writeln!(
            catalog,
            "[[setting]]\nkey = \"{key}\"\ntype = \"boolean\"\ndefault = true\ncategory = \"c\"\n\
             applies = \"hot\"\ndescription = \"d\"\n"
        )
        .unwrap();
    }
    catalog
}

#[tokio::test]
async fn changes_during_an_outage_are_streamed_afterwards() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance =
        Instance::builder(proxy.pool(5).await).poll_every(Duration::from_millis(100)).start().await;
    let served = Served::of(&instance, Limits::default()).await;
    let mut stream = listen(&served, None).await;
    proxy.take_away().await;
    change(&app.instance, "2", 1).await;
    change(&app.instance, "3", 2).await;
    proxy.bring_back().await;
    assert_eq!(told(&stream.event().await), (2, "change"));
    assert_eq!(told(&stream.event().await), (3, "change"));
}
