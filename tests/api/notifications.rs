//! Settings changed somewhere are taken on everywhere, whatever is lost on the way.

use std::time::Duration;

use axum::http::StatusCode;
use brune::settings;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::support::{
    Instance, Reply, TestApp, admin,
    proxy::Proxy,
    psql, user,
    wait::{no_hang, wait_until},
};

/// Selects the connections that listen.
const LISTENERS: &str = "query ~ '^(UN)?LISTEN'";

async fn ready(instance: &Instance) -> (StatusCode, String) {
    let reply = instance.get("/readyz").send().await;
    (reply.status, reply.text)
}

/// Changes the prompt's version, which is at `version`.
async fn change(instance: &Instance, to: &str, version: i64) -> Reply {
    instance.change(&[("BRUNE_PROMPT_VERSION", json!(to), version)]).await
}

fn version(instance: &Instance) -> String {
    instance.settings.get_string("BRUNE_PROMPT_VERSION").unwrap()
}

#[tokio::test]
async fn a_change_reaches_another_instance_by_notification() {
    let app = TestApp::new().await;
    let other = Instance::builder(app.db.pool()).start().await;
    for n in 0..20 {
        let change_reply = change(&app.instance, &format!("v{n}"), n + 1).await;
        let revision = change_reply.ok()["revision"].as_i64().unwrap();
        other.wait_for_revision(revision).await;
        assert_eq!(version(&other), format!("v{n}"));
    }
    // Neither the timer nor the channel's heartbeat, which is counted as a poll, found any of them.
    assert_eq!(other.reloads("poll", "taken").await, 0);
    assert_eq!(ready(&other).await, (StatusCode::OK, "ok\n".to_owned()));
}

#[tokio::test]
async fn a_change_by_sql_is_loaded() {
    let app = TestApp::new().await;
    psql::set(&app.db.pool(), "BRUNE_COOLDOWN_MINUTES", "7.0").await;
    app.instance.wait_for_revision(2).await;
    assert_eq!(app.instance.settings.current().get_integer("BRUNE_COOLDOWN_MINUTES"), Ok(7));
    assert_eq!(app.instance.start_session(&user("ana")).await.ok()["config"]["revision"], 2);
}

#[tokio::test]
async fn a_new_instance_starts_with_the_newest_revision() {
    let app = TestApp::new().await;
    change(&app.instance, "2", 1).await.ok();
    let late = Instance::builder(app.db.pool()).without_listener().start().await;
    assert_eq!((late.settings.revision(), version(&late).as_str()), (2, "2"));
}

#[tokio::test]
async fn a_change_committed_as_the_listener_dies_is_not_missed() {
    let app = TestApp::new().await;
    for round in 1..=5 {
        let mut listening = app.instance.settings.listening();
        listening.wait_for(|is_open| *is_open).await.unwrap();
        // The connection is gone before the commit, so its notification finds nobody.
        let mut tx = app.db.pool().begin().await.unwrap();
        let sql = AssertSqlSafe(format!(
            "with ended as (select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity
               where datname = current_database() and {LISTENERS}),
             new as (update app_global_settings set value_json = to_jsonb('v{round}'::text),
                 version = version + 1, updated_by = 'dba' where key = 'BRUNE_PROMPT_VERSION' returning *)
             insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
             select key, 'update', value_json, version, 'dba', 'by hand' from new, ended"
        ));
        assert_eq!(tx.execute(sql).await.unwrap().rows_affected(), 1);
        tx.commit().await.unwrap();
        app.instance.wait_for_revision(round + 1).await;
        assert_eq!(version(&app.instance), format!("v{round}"));
    }
    // The new channel's first read found each change, not the channel's heartbeat, which is counted as a poll.
    assert_eq!(app.instance.reloads("poll", "taken").await, 0);
}

#[tokio::test]
async fn a_change_while_the_listener_reconnects_is_not_missed() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance = Instance::builder(proxy.pool(5).await).start().await;
    proxy.hold_listening();
    assert_eq!(psql::end_sessions(&app.db.pool(), LISTENERS).await, 2);
    wait_until("it wants to listen again", async || proxy.holds()).await;
    change(&app.instance, "2", 1).await.ok();
    proxy.let_listen();
    instance.wait_for_revision(2).await;
    assert_eq!(instance.reloads("connect", "taken").await, 1);
}

#[tokio::test]
async fn a_lost_listener_is_reported_and_reconnects() {
    let app = TestApp::new().await;
    let mut listening = app.instance.settings.listening();
    listening.mark_unchanged();
    assert_eq!(psql::end_sessions(&app.db.pool(), LISTENERS).await, 1);
    let lost_and_found = async {
        listening.changed().await.unwrap();
        listening.wait_for(|is_open| *is_open).await.unwrap();
    };
    no_hang("the channel is lost and opened again", lost_and_found).await;
    assert_eq!(psql::end_sessions(&app.db.pool(), LISTENERS).await, 1, "there is a new one");
    change(&app.instance, "2", 1).await.ok();
    app.instance.wait_for_revision(2).await;
}

#[tokio::test]
async fn the_poll_loads_changes_when_notifications_are_swallowed() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    proxy.swallow_notifications();
    let pooled =
        Instance::builder(proxy.pool(5).await).poll_every(Duration::from_millis(100)).start().await;
    for n in 0..5 {
        change(&app.instance, &format!("v{n}"), n + 1).await.ok();
        pooled.wait_for_revision(n + 2).await;
    }
    assert_eq!(pooled.reloads("poll", "taken").await, 5);
    assert_eq!(pooled.reloads("notify", "taken").await, 0);
    assert_eq!(version(&pooled), "v4");
}

#[tokio::test]
async fn a_silent_listener_is_detected_and_replaced() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance = Instance::builder(proxy.pool(5).await).start().await;
    let mut listening = instance.settings.listening();
    proxy.fall_silent();
    change(&app.instance, "2", 1).await.ok();
    // No error ever comes: only a heartbeat that stays unanswered tells.
    let is_closed = listening.wait_for(|is_open| !*is_open);
    no_hang("a dead channel is noticed", is_closed).await.unwrap();
    assert!(ready(&instance).await.1.contains("[-]listener failed"));
    proxy.speak_again();
    instance.wait_for_revision(2).await;
    assert_eq!(version(&instance), "2");
}

#[tokio::test]
async fn an_instance_never_returns_to_an_older_revision() {
    let app = TestApp::new().await;
    let mut actual_revisions = app.instance.settings.revisions();
    let changes = async {
        for n in 1..=30 {
            change(&app.instance, &format!("v{n}"), n).await.ok();
            // Somebody who reads at the worst moment, again and again.
            settings::refresh(&app.db.pool().into(), &app.instance.settings).await.unwrap();
        }
    };
    let watch = async {
        let mut last = 1;
        while last < 31 {
            actual_revisions.changed().await.unwrap();
            let now = *actual_revisions.borrow_and_update();
            assert!(last < now, "from {last} to {now}");
            last = now;
        }
    };
    tokio::join!(changes, watch);
}

#[tokio::test]
async fn every_snapshot_belongs_to_one_revision() {
    let app = TestApp::new().await;
    let mut actual_revisions = app.instance.settings.revisions();
    let changes = async {
        for n in 1..=30_i64 {
            let version = json!(format!("v{n}"));
            let changes = [
                ("BRUNE_PROMPT_VERSION", version, n),
                ("BRUNE_PROMPT_ID", json!(format!("pmpt_v{n}")), n),
            ];
            app.instance.change(&changes).await.ok();
        }
    };
    let watch = async {
        while *actual_revisions.borrow_and_update() < 31 {
            actual_revisions.changed().await.unwrap();
            let snapshot = app.instance.settings.snapshot();
            let id = snapshot.get_string("BRUNE_PROMPT_ID").unwrap();
            assert_eq!(
                id,
                format!("pmpt_{}", snapshot.get_string("BRUNE_PROMPT_VERSION").unwrap())
            );
        }
    };
    tokio::join!(changes, watch);
}

/// Takes the database away, looks at everything, and brings it back.
#[tokio::test]
async fn during_an_outage_reads_work_and_writes_answer_503() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance =
        Instance::builder(proxy.pool(5).await).poll_every(Duration::from_millis(200)).start().await;
    let session = instance.start_session(&user("ana")).await.ok();
    assert_eq!(ready(&instance).await.0, StatusCode::OK);

    proxy.take_away().await;
    let is_told = async || ready(&instance).await.1.contains("[-]database failed");
    wait_until("readiness tells", is_told).await;
    assert_eq!(ready(&instance).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(instance.get("/livez").send().await.status, StatusCode::OK);
    assert_eq!(instance.settings.get_string("BRUNE_PROMPT_VERSION").unwrap(), "1");
    let path = format!("/brun-e/sessions/{}", session["session_id"].as_str().unwrap());
    let ana = user("ana");
    let bob = user("bob");
    let root = admin("root");
    let replies = tokio::join!(
        instance.start_session(&bob),
        change(&instance, "2", 1),
        instance.get(&path).bearer(&ana).send(),
        instance.get("/admin/global-settings").bearer(&root).send(),
    );
    for reply in [replies.0, replies.1, replies.2, replies.3] {
        assert_ne!(reply.header("retry-after"), "");
        reply.problem(503, "unavailable");
    }

    proxy.bring_back().await;
    wait_until("it recovers", async || ready(&instance).await.0 == StatusCode::OK).await;
    instance.start_session(&user("bob")).await.ok();
    let change_reply: Value = change(&instance, "2", 1).await.ok();
    assert_eq!(change_reply["revision"], 2);
    instance.wait_for_revision(2).await;
}

#[tokio::test]
async fn a_database_that_refuses_connections_answers_503() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance = Instance::builder(proxy.pool(5).await).without_listener().start().await;
    let name = app.db.options().get_database().unwrap().to_owned();
    let elsewhere = app.db.admin_options().database("postgres");
    let mut admin = elsewhere.connect().await.unwrap();
    let allow =
        |allowed: bool| AssertSqlSafe(format!("alter database {name} allow_connections {allowed}"));
    // Before nobody is let in any more.
    let mut inside = app.db.options().connect().await.unwrap();
    admin.execute(allow(false)).await.unwrap();
    psql::end_sessions(&mut inside, "true").await;
    let refusal = instance.start_session(&user("ana")).await;
    assert_ne!(refusal.header("retry-after"), "");
    refusal.problem(503, "unavailable");
    change(&instance, "2", 1).await.problem(503, "unavailable");
    admin.execute(allow(true)).await.unwrap();
    instance.start_session(&user("ana")).await.ok();
}
