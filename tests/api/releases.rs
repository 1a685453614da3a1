//! Releases: names of revisions, to compare and to restore.

use std::sync::Arc;

use brune::settings::BRUN_E;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

use crate::{
    settings::{COOLDOWN, PER_DAY},
    support::{Instance, Reply, TestApp, admin, psql, user},
};

const RELEASES: &str = "/admin/releases";
const ROLLBACK: &str = "/admin/global-settings/rollback";

async fn post(instance: &Instance, person: &str, path: &str, body: Value) -> Reply {
    instance.post(path).bearer(&admin(person)).json(&body).send().await
}

async fn make(instance: &Instance, name: &str) -> Reply {
    post(instance, "ana", RELEASES, json!({"name": name, "note": "calm evenings"})).await
}

async fn get(instance: &Instance, path: &str) -> Reply {
    instance.get(path).bearer(&admin("reader")).send().await
}

async fn value(instance: &Instance, key: &str) -> Value {
    get(instance, &format!("/admin/global-settings/{key}")).await.ok()["value"].clone()
}

#[tokio::test]
async fn a_release_names_a_revision_and_its_entry_in_the_trail() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    let reply = make(&app.instance, "winter-2.0_a").await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    assert_eq!(reply.header("location"), "/admin/releases/winter-2.0_a");
    let release = reply.body;
    assert_eq!((&release["revision"], &release["made_by"]), (&json!(2), &json!("ana")));
    let sql = "select encode(hash, 'hex') from app_global_setting_audit where revision = 2";
    let hash: String = sqlx::query_scalar(sql).fetch_one(&app.db.admin()).await.unwrap();
    assert_eq!(release["digest"], json!(hash));
    assert_eq!(get(&app.instance, "/admin/releases/winter-2.0_a").await.ok(), release);
    let body = json!({"name": "first", "revision": 1, "note": "as delivered"});
    let first = post(&app.instance, "ben", RELEASES, body).await;
    assert_eq!(first.status, 201, "{}", first.text);
    assert_eq!(first.body["revision"], 1);
    let list = get(&app.instance, RELEASES).await.ok();
    assert_eq!(list, json!({"releases": [first.body, release]}));
}

#[tokio::test]
async fn a_release_needs_a_new_name_a_revision_and_a_note() {
    let app = TestApp::new().await;
    make(&app.instance, "winter").await.ok();
    make(&app.instance, "winter").await.problem(409, "release_exists");
    let too_long = "a".repeat(65);
    for name in ["", "Winter", "-winter", ".", "a b", "a/b", "wintér", "a\n", &too_long] {
        let reply = make(&app.instance, name).await;
        assert_eq!(reply.status, 400, "{name}: {}", reply.text);
    }
    make(&app.instance, &"a".repeat(64)).await.ok();
    let send = async |body: Value| post(&app.instance, "ana", RELEASES, body).await;
    send(json!({"name": "future", "revision": 9, "note": "not yet"}))
        .await
        .problem(404, "revision_not_found");
    for revision in [json!(0), json!(-1), json!("1"), json!(1.5)] {
        let reply = send(json!({"name": "wrong", "revision": revision, "note": "not yet"})).await;
        assert_eq!(reply.status, 400, "{revision}: {}", reply.text);
    }
    let problem = send(json!({"name": "bare"})).await.problem(400, "malformed_request");
    assert_eq!(problem["errors"][0]["pointer"], "/note");
    let secret = "key sk-proj-Zx81Kq0PfLw3Vn7RbTy6Hd2Mc9";
    let problem = send(json!({"name": "leak", "note": secret})).await;
    assert_eq!(problem.problem(400, "secret_like_value")["errors"][0]["pointer"], "/note");
    for path in
        ["/admin/releases/none", "/admin/releases/none/diff", "/admin/releases/winter/diff?to=none"]
    {
        get(&app.instance, path).await.problem(404, "release_not_found");
    }
    let body = json!({"reason": "tidy up"});
    post(&app.instance, "ana", "/admin/releases/none/archive", body)
        .await
        .problem(404, "release_not_found");
    let call = app.instance.get(RELEASES).bearer(&user("eve"));
    call.send().await.problem(403, "forbidden");
}

#[tokio::test]
async fn releases_are_compared_with_each_other_and_with_the_present() {
    let app = TestApp::new().await;
    make(&app.instance, "first").await.ok();
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    make(&app.instance, "second").await.ok();
    app.instance.change(&[(COOLDOWN, json!(30), 2), (PER_DAY, json!(5), 1)]).await.ok();
    let diff = async |path: &str| get(&app.instance, &format!("{RELEASES}/{path}")).await.ok();
    assert_eq!(
        diff("first/diff?to=second").await,
        json!({"from_revision": 1, "to_revision": 2, "changed": [{"key": COOLDOWN, "from": 30, "to": 45}]})
    );
    assert_eq!(
        diff("second/diff?to=first").await["changed"],
        json!([{"key": COOLDOWN, "from": 45, "to": 30}])
    );
    let now = diff("first/diff").await;
    assert_eq!(now["to_revision"], 3);
    let changed = now["changed"].as_array().unwrap();
    assert_eq!(changed.len(), 1, "{now}");
    assert_eq!((&changed[0]["key"], &changed[0]["to"]), (&json!(PER_DAY), &json!(5)));
    assert_eq!(diff("first/diff?to=first").await["changed"], json!([]));
}

#[tokio::test]
async fn a_release_is_restored_by_name_as_a_rollback() {
    let app = TestApp::new().await;
    make(&app.instance, "first").await.ok();
    app.instance.change(&[(COOLDOWN, json!(45), 1), (PER_DAY, json!(5), 1)]).await.ok();
    let roll_back = async |query: &str, body: Value| {
        post(&app.instance, "ana", &format!("{ROLLBACK}{query}"), body).await
    };
    let body = json!({"to_release": "first", "revision": 2, "reason": "calmer"});
    let plan = roll_back("?dry_run=true", body.clone()).await.ok();
    assert_eq!(plan["changed"].as_array().unwrap().len(), 2, "{plan}");
    assert_eq!(plan["changed_since"].as_array().unwrap().len(), 2, "{plan}");
    assert_eq!(value(&app.instance, COOLDOWN).await, 45);
    let missing = json!({"to_release": "first", "reason": "calmer"});
    roll_back("", missing).await.problem(428, "version_required");
    let unknown = json!({"to_release": "none", "revision": 2, "reason": "calmer"});
    roll_back("", unknown.clone()).await.problem(404, "release_not_found");
    roll_back("?dry_run=true", unknown).await.problem(404, "release_not_found");
    let stale = json!({"to_release": "first", "revision": 1, "reason": "calmer"});
    roll_back("", stale).await.problem(409, "version_conflict");
    let both = json!({"to_release": "first", "to_revision": 1, "revision": 2, "reason": "calmer"});
    roll_back("", both).await.problem(400, "malformed_request");
    let invalid = json!({"to_release": "First!", "revision": 2, "reason": "calmer"});
    assert_eq!(roll_back("", invalid).await.status, 400);
    let archive = json!({"reason": "old"});
    post(&app.instance, "ben", "/admin/releases/first/archive", archive).await.ok();
    // An archived release still names its revision.
    let restored = roll_back("", body).await.ok();
    assert_eq!(restored["revision"], 3);
    assert_eq!(value(&app.instance, COOLDOWN).await, 30);
    let diff = get(&app.instance, "/admin/releases/first/diff").await.ok();
    assert_eq!(diff["changed"], json!([]));
}

#[tokio::test]
async fn a_release_with_a_protected_setting_is_not_restored_without_approvals() {
    let line = format!("key = \"{COOLDOWN}\"");
    let app = TestApp::new().await;
    make(&app.instance, "first").await.ok();
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    app.publish(&BRUN_E.replacen(&line, &format!("{line}\napprovals = 1"), 1)).await;
    let body = json!({"to_release": "first", "revision": 2, "reason": "calmer"});
    post(&app.instance, "ana", ROLLBACK, body).await.problem(403, "approval_required");
    assert_eq!(value(&app.instance, COOLDOWN).await, 45);
}

#[tokio::test]
async fn a_release_is_archived_once() {
    let app = TestApp::new().await;
    make(&app.instance, "winter").await.ok();
    let path = "/admin/releases/winter/archive";
    let archived = post(&app.instance, "ben", path, json!({"reason": "spring"})).await.ok();
    let by = (&archived["archived_by"], &archived["archive_reason"]);
    assert_eq!(by, (&json!("ben"), &json!("spring")));
    let again = post(&app.instance, "cleo", path, json!({"reason": "summer"})).await.ok();
    assert_eq!(again, archived);
    let secret = json!({"reason": "key sk-proj-Zx81Kq0PfLw3Vn7RbTy6Hd2Mc9"});
    post(&app.instance, "ben", path, secret).await.problem(400, "secret_like_value");
    make(&app.instance, "winter").await.problem(409, "release_exists");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_concurrent_releases_has_the_name() {
    let app = TestApp::new().await;
    let instances =
        [Arc::new(app.another_instance().await), Arc::new(app.another_instance().await)];
    for round in 0..10 {
        let mut requests = JoinSet::new();
        for n in 0..4 {
            let instance = Arc::clone(&instances[n % 2]);
            let name = format!("release-{round}");
            requests.spawn(async move { make(&instance, &name).await });
        }
        let replies = requests.join_all().await;
        let made = replies.iter().filter(|reply| reply.status == 201).count();
        let existing = replies.iter().filter(|reply| reply.status == 409).count();
        assert_eq!((made, existing), (1, 3));
    }
    let sql = "select count(*) from app_global_setting_audit where key = '(release)'";
    assert_eq!(psql::count(&app.db.admin(), sql).await, 10);
}

/// Runs `sql` as the role of the service and expects an error that contains `reason`.
async fn refused(app: &TestApp, sql: &str, reason: &str) {
    match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&app.db.pool()).await {
        Ok(_) => panic!("accepted: {sql}"),
        Err(err) => assert!(err.to_string().contains(reason), "{sql}: {err}"),
    }
}

#[tokio::test]
async fn the_role_of_the_service_changes_no_release() {
    let app = TestApp::new().await;
    make(&app.instance, "winter").await.ok();
    for sql in [
        "update brune_release set revision = 2",
        "update brune_release set digest = ''",
        "update brune_release set note = 'another'",
        "update brune_release set name = 'summer'",
        "update brune_release set made_by = 'eve'",
        "update brune_release set archived_at = now()",
        "delete from brune_release",
        "truncate brune_release",
        "select brune_release_write()",
    ] {
        refused(&app, sql, "permission denied").await;
    }
    let insert = |name: &str, revision: &str, note: &str, person: &str| {
        format!(
            "insert into brune_release (name, revision, note, made_by)
             values ('{name}', {revision}, '{note}', '{person}')"
        )
    };
    refused(&app, &insert("winter", "1", "by hand", "eve"), "duplicate key").await;
    refused(&app, &insert("Summer", "1", "by hand", "eve"), "violates").await;
    refused(&app, &insert("summer\n", "1", "by hand", "eve"), "violates").await;
    refused(&app, &insert("summer", "1", "", "eve"), "violates").await;
    for revision in ["0", "2", "-1", "null"] {
        refused(&app, &insert("summer", revision, "by hand", "eve"), "there is no revision").await;
    }
    refused(&app, &insert("summer", "1", "by hand", "\u{3000}"), "cannot be shown").await;
    let archive = "update brune_release set archived_by = 'eve', archive_reason = 'old'";
    refused(&app, "update brune_release set archived_by = 'eve'", "violates").await;
    refused(&app, "update brune_release set archive_reason = 'old'", "only be archived").await;
    psql::run(&app.db.pool(), archive).await;
    refused(&app, archive, "only once").await;
    let undone = "update brune_release set archived_by = null, archive_reason = null";
    refused(&app, undone, "only once").await;
    // Digest and time are of the trigger, and a new release is not archived, whatever was sent.
    let sql = "insert into brune_release (name, revision, digest, note, made_by, made_at, archived_by, archived_at, archive_reason)
        values ('summer', 1, 'x', 'by hand', 'eve', now() - interval '1 year', 'eve', now(), 'old')";
    psql::run(&app.db.pool(), sql).await;
    let sql = "select count(*) from brune_release r where name = 'summer' and archived_by is null
        and made_at > now() - interval '1 hour' and digest = (
          select hash from app_global_setting_audit where revision = 1 order by seq desc limit 1)";
    assert_eq!(psql::count(&app.db.pool(), sql).await, 1);
    // The owner of the tables is stopped by triggers.
    for sql in [
        "delete from brune_release",
        "truncate brune_release",
        "update brune_release set note = 'another'",
    ] {
        let result = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&app.db.owner()).await;
        assert!(result.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn every_release_is_in_the_trail_and_no_refused_one() {
    let app = TestApp::new().await;
    make(&app.instance, "winter").await.ok();
    make(&app.instance, "winter").await.problem(409, "release_exists");
    let path = "/admin/releases/winter/archive";
    for _ in 0..2 {
        post(&app.instance, "ben", path, json!({"reason": "spring"})).await.ok();
    }
    let sql = "select changed_by || ' ' || (new_value_json ->> 'event') || ' ' || (new_value_json ->> 'release')
          || ' ' || reason
        from app_global_setting_audit where action = 'decision' and key = '(release)' order by seq";
    let entries: Vec<String> = sqlx::query_scalar(sql).fetch_all(&app.db.admin()).await.unwrap();
    assert_eq!(entries, ["ana released winter calm evenings", "ben archived winter spring"]);
    let verified = get(&app.instance, "/admin/audit/verify").await.ok();
    assert_eq!(verified["breaks"], json!([]));
}
