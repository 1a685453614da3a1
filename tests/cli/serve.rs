//! `brune serve`: from nothing, and to a good end; and `brune token`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use brune::http::SUPER_ADMIN;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use sqlx::Row as _;
use tokio::net::TcpStream;

use crate::support::{
    TestApp, TestDb,
    binary::{Home, gone},
    psql,
    wait::wait_until,
};

const SETTINGS: &str = "/admin/global-settings";

#[tokio::test]
async fn a_first_start_works_without_configuration_and_keeps_changes() {
    let mut home = Home::new();
    let service = home.serve();
    let settings = service.get(SETTINGS).await;
    assert_eq!(settings["settings"].as_array().unwrap().len(), 9);
    assert_eq!(settings["revision"], 1);
    let secret = fs::metadata(home.data().join("jwt_secret")).unwrap();
    assert_eq!(secret.permissions().mode() & 0o777, 0o600);
    let change_reply =
        service.change("BRUNE_COOLDOWN_MINUTES", &json!(45), 1).send().await.unwrap();
    assert_eq!(change_reply.status(), 200);
    let ready = service.call(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!((ready.status().as_u16(), ready.text().await.unwrap().as_str()), (200, "ok\n"));
    let postgres = home.postmaster().unwrap();
    let old_token = service.token.clone();
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.code(), Some(0));
    gone(postgres).await;

    // The environment is read once: what it says now changes nothing.
    home.set("BRUNE_COOLDOWN_MINUTES", "7");
    home.set("BRUNE_SESSION_MAX_MINUTES", "no number at all");
    let service = home.serve();
    let one = service.get(&format!("{SETTINGS}/BRUNE_COOLDOWN_MINUTES")).await;
    assert_eq!((&one["value"], &one["version"]), (&json!(45), &json!(2)));
    let stored =
        service.anonymous(Method::GET, SETTINGS).bearer_auth(old_token).send().await.unwrap();
    assert_eq!(stored.status(), 200);
    let postgres = home.postmaster().unwrap();
    service.signal(Signal::INT);
    assert_eq!(service.ended().await.code(), Some(0));
    gone(postgres).await;
}

#[tokio::test]
async fn printed_tokens_open_their_routes() {
    let app = TestApp::new().await;
    let home = Home::on(&app.db);
    let service = home.serve();
    let status = async |method: Method, path: &str, arguments: &[&str]| {
        let token = home.run(&[&["token"], arguments].concat()).ok();
        let call = service.anonymous(method, path);
        call.bearer_auth(token.trim()).send().await.unwrap().status().as_u16()
    };
    let admin = ["--sub", "root", "--role", SUPER_ADMIN];
    assert_eq!(status(Method::GET, SETTINGS, &admin).await, 200);
    assert_eq!(status(Method::GET, SETTINGS, &["--role", "ADMIN"]).await, 403);
    assert_eq!(status(Method::POST, "/brun-e/start", &["--sub", "ana"]).await, 403);
    assert_eq!(
        status(Method::POST, "/brun-e/start", &["--sub", "ana", "--plan", "pro"]).await,
        201
    );
    service.stop().await;
    assert_eq!(home.run(&["token", "--minutes", "721"]).code, Some(2));
}

#[tokio::test]
async fn a_request_in_progress_is_finished_before_shutdown() {
    let app = TestApp::new().await;
    let home = Home::on(&app.db);
    let service = home.serve();
    // Held by somebody else, so that the change has to wait.
    let mut other = app.db.pool().begin().await.unwrap();
    sqlx::query("select from app_global_setting_head for update")
        .execute(&mut *other)
        .await
        .unwrap();
    let change = service.change("BRUNE_COOLDOWN_MINUTES", &json!(45), 1);
    let reply = tokio::task::JoinSet::from_iter([async move { change.send().await.unwrap() }]);
    let waits = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let pool = app.db.pool();
    let is_waiting = async || {
        let row = sqlx::query(waits).fetch_one(&pool).await.unwrap();
        row.get::<i64, _>(0) == 1
    };
    wait_until("the change waits", is_waiting).await;
    service.signal(Signal::TERM);
    let address = service.address().to_owned();
    let is_closed = async || TcpStream::connect(&address).await.is_err();
    wait_until("no connection is accepted any more", is_closed).await;
    other.rollback().await.unwrap();
    let reply = reply.join_all().await.remove(0);
    assert_eq!(reply.status(), 200);
    assert_eq!(service.ended().await.code(), Some(0));
    let revision: i64 = sqlx::query_scalar("select revision from app_global_setting_head")
        .fetch_one(&app.db.pool())
        .await
        .unwrap();
    assert_eq!(revision, 2);
}

#[tokio::test]
async fn an_unmigrated_database_is_refused() {
    let db = TestDb::empty().await;
    let home = Home::on(&db);
    let mut names: Vec<_> = brune::database::MIGRATOR
        .iter()
        .map(|migration| format!("{} (", migration.version))
        .collect();
    names.push("brune migrate".to_owned());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    home.run(&["serve"]).refused(&names);
    home.run(&["migrate"]).ok();
    home.serve().stop().await;
}

#[tokio::test]
async fn a_database_without_a_catalog_is_refused() {
    let db = TestDb::new().await;
    Home::on(&db).run(&["serve"]).refused(&["brune migrate"]);
}

#[tokio::test]
async fn missing_or_invalid_settings_stop_the_start_and_are_all_reported() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    psql::delete(&pool, "BRUNE_PROMPT_VERSION").await;
    psql::set(&pool, "BRUNE_SESSION_MAX_MINUTES", "999").await;
    psql::set(&pool, "BRUNE_PROMPT_ID", r#""prompt""#).await;
    let home = Home::on(&app.db);
    let keys = ["BRUNE_PROMPT_VERSION", "BRUNE_SESSION_MAX_MINUTES", "BRUNE_PROMPT_ID"];
    let output = home.run(&["serve"]).refused(&keys);
    assert!(!output.contains("BRUNE_COOLDOWN_MINUTES "), "{output}");
}

#[test]
fn production_generates_no_secret_and_reports_all_that_is_missing() {
    let home = Home::new().with("NODE_ENV", "production").with("BRUNE_DB_POOL_SIZE", "0");
    home.run(&["serve"]).refused(&["DATABASE_URL", "JWT_SECRET", "BRUNE_DB_POOL_SIZE"]);
    home.run(&["token"]).refused(&["JWT_SECRET"]);
    assert!(!home.data().exists(), "something was made up");
}

#[tokio::test]
async fn an_address_in_use_is_reported() {
    let app = TestApp::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    Home::on(&app.db).with("BRUNE_LISTEN", &address).run(&["serve"]).refused(&[&address]);
}

#[test]
fn usage_errors_and_failures_have_different_exit_codes() {
    let home = Home::new();
    assert_eq!(home.run(&["no-such-command"]).code, Some(2));
    assert_eq!(home.run(&["--help"]).code, Some(0));
    let nowhere = home.with("DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/db");
    let output = nowhere.run(&["migrate"]).refused(&["127.0.0.1:1"]);
    assert!(!output.contains("hunter2"), "{output}");
}
