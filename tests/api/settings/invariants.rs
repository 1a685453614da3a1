//! What Postgres holds for every writer, psql included.

use serde_json::json;
use sqlx::Executor as _;

use super::{COOLDOWN, psql, set_by_sql, stored, value_of};
use crate::support::TestApp;

/// Statements that tell the trail of the change that `set` makes to the cooldown.
fn change(set: &str, audit: &str) -> String {
    format!(
        "begin;
        update app_global_settings set {set}, updated_by = 'psql' where key = '{COOLDOWN}';
        insert into app_global_setting_audit
          (key, action, old_value_json, new_value_json, version, changed_by, reason, changed_at)
          values ({audit}, 'psql', 'by hand', now());
        commit"
    )
}

/// Holds `sql` to be refused to the owner of the tables with a message that has `word` in it, and to leave nothing
/// behind.
async fn refused(app: &TestApp, sql: &str, word: &str) {
    let before = stored(app).await;
    let pool = app.db.owner();
    let mut conn = pool.acquire().await.unwrap();
    let fault = conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await;
    let _ = conn.execute("rollback").await;
    drop(conn);
    let fault = fault.expect_err(sql).to_string();
    assert!(fault.contains(word), "{sql}: {fault}");
    assert_eq!(stored(app).await, before, "{sql}");
}

#[tokio::test]
async fn a_valid_change_by_sql_is_loaded() {
    let app = TestApp::new().await;
    let sql =
        change("value_json = '45', version = 2", &format!("'{COOLDOWN}', 'update', '30', '45', 2"));
    app.db.pool().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
    app.instance.wait_for_revision(2).await;
    assert_eq!(app.instance.settings.current().get_integer(COOLDOWN), Ok(45));
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(45), 2));
    // And the next one goes through the service.
    app.instance.change(&[(COOLDOWN, json!(50), 2)]).await.ok();
}

#[tokio::test]
async fn no_change_commits_without_its_audit_entry() {
    let app = TestApp::new().await;
    for sql in [
        "update app_global_settings set value_json = '45', version = version + 1
            where key = 'BRUNE_COOLDOWN_MINUTES'",
        "delete from app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES'",
        "update app_global_settings set version = version + 1",
    ] {
        refused(&app, sql, "has no audit row").await;
    }
    let of_another = change(
        "value_json = '45', version = 2",
        "'BRUNE_MAX_SESSIONS_PER_DAY', 'update', '3', '5', 2",
    );
    refused(&app, &of_another, "audit row").await;
    let of_another_value =
        change("value_json = '45', version = 2", &format!("'{COOLDOWN}', 'update', '30', '46', 2"));
    refused(&app, &of_another_value, "audit row").await;
    let refusal = change(
        "value_json = '45', version = 2",
        &format!("'{COOLDOWN}', 'refused', null, null, null"),
    );
    refused(&app, &refusal, "has no audit row").await;
}

#[tokio::test]
async fn no_audit_entry_commits_without_its_change() {
    let app = TestApp::new().await;
    let lie = |values: &str| {
        format!(
            "insert into app_global_setting_audit
          (key, action, old_value_json, new_value_json, version, changed_by, reason, changed_at)
          values ({values}, 'psql', 'a lie', now())"
        )
    };
    for (values, word) in [
        ("'BRUNE_COOLDOWN_MINUTES', 'update', '30', '45', 2", "tells of no change"),
        ("'NO_SUCH_KEY', 'update', null, '45', 1", "tells of no change"),
        ("'BRUNE_COOLDOWN_MINUTES', 'update', '30', '30', 1", "duplicate key"),
        ("'BRUNE_COOLDOWN_MINUTES', 'update', '30', '45', null", "change_has_its_version"),
        ("'BRUNE_COOLDOWN_MINUTES', 'refused', null, '45', 2", "refused_has_no_values"),
        ("'BRUNE_COOLDOWN_MINUTES', 'invented', null, null, null", "action_check"),
    ] {
        refused(&app, &lie(values), word).await;
    }
}

#[tokio::test]
async fn the_old_value_of_an_audit_entry_is_set_by_the_database() {
    let app = TestApp::new().await;
    let lie =
        change("value_json = '45', version = 2", &format!("'{COOLDOWN}', 'update', '99', '45', 2"));
    psql_owned(&app, lie).await;
    set_by_sql(&app.db.pool(), COOLDOWN, &json!(50)).await.unwrap();
    let trail = super::entries(&app.instance, &format!("key={COOLDOWN}")).await;
    let before: Vec<_> = trail.iter().map(|entry| entry["old_value"].clone()).collect();
    assert_eq!(before, [json!(45), json!(30), json!(null)]);
}

#[tokio::test]
async fn the_audit_table_is_append_only() {
    let app = TestApp::new().await;
    for sql in [
        "update app_global_setting_audit set reason = 'better'",
        "update app_global_setting_audit set reason = 'better' where seq = 1",
        "delete from app_global_setting_audit where seq = 1",
        "delete from app_global_setting_audit",
        "truncate app_global_setting_audit",
        "truncate app_global_settings, app_global_setting_audit cascade",
    ] {
        refused(&app, sql, "refused").await;
    }
}

#[tokio::test]
async fn settings_are_never_truncated() {
    let app = TestApp::new().await;
    refused(&app, "truncate app_global_settings", "truncate is refused").await;
    refused(&app, "truncate app_global_setting_schema cascade", "refused").await;
}

#[tokio::test]
async fn the_database_refuses_wrong_types_and_undeclared_keys() {
    let app = TestApp::new().await;
    for (set, word) in [
        ("value_json = '\"45\"', version = 2", "is_of_its_type"),
        ("value_json = 'null', version = 2", "is_of_its_type"),
        ("value_json = '[45]', version = 2", "is_of_its_type"),
        ("value_json = null, version = 2", "null value"),
        ("value_type = 'string', value_json = '\"45\"', version = 2", "is_declared"),
        ("key = 'NO_SUCH_KEY', version = 2", "keeps its key"),
    ] {
        let sql = change(set, &format!("'{COOLDOWN}', 'update', '30', '45', 2"));
        refused(&app, &sql, word).await;
    }
    let mixed = "update app_global_settings set value_json = '[\"a\", 1]', version = 2
        where key = 'BRUNE_ELIGIBILITY_ALLOWED_LEVELS'";
    refused(&app, mixed, "is_of_its_type").await;
    let undeclared = "insert into app_global_settings
        (key, value_json, value_type, updated_by, updated_at, version, revision)
        values ('NO_SUCH_KEY', '1', 'number', 'psql', now(), 1, 1)";
    refused(&app, undeclared, "is_declared").await;
    let declared = "delete from app_global_setting_schema where key = 'BRUNE_COOLDOWN_MINUTES'";
    refused(&app, declared, "is_declared").await;
}

#[tokio::test]
async fn a_version_grows_by_one_and_only_by_one() {
    let app = TestApp::new().await;
    for version in [1, 3, 0, -1] {
        let sql = change(
            &format!("value_json = '45', version = {version}"),
            &format!("'{COOLDOWN}', 'update', '30', '45', {version}"),
        );
        refused(&app, &sql, "the next version of BRUNE_COOLDOWN_MINUTES is 2").await;
    }
    let silent = "update app_global_settings set updated_by = 'nobody'
        where key = 'BRUNE_COOLDOWN_MINUTES'";
    refused(&app, silent, "the next version").await;
}

#[tokio::test]
async fn revision_and_time_are_set_by_the_database() {
    let app = TestApp::new().await;
    let sql = change(
        "value_json = '45', version = 2, revision = 77, updated_at = '1999-01-01'",
        &format!("'{COOLDOWN}', 'update', '30', '45', 2"),
    );
    psql_owned(&app, sql).await;
    set_by_sql(&app.db.pool(), COOLDOWN, &json!(50)).await.unwrap();
    let trail = super::entries(&app.instance, &format!("key={COOLDOWN}")).await;
    let revisions: Vec<_> = trail.iter().map(|entry| entry["revision"].as_i64().unwrap()).collect();
    assert_eq!(revisions, [3, 2, 1]);
    let times: Vec<_> = trail.iter().map(|entry| entry["changed_at"].as_str().unwrap()).collect();
    assert!(times[2] < times[1] && times[1] < times[0], "{times:?}");
    let sql = "select count(*) from app_global_settings s join app_global_setting_audit a
        on a.key = s.key and a.version = s.version
        where (a.revision, a.changed_at) is distinct from (s.revision, s.updated_at)";
    let apart: i64 = sqlx::query_scalar(sql).fetch_one(&app.db.pool()).await.unwrap();
    assert_eq!(apart, 0);
}

async fn psql_owned(app: &TestApp, sql: String) {
    app.db.pool().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
}

#[tokio::test]
async fn a_number_out_of_range_is_reported_and_can_be_repaired() {
    let app = TestApp::new().await;
    // 2^70: a number to Postgres, and more digits than a setting keeps.
    psql(
        &app.db.pool(),
        "begin;
        update app_global_settings set value_json = '1180591620717411303424', version = 2, updated_by = 'psql'
          where key = 'BRUNE_COOLDOWN_MINUTES';
        insert into app_global_setting_audit
          (key, action, old_value_json, new_value_json, version, changed_by, reason, changed_at)
          values ('BRUNE_COOLDOWN_MINUTES', 'update', '30', '1180591620717411303424', 2, 'psql',
            'by hand', now());
        commit",
    )
    .await
    .unwrap();
    super::read(&app.instance, super::PATH).await.ok();
    super::read(&app.instance, super::HISTORY).await.ok();
    app.instance.change(&[(COOLDOWN, json!(45), 2)]).await.ok();
    app.instance.wait_for_revision(3).await;
    let actual_rollback = json!({"key": COOLDOWN, "to_version": 2, "version": 3});
    let actual_rollback =
        super::rollback(&app.instance, super::ROLLBACK, actual_rollback).send().await;
    actual_rollback.problem(404, "version_not_found");
    set_by_sql(&app.db.pool(), COOLDOWN, &json!(1e22)).await.unwrap();
    let stale = json!({"to_revision": 1, "revision": 3});
    let stale = super::rollback(&app.instance, super::ROLLBACK, stale).send().await;
    stale.problem(409, "version_conflict");
    let whole = json!({"to_revision": 1, "revision": 4});
    super::rollback(&app.instance, super::ROLLBACK, whole).send().await.ok();
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(30), 5));
}

#[tokio::test]
async fn a_number_that_overflows_is_refused() {
    let app = TestApp::new().await;
    let sql = change(
        "value_json = '1e400', version = 2",
        &format!("'{COOLDOWN}', 'update', '30', '1e400', 2"),
    );
    refused(&app, &sql, "is_of_its_type").await;
}
