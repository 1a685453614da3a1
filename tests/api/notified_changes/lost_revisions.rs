//! A database that lost the newest revisions on the same timeline, as after a crash with `synchronous_commit = off`.

use serde_json::json;
use sqlx::Executor as _;

use super::{COOLDOWN, VERSION, assert_as_loaded, payload::notify, set_version};
use crate::support::{TestApp, psql, user, wait::wait_until};

/// Removes revision 3, a change of the prompt's version, from the database.
const LOSE: &str = "set session_replication_role = replica;
    delete from app_global_setting_audit where revision = 3;
    update app_global_settings set value_json = '\"2\"', version = 2, revision = 2 where key = 'BRUNE_PROMPT_VERSION';
    update app_global_setting_head set revision = 2;
    reset session_replication_role";

#[tokio::test]
async fn settings_ahead_of_the_database_are_replaced() {
    let app = TestApp::new().await;
    set_version(&app, "2", 2).await;
    set_version(&app, "3", 3).await;
    let other = app.another_instance().await;
    app.db.admin().execute(sqlx::raw_sql(LOSE)).await.unwrap();
    notify(&app.db.pool(), "2").await;
    for instance in [&app.instance, &other] {
        let is_replaced = async || instance.settings.revision() == 2;
        wait_until("the settings of the database replace the lost ones", is_replaced).await;
        assert_eq!(instance.settings.get_string(VERSION).unwrap(), "2");
        assert!(instance.settings.is_valid());
    }
    app.instance.start_session(&user("ana")).await.ok();
    assert_as_loaded(&app).await;
    set_version(&app, "4", 3).await;
    assert_as_loaded(&app).await;
}

#[tokio::test]
async fn a_session_start_replaces_settings_ahead_of_the_database() {
    let app = TestApp::new().await;
    set_version(&app, "2", 2).await;
    set_version(&app, "3", 3).await;
    app.db.admin().execute(sqlx::raw_sql(LOSE)).await.unwrap();
    let session = app.instance.start_session(&user("ana")).await.ok();
    assert_eq!(session["config"]["revision"], 2, "{session}");
    assert_eq!(app.instance.settings.get_string(VERSION).unwrap(), "2");
}

/// The revision comes again before any instance notices the loss.
#[tokio::test]
async fn another_change_of_the_same_revision_replaces_the_lost_one() {
    let app = TestApp::new().await;
    set_version(&app, "2", 2).await;
    set_version(&app, "3", 3).await;
    app.db.admin().execute(sqlx::raw_sql(LOSE)).await.unwrap();
    // As after a restart: the secrets of all revisions are new.
    app.db.owner().execute("refresh materialized view brune_notification_seed").await.unwrap();
    psql::set(&app.db.pool(), COOLDOWN, &json!(45).to_string()).await;
    notify(&app.db.pool(), "3").await;
    let is_replaced = async || app.instance.settings.current().get_integer(COOLDOWN) == Ok(45);
    wait_until("the settings of the database replace the lost ones", is_replaced).await;
    assert_eq!(app.instance.settings.get_string(VERSION).unwrap(), "2");
    assert_as_loaded(&app).await;
}
