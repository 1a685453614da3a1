//! `brune doctor`.

use crate::support::{TestApp, TestDb, binary::Home, psql};

#[tokio::test]
async fn a_valid_database_passes() {
    let app = TestApp::new().await;
    let output = Home::on(&app.db).run(&["doctor"]).ok();
    assert!(
        output.lines().count() >= 4 && output.lines().all(|line| line.starts_with("ok ")),
        "{output}"
    );
}

#[tokio::test]
async fn invalid_settings_are_reported_with_a_failure() {
    let app = TestApp::new().await;
    let home = Home::on(&app.db);
    let pool = app.db.pool();
    psql::set(&pool, "BRUNE_SESSION_MAX_MINUTES", "999").await;
    psql::delete(&pool, "BRUNE_PROMPT_ID").await;
    psql::run(
        &app.db.owner(),
        "update app_global_setting_schema set description = 'other' where key = 'BRUNE_PROMPT_VERSION'",
    )
    .await;
    let output = home.run(&["doctor"]).refused(&["BRUNE_SESSION_MAX_MINUTES", "BRUNE_PROMPT_ID"]);
    assert!(output.contains("ok    audit trail: "), "{output}");
    psql::set(&pool, "BRUNE_SESSION_MAX_MINUTES", "30").await;
    // What only migrating mends is told with the command that does.
    let output = home
        .run(&["doctor"])
        .refused(&["BRUNE_PROMPT_VERSION has another declaration in the database"]);
    assert!(
        output.contains("BRUNE_PROMPT_ID has no initial value; run `brune migrate`"),
        "{output}"
    );
    home.run(&["migrate"]).ok();
    home.run(&["doctor"]).ok();
}

#[tokio::test]
async fn a_tampered_audit_chain_is_found() {
    let app = TestApp::new().await;
    psql::run(
        &app.db.owner(),
        "alter table app_global_setting_audit disable trigger user;
         update app_global_setting_audit set reason = 'nothing to see' where seq = 3;
         delete from app_global_setting_audit where seq = 5;
         alter table app_global_setting_audit enable trigger user",
    )
    .await;
    let output = Home::on(&app.db).run(&["doctor"]).refused(&["audit entry 3 was altered"]);
    assert!(output.contains("entry 5 is missing"), "{output}");
}

#[tokio::test]
async fn pending_migrations_are_reported() {
    let db = TestDb::empty().await;
    Home::on(&db).run(&["doctor"]).refused(&["is pending; run `brune migrate`"]);
}

#[tokio::test]
async fn an_embedded_server_is_checked_with_and_without_a_running_service() {
    let home = Home::new();
    let service = home.serve();
    home.run(&["doctor"]).ok();
    assert_eq!(service.get("/admin/global-settings").await["revision"], 1);
    service.stop().await;
    home.run(&["doctor"]).ok();
    assert_eq!(home.postmaster(), None);
}

#[tokio::test]
async fn a_disabled_trigger_and_a_shadowable_function_are_found() {
    let app = TestApp::new().await;
    psql::run(
        &app.db.admin(),
        "alter table app_global_settings disable trigger app_global_settings_is_audited;
         alter function app_global_setting_audit_chain() reset search_path",
    )
    .await;
    let output = Home::on(&app.db)
        .run(&["doctor"])
        .refused(&["trigger app_global_settings_is_audited on app_global_settings is disabled"]);
    let function = "function app_global_setting_audit_chain() has no fixed search_path";
    assert!(output.contains(function), "{output}");
    // The cures that it names are the cures.
    psql::run(
        &app.db.admin(),
        "alter table app_global_settings enable trigger app_global_settings_is_audited;
         alter function app_global_setting_audit_chain() set search_path = pg_catalog, public, pg_temp",
    )
    .await;
    Home::on(&app.db).run(&["doctor"]).ok();
}

#[tokio::test]
async fn an_unaudited_change_is_found_after_a_regular_one() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    psql::run(
        &app.db.admin(),
        "alter table app_global_settings disable trigger app_global_settings_is_audited;
         alter table app_global_setting_head disable trigger app_global_setting_head_is_audited;
         update app_global_settings set value_json = '99', version = version + 1
           where key = 'BRUNE_COOLDOWN_MINUTES';
         set constraints all immediate;
         alter table app_global_settings enable trigger app_global_settings_is_audited;
         alter table app_global_setting_head enable trigger app_global_setting_head_is_audited",
    )
    .await;
    psql::set(&pool, "BRUNE_COOLDOWN_MINUTES", "45").await;
    let output = Home::on(&app.db)
        .run(&["doctor"])
        .refused(&["audit entry 10 has version 3 of BRUNE_COOLDOWN_MINUTES"]);
    assert!(output.contains("audit entry 10 has revision 3"), "{output}");
}
