//! `brune doctor`.

use crate::support::{TestApp, TestDb, binary::Home, by_hand};

#[tokio::test]
async fn a_sound_database_passes() {
    let app = TestApp::new().await;
    let said = Home::on(&app.db).run(&["doctor"]).ok();
    assert!(
        said.lines().count() >= 4 && said.lines().all(|line| line.starts_with("ok ")),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_wrong_is_named_and_fails() {
    let app = TestApp::new().await;
    let (home, pool) = (Home::on(&app.db), app.db.pool());
    by_hand::set(&pool, "BRUNE_SESSION_MAX_MINUTES", "999").await;
    by_hand::delete(&pool, "BRUNE_PROMPT_ID").await;
    by_hand::run(
        &app.db.owner(),
        "update app_global_setting_schema set description = 'other' where key = 'BRUNE_PROMPT_VERSION'",
    )
    .await;
    let said = home.run(&["doctor"]).refused(&["BRUNE_SESSION_MAX_MINUTES", "BRUNE_PROMPT_ID"]);
    assert!(said.contains("ok    audit trail: "), "{said}");
    by_hand::set(&pool, "BRUNE_SESSION_MAX_MINUTES", "30").await;
    // What only migrating mends is told with the command that does.
    let said = home
        .run(&["doctor"])
        .refused(&["BRUNE_PROMPT_VERSION has another declaration in the database"]);
    assert!(said.contains("BRUNE_PROMPT_ID has no initial value; run `brune migrate`"), "{said}");
    home.run(&["migrate"]).ok();
    home.run(&["doctor"]).ok();
}

#[tokio::test]
async fn a_trail_that_was_tampered_with_is_found() {
    let app = TestApp::new().await;
    by_hand::run(
        &app.db.owner(),
        "alter table app_global_setting_audit disable trigger user;
         update app_global_setting_audit set reason = 'nothing to see' where seq = 3;
         delete from app_global_setting_audit where seq = 5;
         alter table app_global_setting_audit enable trigger user",
    )
    .await;
    let said = Home::on(&app.db).run(&["doctor"]).refused(&["audit entry 3 was altered"]);
    assert!(said.contains("entry 5 is missing"), "{said}");
}

#[tokio::test]
async fn migrations_that_did_not_run_are_named() {
    let db = TestDb::empty().await;
    Home::on(&db).run(&["doctor"]).refused(&["is pending; run `brune migrate`"]);
}

#[tokio::test]
async fn a_private_server_is_examined_while_its_service_runs_and_when_it_does_not() {
    let home = Home::new();
    let service = home.serve();
    home.run(&["doctor"]).ok();
    assert_eq!(service.get("/admin/global-settings").await["revision"], 1);
    service.stop().await;
    home.run(&["doctor"]).ok();
    assert_eq!(home.postmaster(), None);
}

#[tokio::test]
async fn a_trigger_that_is_disabled_and_a_function_that_can_be_shadowed_are_found() {
    let app = TestApp::new().await;
    by_hand::run(
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
    by_hand::run(
        &app.db.admin(),
        "alter table app_global_settings enable trigger app_global_settings_is_audited;
         alter function app_global_setting_audit_chain() set search_path = pg_catalog, public, pg_temp",
    )
    .await;
    Home::on(&app.db).run(&["doctor"]).ok();
}

#[tokio::test]
async fn a_change_without_an_entry_is_found_after_an_ordinary_change_too() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    by_hand::run(
        &app.db.admin(),
        "alter table app_global_settings disable trigger app_global_settings_is_audited;
         alter table app_global_setting_head disable trigger app_global_setting_head_is_audited;
         update app_global_settings set value_json = '99', version = version + 1
           where key = 'BRUNE_COOLDOWN_MINUTES';
         alter table app_global_settings enable trigger app_global_settings_is_audited;
         alter table app_global_setting_head enable trigger app_global_setting_head_is_audited",
    )
    .await;
    by_hand::set(&pool, "BRUNE_COOLDOWN_MINUTES", "45").await;
    let output = Home::on(&app.db)
        .run(&["doctor"])
        .refused(&["audit entry 10 is of version 3 of BRUNE_COOLDOWN_MINUTES"]);
    assert!(output.contains("audit entry 10 is of revision 3"), "{output}");
}
