//! Changes applied from the content of notifications: when, and when not.

mod flood;
mod forged;
mod lost_revisions;
mod payload;
mod secret;

use std::{fmt::Write as _, time::Duration};

use brune::settings;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::{Instance, TestApp, proxy::Proxy, psql, wait::wait_until};
use payload::Listener;

const VERSION: &str = "BRUNE_PROMPT_VERSION";
const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";
const MINUTES: &str = "BRUNE_SESSION_MAX_MINUTES";
const NEVER: Duration = Duration::from_hours(1);

/// The number of reloads of `instance` by the content of notifications.
async fn applied(instance: &Instance) -> u64 {
    instance.metric("brune_settings_notifications_applied_total").await
}

/// The number of reloads of `instance` that read the database because of a notification.
async fn reads(instance: &Instance) -> u64 {
    let reloads = instance.reloads("notify", "taken").await
        + instance.reloads("notify", "unchanged").await
        + instance.reloads("notify", "invalid").await;
    reloads - applied(instance).await
}

/// Changes the prompt's version to `to` by SQL, and waits until `app` is at `revision`.
async fn set_version(app: &TestApp, to: &str, revision: i64) {
    psql::set(&app.db.pool(), VERSION, &json!(to).to_string()).await;
    app.instance.wait_for_revision(revision).await;
}

/// Verifies that `app` has the settings that a new instance loads.
async fn assert_as_loaded(app: &TestApp) {
    let loaded = settings::load(&app.db.pool().into()).await.unwrap();
    let applied = app.instance.settings.snapshot();
    assert_eq!((applied.revision, applied.len()), (loaded.revision, loaded.len()));
    for definition in loaded.schema.editable() {
        let entry = |snapshot: &settings::Snapshot| {
            let entry = snapshot.find(&definition.key).unwrap();
            format!("{entry:?}")
        };
        assert_eq!(entry(&applied), entry(&loaded), "{}", definition.key);
    }
}

/// An update of `key` to the JSON `value`, with its audit entry.
fn update(key: &str, value: &str) -> String {
    format!(
        "with new as (update app_global_settings set value_json = '{value}', version = version + 1, updated_by = 'dba'
           where key = '{key}' returning *)
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
         select key, 'update', value_json, version, 'dba', 'by hand' from new;"
    )
}

#[tokio::test]
async fn a_change_is_applied_without_a_query() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let other = Instance::builder(proxy.pool(5).await).poll_every(NEVER).start().await;
    let before = proxy.round_trips();
    for n in 0..20 {
        let changes = [
            (VERSION, json!(format!("v{n}")), n + 1),
            ("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", json!([format!("\"ü {n}"), "b"]), n + 1),
        ];
        let change_reply = app.instance.change(&changes).await.ok();
        other.wait_for_revision(change_reply["revision"].as_i64().unwrap()).await;
        assert_eq!(other.settings.get_string(VERSION).unwrap(), format!("v{n}"));
    }
    // Two for each check of the connection, one every five seconds.
    let round_trips = proxy.round_trips() - before;
    assert!(round_trips < 10, "{round_trips} round trips");
    // On a busy machine, the check of the connection may find a change first.
    let polled = other.reloads("poll", "taken").await;
    assert_eq!((applied(&other).await + polled, reads(&other).await), (20, 0));
    assert!(polled < 10, "{polled}");
    assert_eq!(other.metric("brune_settings_apply_delay_seconds_count").await, 20);
    app.instance.wait_for_revision(21).await;
    assert_as_loaded(&app).await;
}

/// An instance applies its own change when the commit is acknowledged, before or after the notification arrives.
#[tokio::test]
async fn instances_that_change_settings_in_turns_read_nothing() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    let mut version = 1;
    for _ in 0..10 {
        for (writer, follower) in [(&app.instance, &other), (&other, &app.instance)] {
            // Two at once: the second is applied before the notification of the first may have arrived.
            for _ in 0..2 {
                writer.change(&[(COOLDOWN, json!(version), version)]).await.ok();
                version += 1;
            }
            follower.wait_for_revision(version).await;
        }
    }
    for instance in [&app.instance, &other] {
        assert_eq!(reads(instance).await, 0);
    }
    assert_as_loaded(&app).await;
}

#[tokio::test]
async fn a_change_by_sql_of_the_owner_is_applied_without_a_query() {
    let app = TestApp::new().await;
    psql::set(&app.db.owner(), COOLDOWN, "7.0").await;
    app.instance.wait_for_revision(2).await;
    assert_eq!((applied(&app.instance).await, reads(&app.instance).await), (1, 0));
    assert_as_loaded(&app).await;
}

/// The statement of a change returns before the trigger publishes the digest of the next secret.
#[tokio::test]
async fn changes_of_two_instances_in_turns_are_applied_without_a_query() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    for n in (1..=20).step_by(2) {
        for (writer, version) in [(&app.instance, n), (&other, n + 1)] {
            writer.change(&[(VERSION, json!(format!("v{version}")), version)]).await.ok();
            app.instance.wait_for_revision(version + 1).await;
            other.wait_for_revision(version + 1).await;
        }
    }
    assert_eq!((reads(&app.instance).await, reads(&other).await), (0, 0));
    assert_as_loaded(&app).await;
}

#[tokio::test]
async fn several_change_sets_of_one_transaction_are_one_change() {
    let app = TestApp::new().await;
    let mut tx = app.db.pool().begin().await.unwrap();
    psql::set(&mut *tx, VERSION, r#""2""#).await;
    psql::set(&mut *tx, COOLDOWN, "45").await;
    psql::set(&mut *tx, VERSION, r#""3""#).await;
    let savepoint = "savepoint s; delete from brune_outbox; rollback to s";
    tx.execute(sqlx::raw_sql(savepoint)).await.unwrap();
    tx.commit().await.unwrap();
    app.instance.wait_for_revision(2).await;
    assert_eq!(app.instance.settings.get_string(VERSION).unwrap(), "3");
    assert_eq!((applied(&app.instance).await, reads(&app.instance).await), (1, 0));
    assert_as_loaded(&app).await;
}

/// The announcement at the end of the transaction can be moved forward. A later change must not become a part of the
/// announced revision, because no instance would read the rest.
#[tokio::test]
async fn a_change_after_the_announcement_is_another_revision() {
    let app = TestApp::new().await;
    let sql = format!(
        "begin; {} set constraints all immediate; set constraints all deferred; {} commit",
        update(VERSION, r#""2""#),
        update(COOLDOWN, "45")
    );
    app.db.pool().execute(AssertSqlSafe(sql)).await.unwrap();
    app.instance.wait_for_revision(3).await;
    assert_as_loaded(&app).await;
    assert_eq!(reads(&app.instance).await, 0);
    // An announcement before the change is complete is refused.
    let immediate = "set constraints app_global_setting_head_notifies immediate;";
    let sql = format!("begin; {immediate} {} commit", update(COOLDOWN, "50"));
    let refusal = app.db.pool().execute(AssertSqlSafe(sql)).await.unwrap_err();
    assert!(refusal.to_string().contains("has no audit row"), "{refusal}");
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_is_never_applied() {
    let app = TestApp::new().await;
    let mut listener = Listener::open(&app.db).await;
    let mut tx = app.db.pool().begin().await.unwrap();
    psql::set(&mut *tx, VERSION, r#""lost""#).await;
    // The trigger has notified, and the transaction fails afterwards.
    tx.execute("set constraints all immediate").await.unwrap();
    tx.rollback().await.unwrap();
    let mut actual_revisions = app.instance.settings.revisions();
    actual_revisions.mark_unchanged();
    set_version(&app, "2", 2).await;
    assert_eq!(listener.next().await.revision, 2);
    assert_eq!(*actual_revisions.borrow_and_update(), 2);
    assert_as_loaded(&app).await;
    assert_eq!((applied(&app.instance).await, reads(&app.instance).await), (1, 0));
}

fn catalog(settings: usize) -> String {
    let mut catalog = "catalog = \"texts\"\ndescription = \"d\"\n".to_owned();
    for n in 0..settings {
        writeln!(
            catalog,
            "[[setting]]\nkey = \"KEY_{n:03}\"\ntype = \"string\"\ndefault = \"old\"\ncategory = \"c\"\n\
             applies = \"hot\"\ndescription = \"d\"\n"
        )
        .unwrap();
    }
    catalog
}

#[tokio::test]
async fn a_change_too_large_for_a_notification_is_read() {
    let app = TestApp::with_catalog(&catalog(120)).await;
    // An instance applies its own changes without a notification.
    let writer = Instance::builder(app.db.pool()).start().await;
    let mut listener = Listener::open(&app.db).await;
    let patch = async |count: usize, value: String, version: i64| {
        let keys: Vec<_> = (0..count).map(|n| format!("KEY_{n:03}")).collect();
        let change = |key| (key, json!(value), version);
        let changes: Vec<_> = keys.iter().map(|key| change(key.as_str())).collect();
        let change_reply = writer.change(&changes).await.ok();
        app.instance.wait_for_revision(change_reply["revision"].as_i64().unwrap()).await;
        assert_as_loaded(&app).await;
    };
    // Words of different letters, which Postgres cannot compress.
    let text = |length: usize| -> String {
        let letters = (0_u64..).map(|n| char::from(b'a' + (n * n * 7 % 26) as u8));
        letters.take(length).collect()
    };
    for (count, length, fits) in
        [(1, 5_000, true), (1, 6_000, false), (1, 60_000, false), (30, 20, true), (120, 3, false)]
    {
        let revision = app.instance.settings.revision() + 1;
        let version = psql::count(
            &app.db.pool(),
            "select version::bigint from app_global_settings where key = 'KEY_000'",
        )
        .await;
        let (applied_before, reads_before) =
            (applied(&app.instance).await, reads(&app.instance).await);
        if count > 1 {
            // The first key has more versions than the others.
            let changes: Vec<_> = (1..count)
                .map(|n| update(&format!("KEY_{n:03}"), &json!(text(length)).to_string()))
                .collect();
            let sql = format!("begin; {} commit", changes.join(" "));
            app.db.pool().execute(AssertSqlSafe(sql)).await.unwrap();
            app.instance.wait_for_revision(revision).await;
            assert_as_loaded(&app).await;
        } else {
            patch(count, text(length), version).await;
        }
        let payload = listener.next().await;
        assert_eq!(
            (payload.revision, payload.has_content()),
            (revision, fits),
            "{count} of {length}"
        );
        assert!(payload.text.len() < 8_000, "{}", payload.text.len());
        let is_applied = applied(&app.instance).await - applied_before;
        let is_read = reads(&app.instance).await - reads_before;
        assert_eq!(
            (is_applied, is_read),
            if fits { (1, 0) } else { (0, 1) },
            "{count} of {length}"
        );
    }
}

#[tokio::test]
async fn a_change_after_a_lost_notification_is_read() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let other = Instance::builder(proxy.pool(5).await).poll_every(NEVER).start().await;
    proxy.swallow_notifications();
    set_version(&app, "2", 2).await;
    psql::set(&app.db.pool(), COOLDOWN, "45").await;
    app.instance.wait_for_revision(3).await;
    proxy.pass_notifications();
    set_version(&app, "3", 4).await;
    other.wait_for_revision(4).await;
    assert_eq!(other.settings.current().get_integer(COOLDOWN), Ok(45));
    // The check of the connection may have been faster.
    assert!(applied(&other).await <= 1);
    set_version(&app, "4", 5).await;
    other.wait_for_revision(5).await;
    assert!(applied(&other).await >= 1, "the next change is applied again");
}

#[tokio::test]
async fn a_change_of_another_catalog_is_read() {
    let app = TestApp::new().await;
    let describe = "update app_global_setting_schema set description = 'changed' where key = 'BRUNE_PROMPT_ID'";
    let mut tx = app.db.owner().begin().await.unwrap();
    psql::set(&mut *tx, VERSION, r#""2""#).await;
    tx.execute(describe).await.unwrap();
    tx.commit().await.unwrap();
    app.instance.wait_for_revision(2).await;
    let snapshot = app.instance.settings.snapshot();
    assert_eq!(snapshot.schema.find("BRUNE_PROMPT_ID").unwrap().description, "changed");
    assert_eq!(applied(&app.instance).await, 0);
    // The notification of a declaration is lost, so the next change is the first sign of the new catalog.
    let proxy = Proxy::before(&app.db).await;
    let other = Instance::builder(proxy.pool(5).await).poll_every(NEVER).start().await;
    proxy.swallow_notifications();
    let again = AssertSqlSafe(describe.replace("changed", "again"));
    app.db.owner().execute(again).await.unwrap();
    let is_described = async |instance: &Instance| {
        let snapshot = instance.settings.snapshot();
        snapshot.schema.find("BRUNE_PROMPT_ID").unwrap().description == "again"
    };
    wait_until("the declaration is read", async || is_described(&app.instance).await).await;
    proxy.pass_notifications();
    set_version(&app, "3", 3).await;
    other.wait_for_revision(3).await;
    assert!(is_described(&other).await);
    assert_as_loaded(&app).await;
}

#[tokio::test]
async fn an_invalid_value_in_a_notification_is_reported_and_never_served() {
    let app = TestApp::new().await;
    psql::set(&app.db.pool(), MINUTES, "999").await;
    wait_until("the value is reported", async || !app.instance.settings.is_valid()).await;
    assert_eq!(app.instance.settings.violations()[0].key, MINUTES);
    assert_eq!(app.instance.settings.current().get_integer(MINUTES), Ok(30));
    assert_eq!(app.instance.reloads("notify", "invalid").await, 1);
    assert_eq!((applied(&app.instance).await, reads(&app.instance).await), (1, 0));
    // Another valid change does not hide the invalid value; the repair does.
    psql::set(&app.db.pool(), VERSION, r#""2""#).await;
    wait_until("the change is read", async || reads(&app.instance).await == 1).await;
    assert!(!app.instance.settings.is_valid());
    psql::set(&app.db.pool(), MINUTES, "20").await;
    app.instance.wait_for_revision(4).await;
    assert!(app.instance.settings.is_valid());
    assert_as_loaded(&app).await;
}

#[tokio::test]
async fn new_keys_of_notifications_cost_one_read_each() {
    let app = TestApp::new().await;
    set_version(&app, "2", 2).await;
    for (view, n) in [("brune_notification_key", 3), ("brune_notification_seed", 5)] {
        app.db
            .owner()
            .execute(AssertSqlSafe(format!("refresh materialized view {view}")))
            .await
            .unwrap();
        let before = reads(&app.instance).await;
        set_version(&app, &n.to_string(), n).await;
        assert_eq!(reads(&app.instance).await, before + 1, "{view}");
        set_version(&app, &(n + 1).to_string(), n + 1).await;
        assert_eq!(reads(&app.instance).await, before + 1, "{view}");
    }
    assert_as_loaded(&app).await;
}
