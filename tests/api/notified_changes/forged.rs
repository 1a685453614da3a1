//! Forged notifications. Every login may notify; the attacker here even has the service's own privileges, and with them
//! the key of the encryption.

use std::mem;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::{Executor as _, PgPool};

use super::{
    COOLDOWN, NEVER, VERSION, applied, assert_as_loaded,
    payload::{Content, Listener, Received, notify},
    reads, set_version,
};
use crate::support::{Instance, TestApp, proxy::Proxy, psql, wait::wait_until};

/// An instance at revision 2, the payload of that revision, and a pool of the attacker.
async fn attacked() -> (TestApp, Received, PgPool) {
    let app = TestApp::new().await;
    let mut listener = Listener::open(&app.db).await;
    set_version(&app, "2", 2).await;
    let payload = listener.next().await;
    let pool = app.db.pool();
    (app, payload, pool)
}

/// Sends the forged `payload`, and verifies that `app` keeps its settings and applies the next genuine change.
async fn assert_rejected(app: &TestApp, attacker: &PgPool, payload: &str, name: &str) {
    let revision = app.instance.settings.revision();
    let version = app.instance.settings.get_string(VERSION).unwrap();
    let applied_before = applied(&app.instance).await;
    notify(attacker, payload).await;
    // Notifications arrive in order: a hint after the forged one is a sign that both have arrived.
    let reads_before = reads(&app.instance).await;
    notify(attacker, "0").await;
    let has_read = async || reads(&app.instance).await > reads_before;
    wait_until("the notifications have arrived", has_read).await;
    assert_eq!(app.instance.settings.revision(), revision, "{name}");
    assert_eq!(app.instance.settings.get_string(VERSION).unwrap(), version, "{name}");
    assert_eq!(applied(&app.instance).await, applied_before, "{name}");
    assert_as_loaded(app).await;
    set_version(app, &format!("after {revision}"), revision + 1).await;
    assert_as_loaded(app).await;
}

/// The change of `content` to the value `stolen`.
fn with_value(content: &Content) -> Value {
    let mut change = content.change.clone();
    change["settings"][0]["value"] = json!("stolen");
    change
}

#[tokio::test]
async fn a_forged_change_is_never_applied() {
    let (app, payload, pool) = attacked().await;
    let genuine = payload.decrypt(&pool).await;
    assert_eq!(genuine.change["settings"][0]["value"], "2");
    let change = with_value(&genuine);
    let digest = psql_digest(&pool).await;
    for (name, secret) in [
        ("a guessed secret", vec![1; 32]),
        ("the secret of the revision before", genuine.secret.clone()),
        ("the digest in place of the secret", digest.clone()),
        ("the digest of the notification before", genuine.next_digest.clone()),
        ("no secret", Vec::new()),
    ] {
        let revision = app.instance.settings.revision() + 1;
        let mut change = change.clone();
        change["settings"][0]["version"] = json!(revision);
        let forged = Content { revision, secret, next_digest: digest.clone(), change };
        assert_rejected(&app, &pool, &forged.encrypt(&pool).await, name).await;
    }
    // The genuine changes between the attacks were applied or read, and the last one is applied.
    let before = applied(&app.instance).await;
    set_version(&app, "x", app.instance.settings.revision() + 1).await;
    assert_eq!(applied(&app.instance).await, before + 1);
}

/// The digest of the next secret, which the service's role can read.
async fn psql_digest(pool: &PgPool) -> Vec<u8> {
    let sql = "select next_digest from app_global_setting_head";
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_recorded_change_is_never_applied_again() {
    let (app, payload, pool) = attacked().await;
    let genuine = payload.decrypt(&pool).await;
    set_version(&app, "1", 3).await;
    assert_rejected(&app, &pool, &payload.text, "as recorded").await;
    // With the secret of a published revision, another content and another revision.
    for revision in [2, app.instance.settings.revision() + 1, i64::MAX] {
        let forged = Content { revision, change: with_value(&genuine), ..genuine.clone() };
        assert_rejected(&app, &pool, &forged.encrypt(&pool).await, "another revision").await;
    }
}

#[tokio::test]
async fn the_published_secret_of_an_own_change_is_worthless() {
    let (app, _, pool) = attacked().await;
    let mut listener = Listener::open(&app.db).await;
    app.instance.change(&[(VERSION, json!("3"), 2)]).await.ok();
    let genuine = listener.next().await.decrypt(&pool).await;
    // With a digest of the attacker's choice, and then the secret of the digest.
    let secret = vec![7; 32];
    let next_digest = Sha256::digest(&secret).to_vec();
    let forged = Content { next_digest: next_digest.clone(), ..genuine.clone() };
    notify(&pool, &forged.encrypt(&pool).await).await;
    let forged = Content { revision: 4, secret, next_digest, change: with_value(&genuine) };
    assert_rejected(&app, &pool, &forged.encrypt(&pool).await, "after an own change").await;
}

#[tokio::test]
async fn a_forged_notification_of_an_own_change_is_not_believed() {
    let mut app = TestApp::new().await;
    let pool = app.db.pool();
    let mut listener = Listener::open(&app.db).await;
    let proxy = Proxy::before(&app.db).await;
    let writer = Instance::builder(proxy.pool(5).await).poll_every(NEVER).start().await;
    let other = mem::replace(&mut app.instance, writer);
    // The genuine notification does not reach the writer, so the forged one comes first.
    proxy.swallow_notifications();
    app.instance.change(&[(VERSION, json!("2"), 1)]).await.ok();
    other.wait_for_revision(2).await;
    let genuine = listener.next().await.decrypt(&pool).await;
    proxy.pass_notifications();
    let secret = vec![7; 32];
    let next_digest = Sha256::digest(&secret).to_vec();
    let forged =
        Content { secret: vec![1; 32], next_digest: next_digest.clone(), ..genuine.clone() };
    notify(&pool, &forged.encrypt(&pool).await).await;
    let forged = Content { revision: 3, secret, next_digest, change: with_value(&genuine) };
    assert_rejected(&app, &pool, &forged.encrypt(&pool).await, "before the genuine one").await;
}

#[tokio::test]
async fn a_published_secret_is_worthless_after_a_failed_reload() {
    let (app, _, pool) = attacked().await;
    let mut listener = Listener::open(&app.db).await;
    // The instance receives a genuine change that the instance does not apply.
    psql::set(&pool, "BRUNE_SESSION_MAX_MINUTES", "999").await;
    wait_until("the value is reported", async || !app.instance.settings.is_valid()).await;
    let genuine = listener.next().await.decrypt(&pool).await;
    let mut forged = Content { change: with_value(&genuine), ..genuine };
    forged.change["settings"][0]["value"] = json!(25);
    notify(&pool, &forged.encrypt(&pool).await).await;
    wait_until("the database is read", async || reads(&app.instance).await > 0).await;
    assert_eq!(app.instance.settings.current().get_integer("BRUNE_SESSION_MAX_MINUTES"), Ok(30));
    assert!(!app.instance.settings.is_valid());
}

#[tokio::test]
async fn a_published_secret_is_worthless_during_an_outage() {
    let (app, _, pool) = attacked().await;
    let mut listener = Listener::open(&app.db).await;
    let admin = app.db.admin();
    let next_failure = async |failures: u64| {
        let has_failed = async || app.instance.reloads("notify", "failed").await >= failures;
        wait_until("a read fails", has_failed).await;
    };
    admin.execute("revoke select on app_global_settings from brune_service").await.unwrap();
    notify(&pool, "0").await;
    next_failure(1).await;
    // A change was possibly missed, so the next notification is only a hint, and publishes the secret.
    psql::set(&app.db.owner(), VERSION, r#""3""#).await;
    next_failure(2).await;
    let genuine = listener.last_of(3).await.decrypt(&pool).await;
    let forged = Content { change: with_value(&genuine), ..genuine };
    notify(&pool, &forged.encrypt(&pool).await).await;
    next_failure(3).await;
    assert_eq!(app.instance.settings.get_string(VERSION).unwrap(), "2");
    admin.execute("grant select on app_global_settings to brune_service").await.unwrap();
    set_version(&app, "4", 4).await;
    assert_as_loaded(&app).await;
}

#[tokio::test]
async fn malformed_payloads_are_hints() {
    let (app, payload, pool) = attacked().await;
    let encrypted = payload.text.split(' ').nth(1).unwrap().to_owned();
    let genuine = payload.decrypt(&pool).await;
    let mut unknown_field = genuine.clone();
    unknown_field.change["more"] = json!(1);
    let mut no_time = genuine.clone();
    no_time.change["settings"][0]["updated_at"] = json!(i64::MAX);
    for text in [
        String::new(),
        " ".to_owned(),
        "3".to_owned(),
        "three".to_owned(),
        "3 AAAA".to_owned(),
        "3 !!!!".to_owned(),
        format!("x {encrypted}"),
        format!("3 {}", &encrypted[..40]),
        format!("3 {}", "A".repeat(7_000)),
        json!({"revision": 3, "settings": [{"key": VERSION, "value": "stolen"}]}).to_string(),
        unknown_field.encrypt(&pool).await,
        no_time.encrypt(&pool).await,
    ] {
        notify(&pool, &text).await;
    }
    assert_rejected(&app, &pool, "3 {}", "all of them").await;
    assert_eq!(applied(&app.instance).await, 2, "the two genuine changes");
}

#[tokio::test]
async fn a_listener_without_the_key_learns_nothing_but_the_revision() {
    let app = TestApp::new().await;
    let mut listener = Listener::open(&app.db).await;
    set_version(&app, "a value to hide", 2).await;
    let payload = listener.next().await;
    assert!(payload.has_content());
    for text in ["a value to hide", VERSION, "dba", "settings"] {
        assert!(!payload.shows(text) && !payload.text.contains(text), "{text}");
    }
    // Equal changes have different payloads.
    psql::set(&app.db.pool(), COOLDOWN, "45").await;
    let first = listener.next().await;
    psql::set(&app.db.pool(), COOLDOWN, "45").await;
    let second = listener.next().await;
    assert_ne!(first.text[2..60], second.text[2..60]);
}

#[tokio::test]
async fn only_the_owner_reads_the_seed_and_only_the_service_reads_the_key() {
    let app = TestApp::new().await;
    let privileges = "select concat_ws(' ',
        has_table_privilege('brune_owner', 'brune_notification_seed', 'select'),
        has_table_privilege('brune_service', 'brune_notification_seed', 'select'),
        has_table_privilege('brune_reader', 'brune_notification_seed', 'select'),
        has_table_privilege('brune_service', 'brune_notification_key', 'select'),
        has_table_privilege('brune_reader', 'brune_notification_key', 'select'))";
    let privileges: String =
        sqlx::query_scalar(privileges).fetch_one(&app.db.admin()).await.unwrap();
    assert_eq!(privileges, "t f f t f");
    for sql in [
        "select seed from brune_notification_seed",
        "refresh materialized view brune_notification_seed",
        "update app_global_setting_head set next_digest = null",
        "alter table app_global_setting_head disable trigger app_global_setting_head_notifies",
    ] {
        assert!(app.db.pool().execute(sql).await.is_err(), "{sql}");
    }
}
