//! Changes in one statement: as the steps under the lock would have made them, and never on outdated settings.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    ALLOWLIST, COOLDOWN, HISTORY, MAX_MINUTES, MODEL, PATH, PER_DAY, ROLLBACK, entries, patch,
    psql, read, stored, value_of,
};
use crate::support::{Call, Instance, TestApp, admin, proxy::Proxy, psql as sql};

/// Makes every change on `app` take the steps under the lock: the database refuses the single statement.
async fn refuse_single_statements(app: &TestApp) {
    let trigger =
        "create function public.refuse_single_statements() returns trigger language plpgsql as $$
          begin
            if current_query() like '%with expected (key%' then
              raise exception 'one statement';
            end if;
            return null;
          end $$;
        create trigger refuse_single_statements before update on app_global_settings
          for each statement execute function public.refuse_single_statements()";
    sql::run(&app.db.admin(), trigger).await;
}

/// A write of every kind, in an order in which each finds the versions that it expects.
fn writes(instance: &Instance) -> Vec<Call<'_>> {
    let call = |method: Method, path: &str| instance.call(method, path).bearer(&admin("admin-1"));
    let changes = |changes: Value| patch(instance, &changes);
    let roll_back = |mut target: Value| {
        target["reason"] = json!("back again");
        call(Method::POST, ROLLBACK).json(&target)
    };
    let cooldown =
        |value: i64, version: i64| json!({"key": COOLDOWN, "value": value, "version": version});
    let config = format!("/admin/config/{COOLDOWN}");
    let import = "/admin/config/import?reason=a+test&on_conflict=overwrite";
    let document =
        json!({"format_version": 1, "settings": {COOLDOWN: 7, PER_DAY: 9, MAX_MINUTES: 25}});
    let models = json!(["gpt-realtime-2.1", "gpt-realtime-3"]);
    vec![
        changes(json!([cooldown(45, 1)])),
        // The same value, and another beside an equal one; in an order that is not the order of the keys.
        changes(json!([cooldown(45, 2)])),
        changes(
            json!([{"key": PER_DAY, "value": 4, "version": 1}, cooldown(45, 2), {"key": MAX_MINUTES, "value": 20, "version": 1}]),
        ),
        // A list, and a member of the list.
        changes(json!([{"key": ALLOWLIST, "value": models, "version": 1}])),
        changes(json!([{"key": MODEL, "value": "gpt-realtime-3", "version": 1}])),
        changes(json!([{"key": ALLOWLIST, "value": ["gpt-realtime-2.1"], "version": 2}])),
        // With the revision instead of versions; the first does not exist yet.
        changes(json!([{"key": COOLDOWN, "value": 46}])).header("if-match", "\"r99\""),
        changes(json!([{"key": COOLDOWN, "value": 46}])).header("if-match", "\"r5\""),
        changes(json!([{"key": COOLDOWN, "value": 47}])),
        // An outdated version, an invalid value, a locked key, a secret, a dry run.
        changes(json!([cooldown(50, 1)])),
        changes(json!([cooldown(-1, 3)])),
        changes(json!([cooldown(50, 3), {"key": "OPENAI_API_KEY", "value": "x", "version": 1}])),
        changes(json!([cooldown(50, 3), {"key": "OPENAI_API_KEY", "value": "x", "version": 1}]))
            .header("prefer", "handling=lenient"),
        call(Method::PATCH, &format!("{PATH}?dry_run=true"))
            .json(&json!({"reason": "a test", "changes": [cooldown(51, 4)]})),
        // The first result for a repeat, also of a request that is outdated meanwhile; the key for another request.
        changes(json!([cooldown(52, 4)])).header("idempotency-key", "k1"),
        changes(json!([cooldown(52, 4)])).header("idempotency-key", "k1"),
        changes(json!([cooldown(53, 5)])).header("idempotency-key", "k1"),
        call(Method::PUT, &config).json(&json!({"value": 54, "version": 5, "reason": "a test"})),
        call(Method::DELETE, &format!("{config}?reason=a+test&version=6")),
        roll_back(json!({"key": COOLDOWN, "to_version": 2, "version": 7})),
        roll_back(json!({"to_revision": 1, "revision": 11})),
        call(Method::POST, import).json(&document),
    ]
}

/// Removes what differs between two equal runs: times and ids.
fn without_times(text: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    remove_times(&mut value);
    value.to_string()
}

fn remove_times(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in ["id", "request_id", "changed_at", "updated_at", "instance"] {
                members.remove(name);
            }
            members.values_mut().for_each(remove_times);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_times),
        _ => (),
    }
}

/// What a run answers, and what it leaves.
async fn run(app: &TestApp) -> Vec<String> {
    let mut replies = Vec::new();
    for call in writes(&app.instance) {
        let reply = call.send().await;
        let etag = if reply.status.is_success() { reply.header("etag") } else { "" };
        replies.push(format!("{} {etag} {}", reply.status, without_times(&reply.text)));
    }
    let trail = read(&app.instance, &format!("{HISTORY}?limit=200")).await;
    replies.push(without_times(&trail.text));
    replies.push(without_times(&stored(app).await));
    let results =
        "select string_agg(caller || ' ' || key || ' ' || body, ';') from app_idempotency_key";
    replies.push(sqlx::query_scalar(results).fetch_one(&app.db.pool()).await.unwrap());
    let (_, breaks) = brune::audit::verify(&app.db.own_pool().await).await.unwrap();
    assert_eq!(breaks, []);
    replies
}

#[tokio::test]
async fn one_statement_leaves_the_same_answers_and_trail_as_the_steps_under_the_lock() {
    let apps = [TestApp::new().await, TestApp::new().await];
    refuse_single_statements(&apps[1]).await;
    let [in_one_statement, in_steps] = [run(&apps[0]).await, run(&apps[1]).await];
    for (index, (first, second)) in in_one_statement.iter().zip(&in_steps).enumerate() {
        assert_eq!(first, second, "write {index}");
    }
    let successes = in_one_statement.iter().filter(|reply| reply.starts_with("200")).count();
    assert!(successes >= 14, "{in_one_statement:#?}");
}

#[tokio::test]
async fn a_change_after_another_takes_one_round_trip() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance = Instance::builder(proxy.pool(1).await).without_listener().start().await;
    let change = async |version: i64| {
        instance.change(&[(COOLDOWN, json!(version), version)]).await.ok();
        // Without a listener, and without a query.
        assert_eq!(instance.settings.revision(), version + 1);
    };
    // Connections are opened and statements prepared once, not with every change.
    for version in 1..=5 {
        change(version).await;
    }
    let before = proxy.round_trips();
    for version in 6..=55 {
        change(version).await;
    }
    // A ping precedes a change after a second without a change, as on a busy machine.
    let round_trips = proxy.round_trips() - before;
    assert!((50..75).contains(&round_trips), "{round_trips} round trips for 50 changes");
}

#[tokio::test]
async fn a_change_on_outdated_settings_is_checked_with_the_values_of_the_database() {
    let app = TestApp::new().await;
    let outdated = Instance::builder(app.db.pool()).without_listener().start().await;
    app.instance.change(&[(ALLOWLIST, json!(["gpt-realtime-2.1"]), 1)]).await.ok();
    let before = stored(&app).await;
    let reply = outdated.change(&[(MODEL, json!("gpt-realtime-2.1-mini"), 1)]).await;
    assert_eq!(reply.problem(400, "validation_failed")["errors"][0]["code"], "not_in_list");
    assert_eq!(stored(&app).await, before);
    let changed = outdated.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    assert_eq!(changed["revision"], 3);
    outdated.change(&[(COOLDOWN, json!(46), 1)]).await.problem(409, "version_conflict");
}

#[tokio::test]
async fn a_change_during_an_open_change_waits_and_is_decided_afterwards() {
    let app = TestApp::new().await;
    let mut open = app.db.owner().begin().await.unwrap();
    sql::set(&mut *open, COOLDOWN, "60").await;
    let edits = [(COOLDOWN, json!(45), 1)];
    let change = app.instance.change(&edits);
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let pool = app.db.admin();
    let commit = async {
        let is_waiting = async || sql::count(&pool, waiting).await == 1;
        crate::support::wait::wait_until("the change waits for the lock", is_waiting).await;
        open.commit().await.unwrap();
    };
    let (reply, ()) = tokio::join!(change, commit);
    reply.problem(409, "version_conflict");
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(60), 2));
}

#[tokio::test]
async fn a_lost_answer_is_504_and_a_repeat_returns_the_first_result() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance = Instance::builder(proxy.pool(1).await).without_listener().start().await;
    let change = json!([{"key": COOLDOWN, "value": 45, "version": 1}]);
    let send = || patch(&instance, &change).header("idempotency-key", "k1");
    proxy.lose_an_answer();
    send().send().await.problem(504, "outcome_unknown");
    assert!(!proxy.is_to_lose());
    let repeated = send().send().await.ok();
    assert_eq!((&repeated["revision"], &repeated["changed"][0]["version"]), (&json!(2), &json!(2)));
    assert_eq!(entries(&app.instance, "action=update").await.len(), 1);
}

/// The statement must not be sent again when less time is left than a lock may be waited for: the server would store the
/// change after the answer.
#[tokio::test]
async fn a_setting_that_stays_locked_is_503_and_nothing_is_stored() {
    let app = TestApp::new().await;
    let mut open = app.db.owner().begin().await.unwrap();
    let lock = "select from app_global_settings where key = $1 for update";
    sqlx::query(lock).bind(COOLDOWN).execute(&mut *open).await.unwrap();
    let change = json!([{"key": COOLDOWN, "value": 45, "version": 1}]);
    let problem = patch(&app.instance, &change).send().await.problem(503, "unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("nothing was stored"), "{problem}");
    open.rollback().await.unwrap();
    // A statement under way would hold the lock of the head, for which the next change waits.
    let changed = app.instance.change(&[(PER_DAY, json!(4), 1)]).await.ok();
    assert_eq!((&changed["revision"], value_of(&app, COOLDOWN).await.1), (&json!(2), 1));
}

#[tokio::test]
async fn a_connection_that_broke_before_its_use_leaves_nothing_unknown() {
    let app = TestApp::new().await;
    let instance = Instance::builder(app.db.own_pool().await).without_listener().start().await;
    for version in 1..=3 {
        assert!(sql::end_sessions(&app.db.admin(), "application_name = 'brune'").await > 0);
        instance.change(&[(COOLDOWN, json!(version), version)]).await.ok();
    }
}

#[tokio::test]
async fn every_entry_has_the_hash_of_the_function() {
    let app = TestApp::new().await;
    run(&app).await;
    sql::leave_secret(&app.db.pool(), "OPENAI_API_KEY", "an older one").await;
    let clean_up = "begin;
        delete from app_global_settings where key = 'OPENAI_API_KEY';
        insert into app_global_setting_audit (key, action, changed_by, reason)
        values ('OPENAI_API_KEY', 'secret_cleanup', 'dba', 'a test');
        commit";
    psql(&app.db.owner(), clean_up).await.unwrap();
    sql::delete(&app.db.owner(), COOLDOWN).await;
    let differing = "select count(*) from app_global_setting_audit a
        where hash <> app_global_setting_audit_hash(a)";
    assert_eq!(sql::count(&app.db.owner(), differing).await, 0);
    let actions = "select string_agg(distinct action, ' ') from app_global_setting_audit";
    let actions: String = sqlx::query_scalar(actions).fetch_one(&app.db.owner()).await.unwrap();
    assert_eq!(actions, "import refused reset rollback secret_cleanup seed update");
    let empty =
        "select count(*) from app_global_setting_audit where version is null and action = 'update'";
    assert_eq!(sql::count(&app.db.owner(), empty).await, 1);
}

#[tokio::test]
async fn the_check_of_a_large_change_reads_each_entry_a_few_times() {
    let app = TestApp::new().await;
    let declare = "insert into app_global_setting_schema (key, kind, value_type, category, editable,
          constraints_json, default_json, default_source, applies, required, description)
        select 'LARGE_' || n, 'setting', 'number', 'large', true, '{}', '1', 'seed', 'hot', 'always', ''
        from generate_series(1, 200) n;
        insert into app_global_settings (key, value_type, value_json, version, updated_by, updated_at, revision)
        select key, value_type, default_json, 1, 'test', now(), 0
        from app_global_setting_schema where category = 'large';
        insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
        select key, 'seed', value_json, version, 'test', 'a test' from app_global_settings where updated_by = 'test'";
    psql(&app.db.owner(), declare).await.unwrap();
    // With many small revisions the planner expects few entries of any revision.
    let change_often = "do $$ begin
          for n in 1..800 loop
            update app_global_settings set value_json = '3', version = version + 1 where key = 'LARGE_1';
            insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
            select key, 'update', value_json, version, 'test', 'a test' from app_global_settings where key = 'LARGE_1';
            commit;
          end loop;
        end $$";
    psql(&app.db.owner(), change_often).await.unwrap();
    psql(&app.db.owner(), "analyze").await.unwrap();
    let mut tx = app.db.owner().begin().await.unwrap();
    let change = "with changed as (update app_global_settings set value_json = '2', version = version + 1
          where updated_by = 'test' returning key, value_json, version)
        insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
        select key, 'update', value_json, version, 'test', 'a test' from changed";
    sqlx::query(change).execute(&mut *tx).await.unwrap();
    let fetched = "select idx_tup_fetch from pg_stat_xact_user_tables where relname = 'app_global_setting_audit'";
    let before: i64 = sqlx::query_scalar(fetched).fetch_one(&mut *tx).await.unwrap();
    sqlx::query("set constraints all immediate").execute(&mut *tx).await.unwrap();
    let after: i64 = sqlx::query_scalar(fetched).fetch_one(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let read = after - before;
    assert!((200..1_000).contains(&read), "{read} entries were read for 200 changes");
}
