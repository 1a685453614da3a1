//! What a change answers when the database raises an error: nothing is stored, and the status says whose turn it is.

use serde_json::json;

use super::{COOLDOWN, patch, stored};
use crate::support::{TestApp, psql};

/// Makes every insert into `table` raise `error`, the end of a `raise` statement.
async fn failing(table: &str, error: &str) -> TestApp {
    let app = TestApp::new().await;
    let sql = format!(
        "create function public.fails() returns trigger language plpgsql as $$ begin raise exception {error}; end $$;
         create trigger a_fails before insert or update on {table} for each statement execute function public.fails();"
    );
    psql::run(&app.db.admin(), sql).await;
    app
}

#[tokio::test]
async fn a_change_without_its_audit_entry_is_rolled_back_with_503() {
    for error in [
        "'full'",
        "'x' using errcode = '23514'",
        "'x' using errcode = '42501'",
        "'x' using errcode = '53100'",
    ] {
        let app = failing("app_global_setting_audit", error).await;
        let before = stored(&app).await;
        let change = json!([{"key": COOLDOWN, "value": 45, "version": 1}]);
        let reply = patch(&app.instance, &change).send().await;
        assert_eq!(reply.status, 503, "{error}: {}", reply.text);
        assert!(!reply.header("retry-after").is_empty(), "{error}");
        let problem = reply.problem(503, "unavailable");
        assert!(problem["detail"].as_str().unwrap().contains("nothing was stored"), "{problem}");
        assert_eq!(stored(&app).await, before, "{error}");
    }
}

#[tokio::test]
async fn a_refused_attempt_without_its_audit_entry_answers_503() {
    let app = failing("app_global_setting_audit", "'full'").await;
    let change = json!([{"key": "OPENAI_API_KEY", "value": "x", "version": 1}]);
    patch(&app.instance, &change).send().await.problem(503, "unavailable");
}

#[tokio::test]
async fn a_temporary_database_error_answers_503_and_a_statement_error_500() {
    for (code, status) in [
        ("P0001", 503),
        ("53100", 503),
        ("53200", 503),
        ("42501", 503),
        ("25006", 503),
        ("57P01", 503),
        ("55P03", 503),
        ("40001", 503),
        ("58030", 503),
        ("XX001", 503),
        ("42P01", 500),
        ("22P02", 500),
    ] {
        let app = failing("app_global_settings", &format!("'x' using errcode = '{code}'")).await;
        let before = stored(&app).await;
        let change = json!([{"key": COOLDOWN, "value": 45, "version": 1}]);
        let reply = patch(&app.instance, &change).send().await;
        assert_eq!(reply.status.as_u16(), status, "{code}: {}", reply.text);
        assert_eq!(!reply.header("retry-after").is_empty(), status == 503, "{code}");
        assert_eq!(stored(&app).await, before, "{code}");
    }
}
