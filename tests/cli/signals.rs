//! How a signal ends the service.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;
use sqlx::Row as _;
use tokio::net::TcpStream;

use crate::support::{
    TestApp,
    binary::{Home, gone},
    wait::wait_until,
};

#[tokio::test]
async fn a_hangup_shuts_down_the_service_and_its_embedded_server() {
    let home = Home::new();
    let service = home.serve();
    let postgres = home.postmaster().unwrap();
    service.signal(Signal::HUP);
    assert_eq!(service.ended().await.code(), Some(0));
    gone(postgres).await;
    assert!(home.log().contains("SIGHUP: shutting down"), "{}", home.log());
}

#[tokio::test]
async fn further_signals_do_not_interrupt_a_request() {
    let app = TestApp::new().await;
    let home = Home::on(&app.db);
    let service = home.serve();
    // Held by somebody else, so that the change has to wait.
    let mut other = app.db.pool().begin().await.unwrap();
    let lock = "select from app_global_setting_head for update";
    sqlx::query(lock).execute(&mut *other).await.unwrap();
    let change = service.change("BRUNE_COOLDOWN_MINUTES", &json!(45), 1);
    let reply = tokio::task::JoinSet::from_iter([async move { change.send().await.unwrap() }]);
    let waits = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let pool = app.db.pool();
    wait_until("the change waits", async || {
        sqlx::query(waits).fetch_one(&pool).await.unwrap().get::<i64, _>(0) == 1
    })
    .await;
    service.signal(Signal::TERM);
    let address = service.address().to_owned();
    wait_until("no connection is accepted any more", async || {
        TcpStream::connect(&address).await.is_err()
    })
    .await;
    // What systemd sends with `SendSIGHUP=`, and what people do who do not want to wait.
    for signal in [Signal::HUP, Signal::TERM, Signal::INT] {
        service.signal(signal);
    }
    other.rollback().await.unwrap();
    assert_eq!(reply.join_all().await.remove(0).status(), 200);
    assert_eq!(service.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_hangup_during_the_start_leaves_no_server() {
    let home = Home::new();
    let mut child = home.spawn("exec \"$0\" serve", Stdio::null());
    wait_until("the private server is there", async || home.postmaster().is_some()).await;
    let postgres = home.postmaster().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::HUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", home.log());
    gone(postgres).await;
}

#[tokio::test]
async fn a_service_under_nohup_survives_a_hangup() {
    let app = TestApp::new().await;
    let home = Home::on(&app.db);
    // As `nohup` starts it.
    let service = home.serve_by("trap '' HUP; exec \"$0\" serve");
    service.signal(Signal::HUP);
    for _ in 0..10 {
        service.get("/admin/global-settings").await;
    }
    service.stop().await;
    assert!(!home.log().contains("SIGHUP"), "{}", home.log());
}
