//! The statements that the documents tell an operator to run, and the catalog entry they begin with.

use std::time::Duration;

use brune::{
    audit,
    database::session,
    secret_scanner::SecretScanner,
    settings::{self, BRUN_E, Catalog, PublishError, PublishPlan},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};

use crate::{
    blocks, section,
    support::{INTERNAL_KEY, Instance, TestApp, admin, user},
};

const OPERATIONS: &str = include_str!("../../docs/operations.md");
const ADDING: &str = include_str!("../../docs/adding-a-setting.md");
const READING: &str = include_str!("../../docs/reading-settings.md");
const KEY: &str = "BRUNE_GREETING";

/// The one block of `kind` in the section.
fn block(text: &str, kind: &str) -> String {
    let mut actual = blocks(text).into_iter().filter(|(it, _)| *it == kind);
    let (_, block) = actual.next().expect(kind);
    assert!(actual.next().is_none(), "more than one block of {kind}");
    block
}

/// Runs `statements` as `psql` does: each by itself.
async fn run(pool: &PgPool, statements: &str) -> sqlx::Result<()> {
    let mut conn = pool.acquire().await?;
    for statement in
        statements.split_inclusive(';').filter(|statement| !statement.trim().is_empty())
    {
        if let Err(err) =
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *conn).await
        {
            conn.close_on_drop();
            return Err(err);
        }
    }
    Ok(())
}

async fn publish(pool: &PgPool, catalog: &str) -> Result<PublishPlan, PublishError> {
    settings::publish(
        &pool.clone().into(),
        &Catalog::parse(catalog).unwrap(),
        &|_| None,
        &SecretScanner::default(),
        false,
    )
    .await
}

async fn assert_unbroken(pool: &PgPool) {
    let (_, breaks) = audit::verify(&pool.clone().into()).await.unwrap();
    assert_eq!(breaks, []);
}

#[tokio::test]
async fn a_documented_change_by_psql_is_audited_and_loaded() {
    let app = TestApp::new().await;
    let statements = block(section(OPERATIONS, "## A change by psql"), "sql");
    run(&app.db.pool(), &statements).await.unwrap();
    app.instance.wait_for_revision(2).await;
    assert_eq!(app.instance.settings.current().get_integer("BRUNE_COOLDOWN_MINUTES"), Ok(45));
    let entry = audit_of(&app, "BRUNE_COOLDOWN_MINUTES").await;
    assert_eq!(entry, (Some("30".into()), Some("45".into()), Some(2), "ada".to_owned()));
    assert_unbroken(&app.db.pool()).await;
}

#[tokio::test]
async fn a_documented_stop_by_psql_stops_all_starts() {
    let app = TestApp::new().await;
    let statements = block(section(OPERATIONS, "## Stopping all session starts"), "sql");
    run(&app.db.pool(), &statements).await.unwrap();
    app.instance.start_session(&user("ana")).await.problem(503, "starts_stopped");
    let state = app.instance.get("/admin/starts").bearer(&admin("ben")).send().await.ok();
    assert_eq!(state["stopped"]["stopped_by"], "ada");
    assert_unbroken(&app.db.pool()).await;
}

#[tokio::test]
async fn a_documented_revert_by_psql_ends_the_rollout() {
    let app = TestApp::new().await;
    let ada = admin("ada");
    let post = async |path: &str, body: Value| {
        app.instance.post(path).bearer(&ada).json(&body).send().await.ok()
    };
    let stage = json!({"share": 100, "users": 10, "minutes": 10});
    let proposal = json!({
        "reason": "prompt 7 reads better",
        "changes": [{"key": "BRUNE_PROMPT_VERSION", "value": "7", "version": 1}],
        "plan": {"rollout": {"stages": [stage]}},
    });
    post("/admin/proposals", proposal).await;
    post("/admin/proposals/1/apply", json!({"edition": 1})).await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    assert_eq!(session["config"]["prompt_version"], "7");
    let statements = block(section(OPERATIONS, "## A rollout that needs a person"), "sql");
    run(&app.db.pool(), &statements).await.unwrap();
    let session = app.instance.start_session(&user("ben")).await.ok();
    assert_eq!(session["config"]["prompt_version"], "1");
    let rollout = app.instance.get("/admin/proposals/1/rollout").bearer(&ada).send().await.ok();
    assert_eq!(
        (&rollout["ended"]["cause"], &rollout["ended"]["by"]),
        (&json!("person"), &json!("ada"))
    );
    assert_unbroken(&app.db.pool()).await;
}

#[tokio::test]
async fn the_documented_serving_role_can_serve() {
    let app = TestApp::new().await;
    let pool = app.db.admin();
    // Roles are the server's, and other tests have theirs.
    let name = uuid::Uuid::new_v4().simple().to_string();
    let role = format!("serves_{name}");
    let migrates = format!("migrates_{name}");
    let logins = block(section(OPERATIONS, "## Database roles"), "sql").replace('…', "a word");
    let logins = logins.replace("brune_serve ", &format!("{role} "));
    run(&pool, &logins.replace("brune_migrate", &migrates)).await.unwrap();
    let served = session(app.db.options().username(&role).password("a word"));
    let served = PgPoolOptions::new().max_connections(3).connect_lazy_with(served);
    let instance = Instance::builder(served.clone())
        .poll_every(Duration::from_secs(1))
        .join_fleet()
        .start()
        .await;
    let change = json!({"key": "BRUNE_COOLDOWN_MINUTES", "value": 45, "version": 1});
    let call = instance.patch("/admin/global-settings?wait=applied").bearer(&admin("ada"));
    let call = call.header("idempotency-key", "k1");
    let body = json!({"reason": "a test", "changes": [change]});
    assert_eq!(call.json(&body).send().await.ok()["applied"]["instances"], 1);
    let session = instance.start_session(&user("ana")).await.ok();
    let end = format!("/brun-e/sessions/{}/end", session["session_id"].as_str().unwrap());
    instance.post(&end).bearer(&user("ana")).send().await.ok();
    for path in ["/admin/instances", "/admin/sessions/pins", "/admin/secrets"] {
        instance.get(path).bearer(&admin("ada")).send().await.ok();
    }
    instance.fleet.leave(&served.clone().into()).await.unwrap();
    drop(instance);
    served.close().await;
    run(&pool, &format!("drop role {role}; drop role {migrates}")).await.unwrap();
}

#[tokio::test]
async fn a_setting_is_added_tightened_and_removed_as_documented() {
    let app = TestApp::new().await;
    let pool = app.db.owner();
    let entry = block(section(ADDING, "## Adding one"), "toml");
    let grown = format!("{BRUN_E}\n{entry}\n");
    let plan = publish(&pool, &grown).await.unwrap();
    assert_eq!((plan.declare, plan.seed.len()), (vec![KEY.to_owned()], 1));
    app.instance.wait_for_revision(2).await;
    assert_eq!(app.instance.settings.get_string(KEY), Ok("Hello".to_owned()));

    let actual = block(section(ADDING, "## Tightening one"), "text");
    let tightened =
        grown.replace("{ max_length = 80 }", "{ max_length = 4 }").replace("\"Hello\"", "\"Hi\"");
    assert_eq!(publish(&pool, &tightened).await.unwrap_err().to_string(), actual);

    let refusal = publish(&pool, BRUN_E).await.unwrap_err().to_string();
    assert!(refusal.contains(KEY), "{refusal}");
    let statements = block(section(ADDING, "## Removing one"), "sql");
    let (before, rest) = statements.split_once("insert into").unwrap();
    let (_, after) = rest.split_once("delete from").unwrap();
    let unaudited = run(&pool, &format!("{before} delete from {after}")).await.unwrap_err();
    assert!(unaudited.to_string().contains("has no audit row"), "{unaudited}");
    run(&pool, &statements).await.unwrap();
    app.instance.wait_for_revision(3).await;
    assert!(app.instance.settings.get_string(KEY).is_err() && app.instance.settings.is_valid());
    assert!(publish(&pool, BRUN_E).await.unwrap().is_empty());
    let entry = audit_of(&app, KEY).await;
    assert_eq!(entry, (Some("\"Hello\"".into()), None, None, "ada".to_owned()));
    assert_unbroken(&pool).await;

    publish(&pool, &grown).await.unwrap();
    app.instance.wait_for_revision(4).await;
    assert_eq!(audit_of(&app, KEY).await.2, Some(2));
    assert_unbroken(&pool).await;
}

#[tokio::test]
async fn a_flag_is_evaluated_as_documented() {
    let app = TestApp::new().await;
    let section = section(READING, "## With curl");
    let request = block(section, "text");
    let path = request.split("127.0.0.1:8080").nth(1).unwrap();
    let reply = app.instance.post(path).header("x-api-key", INTERNAL_KEY).send().await;
    let json: Value = serde_json::from_str(&block(section, "json")).unwrap();
    assert_eq!(reply.ok(), json);
}

/// Of the last entry of `key`: old value, new value, version, and who.
async fn audit_of(
    app: &TestApp,
    key: &str,
) -> (Option<String>, Option<String>, Option<i32>, String) {
    let sql = "select old_value_json::text, new_value_json::text, version, changed_by
               from app_global_setting_audit where key = $1 order by seq desc limit 1";
    sqlx::query_as(sql).bind(key).fetch_one(&app.db.pool()).await.unwrap()
}
