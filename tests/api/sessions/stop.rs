//! The stop of all session starts.

use std::{num::NonZeroU32, sync::Arc};

use brune::sessions::watch_stop;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

use super::{
    end, find,
    groups::{
        Barrier, STATEMENTS, instance, replies, sessions, settle, spawn, statements,
        wait_for_blocked,
    },
};
use crate::support::{
    Instance, Reply, TestApp, admin, psql, realtime_stub::Stub, services::Services, user,
    wait::wait_until,
};

const STARTS: &str = "/admin/starts";
const GAUGE: &str = "brune_starts_stopped";

async fn stop(instance: &Instance, minutes: i64) -> Reply {
    let body = json!({"reason": "calls are expensive today", "minutes": minutes});
    instance.post("/admin/starts/stop").bearer(&admin("ana")).json(&body).send().await
}

async fn resume(instance: &Instance) -> Reply {
    let body = json!({"reason": "calls are cheap again"});
    instance.post("/admin/starts/resume").bearer(&admin("ben")).json(&body).send().await
}

async fn state(instance: &Instance) -> Value {
    instance.get(STARTS).bearer(&admin("reader")).send().await.ok()
}

#[tokio::test]
async fn a_stop_refuses_starts_on_every_instance_and_ends_no_session() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    let repeat = || {
        let call = other.post("/brun-e/start").bearer(&user("ana"));
        call.header("idempotency-key", "k-1")
    };
    let running = repeat().send().await.ok();
    let stopped = stop(&app.instance, 15).await.ok();
    assert_eq!(stopped["stopped"]["stopped_by"], "ana");
    assert_eq!(stopped["epoch"], 1);
    assert_eq!(state(&other).await, stopped);
    assert_eq!(app.instance.metric(GAUGE).await, 1);
    for instance in [&app.instance, &other] {
        let reply = instance.start_session(&user("bob")).await;
        let wait: u32 = reply.header("retry-after").parse().unwrap();
        assert!((1..=900).contains(&wait), "{wait}");
        assert!(!reply.text.contains("expensive"), "{}", reply.text);
        reply.problem(503, "starts_stopped");
    }
    assert_eq!(repeat().send().await.ok(), running);
    assert_eq!(find(&other, &running, &user("ana")).await.ok()["status"], "active");
    assert_eq!(end(&other, &running, &user("ana")).await.ok()["status"], "ended");
    let resumed = resume(&other).await.ok();
    assert_eq!(resumed, json!({"epoch": 2, "stopped": null}));
    // A second resumption stores nothing.
    assert_eq!(resume(&app.instance).await.ok(), resumed);
    assert_eq!(app.instance.metric(GAUGE).await, 0);
    app.instance.start_session(&user("bob")).await.ok();
}

#[tokio::test]
async fn a_stop_ends_by_itself_by_the_clock_of_the_database() {
    let app = TestApp::new().await;
    stop(&app.instance, 1).await.ok();
    app.instance.start_session(&user("ana")).await.problem(503, "starts_stopped");
    let pass = "update app_global_setting_head set stopped_until = clock_timestamp()";
    psql::run(&app.db.owner(), pass).await;
    app.instance.start_session(&user("ana")).await.ok();
    assert_eq!(state(&app.instance).await, json!({"epoch": 1, "stopped": null}));
    assert_eq!(resume(&app.instance).await.ok()["epoch"], 1);
    // A later stop begins anew, and another one replaces it.
    stop(&app.instance, 1440).await.ok();
    let shorter = stop(&app.instance, 1).await.ok();
    assert_eq!(state(&app.instance).await, shorter);
    let reply = app.instance.start_session(&user("bob")).await;
    let wait: u32 = reply.header("retry-after").parse().unwrap();
    assert!(wait <= 60, "{wait}");
}

#[tokio::test]
async fn a_refused_start_is_no_attempt() {
    let app = TestApp::new().await;
    let per_minute = NonZeroU32::new(1).unwrap();
    let services = Services { per_minute, ..Services::default() };
    let limited = Instance::builder(app.db.pool()).services(services).start().await;
    stop(&limited, 15).await.ok();
    for _ in 0..3 {
        limited.start_session(&user("ana")).await.problem(503, "starts_stopped");
    }
    resume(&limited).await.ok();
    limited.start_session(&user("ana")).await.ok();
}

#[tokio::test]
async fn starts_that_wait_during_a_stop_are_refused_alone_and_in_groups() {
    let app = TestApp::new().await;
    let instance = instance(&app).await;
    let (starts, barrier) = waiting_starts(&app, &instance).await;
    stop(&app.instance, 15).await.ok();
    barrier.open().await;
    for (_, reply) in replies(starts).await {
        reply.problem(503, "starts_stopped");
    }
    assert_eq!(sessions(&app).await, 0);
    // The last statement had all starts that waited.
    assert_eq!(statements(&instance).await, u64::try_from(STATEMENTS).unwrap() + 1);
}

/// Starts that have read the epoch, and whose statements wait: some alone, the others for one group.
async fn waiting_starts(
    app: &TestApp,
    instance: &Arc<Instance>,
) -> (JoinSet<(String, Reply)>, Barrier) {
    let barrier = Barrier::new(&app.db.owner()).await;
    let mut starts = JoinSet::new();
    for n in 0..STATEMENTS {
        spawn(&mut starts, instance, &format!("first-{n}"), None);
    }
    wait_for_blocked(&app.db.admin(), STATEMENTS).await;
    for n in 0..12 {
        spawn(&mut starts, instance, &format!("user-{n}"), None);
    }
    settle().await;
    (starts, barrier)
}

#[tokio::test]
async fn starts_of_an_earlier_epoch_read_again() {
    let app = TestApp::new().await;
    let instance = instance(&app).await;
    let (starts, barrier) = waiting_starts(&app, &instance).await;
    // Over when the statements run, so that only the epoch shows that a stop was between the reads and the inserts.
    stop(&app.instance, 15).await.ok();
    resume(&app.instance).await.ok();
    barrier.open().await;
    for (name, reply) in replies(starts).await {
        assert_eq!(reply.status, 201, "{name}: {}", reply.text);
    }
    assert_eq!(sessions(&app).await, i64::try_from(STATEMENTS).unwrap() + 12);
    // The statements with the earlier epoch stored nothing.
    let first = u64::try_from(STATEMENTS).unwrap() + 1;
    assert!(statements(&instance).await > first, "no statement was repeated");
    // The next start has read the epoch already.
    let before = statements(&instance).await;
    instance.start_session(&user("next")).await.ok();
    assert_eq!(statements(&instance).await, before + 1);
}

#[tokio::test]
async fn a_start_in_two_steps_begins_in_no_earlier_epoch() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let services = Services { realtime: Some(stub.url()), is_patient: true, ..Services::default() };
    let builder = Instance::builder(app.db.own_pool().await).services(services);
    let instance = Arc::new(builder.without_listener().start().await);
    let (starts, barrier) = waiting_starts(&app, &instance).await;
    stop(&app.instance, 15).await.ok();
    resume(&app.instance).await.ok();
    barrier.open().await;
    for (name, reply) in replies(starts).await {
        assert_eq!(reply.status, 201, "{name}: {}", reply.text);
    }
    assert!(statements(&instance).await > u64::try_from(STATEMENTS).unwrap() + 1);
    let barrier = Barrier::new(&app.db.owner()).await;
    let mut starts = JoinSet::new();
    spawn(&mut starts, &instance, "late", None);
    wait_for_blocked(&app.db.admin(), 1).await;
    stop(&app.instance, 15).await.ok();
    barrier.open().await;
    for (_, reply) in replies(starts).await {
        reply.problem(503, "starts_stopped");
    }
    let late = "select count(*) from brune_session where user_id = 'late'";
    assert_eq!(psql::count(&app.db.admin(), late).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_start_after_an_acknowledged_stop_begins_in_a_hundred_races() {
    let app = TestApp::new().await;
    let builder = || async { Instance::builder(app.db.own_pool().await) };
    let writes = NonZeroU32::new(1000).unwrap();
    let instances = [
        Arc::new(builder().await.writes_per_minute(writes).start().await),
        Arc::new(builder().await.writes_per_minute(writes).start().await),
    ];
    let mut started = 0;
    for round in 0..100 {
        let mut starts = JoinSet::new();
        for n in 0..4 {
            spawn(&mut starts, &instances[n % 2], &format!("during-{round}-{n}"), None);
        }
        stop(&instances[round % 2], 15).await.ok();
        let mut late = JoinSet::new();
        for n in 0..4 {
            spawn(&mut late, &instances[n % 2], &format!("after-{round}-{n}"), None);
        }
        for (_, reply) in late.join_all().await {
            reply.problem(503, "starts_stopped");
        }
        for (_, reply) in starts.join_all().await {
            match reply.status.as_u16() {
                201 => started += 1,
                _ => drop(reply.problem(503, "starts_stopped")),
            }
        }
        resume(&instances[(round + 1) % 2]).await.ok();
        let first = format!("between-{round}");
        instances[round % 2].start_session(&user(&first)).await.ok();
        started += 1;
    }
    let sessions = psql::count(&app.db.admin(), "select count(*) from brune_session").await;
    assert_eq!(sessions, started);
    assert_eq!(state(&instances[0]).await, json!({"epoch": 200, "stopped": null}));
}

#[tokio::test]
async fn the_metric_of_another_instance_follows_the_database() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    let metrics = other.metrics();
    let mut tasks = JoinSet::new();
    tasks.spawn(watch_stop(other.pool.clone(), metrics));
    // By `psql`, so that no handler sets the metric.
    let sql = "insert into brune_starts_event (event, minutes, reason, made_by) values ('stopped', 5, 'by hand', 'ana')";
    psql::run(&app.db.pool(), sql).await;
    wait_until("the metric is set", async || other.metric(GAUGE).await == 1).await;
}

#[tokio::test]
async fn a_stop_needs_a_reason_and_a_length() {
    let app = TestApp::new().await;
    let send = async |path: &str, body: Value| {
        app.instance.post(path).bearer(&admin("ana")).json(&body).send().await
    };
    let path = "/admin/starts/stop";
    for minutes in [json!(0), json!(1441), json!(-1), json!(null), json!("15"), json!(1.5)] {
        let body = json!({"reason": "too expensive", "minutes": minutes});
        let reply = send(path, body).await;
        assert_eq!(reply.status, 400, "{minutes}: {}", reply.text);
    }
    send(path, json!({"reason": "too expensive"})).await.problem(400, "malformed_request");
    send(path, json!({"minutes": 15})).await.problem(400, "reason_required");
    let secret = json!({"reason": "key sk-proj-Zx81Kq0PfLw3Vn7RbTy6Hd2Mc9", "minutes": 15});
    send(path, secret).await.problem(400, "secret_like_value");
    let secret = json!({"reason": "key sk-proj-Zx81Kq0PfLw3Vn7RbTy6Hd2Mc9"});
    send("/admin/starts/resume", secret).await.problem(400, "secret_like_value");
    let body = json!({"reason": "too expensive", "minutes": 15});
    let reply = app.instance.post(path).bearer(&user("eve")).json(&body).send().await;
    reply.problem(403, "forbidden");
    app.instance.get(STARTS).bearer(&user("eve")).send().await.problem(403, "forbidden");
    assert_eq!(state(&app.instance).await, json!({"epoch": 0, "stopped": null}));
}

/// Runs `sql` as the role of the service and expects an error that contains `reason`.
async fn refused(app: &TestApp, sql: &str, reason: &str) {
    match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&app.db.pool()).await {
        Ok(_) => panic!("accepted: {sql}"),
        Err(err) => assert!(err.to_string().contains(reason), "{sql}: {err}"),
    }
}

#[tokio::test]
async fn the_role_of_the_service_writes_no_stop_past_the_trigger() {
    let app = TestApp::new().await;
    stop(&app.instance, 15).await.ok();
    for sql in [
        "update app_global_setting_head set epoch = 7",
        "update app_global_setting_head set stopped_until = null, stopped_by = null, stopped_reason = null, stopped_at = null",
        "update app_global_setting_head set stopped_until = now()",
        "delete from app_global_setting_head",
        "update brune_starts_event set until = now()",
        "delete from brune_starts_event",
        "truncate brune_starts_event",
        "select brune_starts_event_write()",
    ] {
        refused(&app, sql, "permission denied").await;
    }
    let insert = |event: &str, minutes: &str, reason: &str, person: &str| {
        format!(
            "insert into brune_starts_event (event, minutes, reason, made_by)
             values ('{event}', {minutes}, '{reason}', '{person}')"
        )
    };
    for minutes in ["0", "1441", "-5", "null", "2147483647"] {
        refused(&app, &insert("stopped", minutes, "by hand", "eve"), "violates").await;
    }
    refused(&app, &insert("resumed", "5", "by hand", "eve"), "violates").await;
    refused(&app, &insert("paused", "5", "by hand", "eve"), "violates").await;
    refused(&app, &insert("resumed", "null", "", "eve"), "violates").await;
    refused(&app, &insert("resumed", "null", "by hand", " "), "cannot be shown").await;
    refused(&app, &insert("resumed", "null", "two\nlines", "eve"), "cannot be shown").await;
    let forged =
        "insert into app_global_setting_audit (key, action, new_value_json, changed_by, reason)
        values ('(starts)', 'decision', '{}', 'eve', 'by hand')";
    refused(&app, forged, "recorded by the triggers").await;
    // Number, time and end are of the trigger, whatever was sent.
    let sql = "insert into brune_starts_event (epoch, event, minutes, reason, made_by, made_at, until)
        values (99, 'stopped', 1, 'by hand', 'eve', now() - interval '1 year', now() + interval '1 year')";
    psql::run(&app.db.pool(), sql).await;
    let by_hand = state(&app.instance).await;
    assert_eq!((&by_hand["epoch"], &by_hand["stopped"]["stopped_by"]), (&json!(2), &json!("eve")));
    let sql = "select count(*) from brune_starts_event where epoch = 2 and until = made_at + interval '1 minute'
        and made_at > now() - interval '1 hour'";
    assert_eq!(psql::count(&app.db.pool(), sql).await, 1);
    // The owner of the tables is stopped by a trigger.
    for sql in ["delete from brune_starts_event", "truncate brune_starts_event"] {
        let result = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&app.db.owner()).await;
        assert!(result.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn every_stop_and_every_resumption_is_in_the_trail() {
    let app = TestApp::new().await;
    stop(&app.instance, 15).await.ok();
    resume(&app.instance).await.ok();
    resume(&app.instance).await.ok();
    let sql = "select changed_by || ' ' || (new_value_json ->> 'event') || ' ' || reason
        from app_global_setting_audit where action = 'decision' and key = '(starts)' order by seq";
    let entries: Vec<String> = sqlx::query_scalar(sql).fetch_all(&app.db.admin()).await.unwrap();
    assert_eq!(
        entries,
        ["ana stopped calls are expensive today", "ben resumed calls are cheap again"]
    );
    let verified = app.instance.get("/admin/audit/verify").bearer(&admin("reader")).send().await;
    assert_eq!(verified.ok()["breaks"], json!([]));
}
