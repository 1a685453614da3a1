//! Proposals that are applied when their time has come, and freezes.

use brune::settings::DueOutcome;
use serde_json::{Value, json};

use super::{
    COOLDOWN, PER_DAY, PROPOSALS, apply, approve, blocks, find, get, post, proposal, protected,
    value,
};
use crate::support::{Instance, TestApp, admin, psql, wait::wait_until};

/// Proposes a change of `key` in an hour.
pub(super) async fn schedule(app: &TestApp, key: &str, new: Value, plan: Value) -> i64 {
    let (_, version) = value(&app.instance, key).await;
    let mut body = proposal(&[(key, new, version)]);
    body["plan"] = plan;
    let reply = post(&app.instance, "ana", PROPOSALS, &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.body["number"].as_i64().unwrap()
}

pub(crate) fn in_minutes(minutes: i64) -> String {
    let at = brune::clock::Clock::system().now() + chrono::TimeDelta::minutes(minutes);
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Moves the time of a proposal into the past, which only the owner of the tables can.
pub(crate) async fn let_minutes_pass(app: &TestApp, number: i64, minutes: i64) {
    let sql = format!(
        "alter table brune_proposal disable trigger brune_proposal_write;
         update brune_proposal set due_at = due_at - interval '{minutes} minutes' where number = {number};
         alter table brune_proposal enable trigger brune_proposal_write"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&app.db.admin()).await.unwrap();
}

#[tokio::test]
async fn a_due_proposal_is_applied_once() {
    let app = protected().await;
    let at = in_minutes(60);
    let number = schedule(&app, COOLDOWN, json!(45), json!({"at": at})).await;
    approve(&app.instance, "ben", number).await.ok();
    assert_eq!(blocks(&find(&app.instance, number).await), ["not_due"]);
    apply(&app.instance, "ana", number).await.problem(409, "proposal_not_due");
    assert!(app.instance.apply_due_proposals().await.is_empty());
    let_minutes_pass(&app, number, 61).await;
    let outcomes = app.instance.apply_due_proposals().await;
    assert!(matches!(outcomes[..], [(_, DueOutcome::Applied(_))]), "{outcomes:?}");
    assert!(app.instance.apply_due_proposals().await.is_empty());
    let applied = find(&app.instance, number).await;
    assert_eq!(
        (&applied["state"], &applied["ended_by"]),
        (&json!("applied"), &json!("brune:schedule"))
    );
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(45), 2));
}

#[tokio::test]
async fn a_due_proposal_that_cannot_be_applied_fails_and_says_why() {
    let app = protected().await;
    let plan = json!({"at": in_minutes(60)});
    let unapproved = schedule(&app, COOLDOWN, json!(45), plan.clone()).await;
    let missed = schedule(&app, PER_DAY, json!(7), plan.clone()).await;
    let stale = schedule(&app, PER_DAY, json!(8), plan.clone()).await;
    let_minutes_pass(&app, unapproved, 61).await;
    let_minutes_pass(&app, missed, 91).await;
    app.instance.change(&[(PER_DAY, json!(5), 1)]).await.ok();
    let_minutes_pass(&app, stale, 61).await;
    app.instance.apply_due_proposals().await;
    for (number, failure) in [(unapproved, "not_approved"), (missed, "missed"), (stale, "stale")] {
        let failed = find(&app.instance, number).await;
        assert_eq!((&failed["state"], &failed["failure"]), (&json!("failed"), &json!(failure)));
        assert_eq!(failed["ended_by"], "brune:schedule");
    }
    assert_eq!(value(&app.instance, PER_DAY).await.0, 5);
    // An edit opens the proposal again.
    let mut body = proposal(&[(PER_DAY, json!(8), 2)]);
    body["plan"] = json!({});
    let path = format!("{PROPOSALS}/{stale}");
    let edit = app.instance.call(reqwest::Method::PUT, &path).bearer(&admin("ben"));
    let edited = edit.header("if-match", "\"e1\"").json(&body).send().await.ok();
    assert_eq!((&edited["state"], &edited["failure"]), (&json!("open"), &Value::Null));
}

#[tokio::test]
async fn a_proposal_builds_on_the_result_of_another() {
    let app = protected().await;
    let raise = schedule(&app, PER_DAY, json!(9), json!({"at": in_minutes(60)})).await;
    let back = json!({"at": in_minutes(120), "after": raise});
    let back = schedule(&app, PER_DAY, value(&app.instance, PER_DAY).await.0, back).await;
    let_minutes_pass(&app, back, 121).await;
    app.instance.apply_due_proposals().await;
    assert_eq!(find(&app.instance, back).await["failure"], "predecessor");
    let again = json!({"at": in_minutes(120), "after": raise});
    let again = schedule(&app, PER_DAY, value(&app.instance, PER_DAY).await.0, again).await;
    let_minutes_pass(&app, raise, 62).await;
    let_minutes_pass(&app, again, 121).await;
    let outcomes = app.instance.apply_due_proposals().await;
    assert_eq!(outcomes.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [raise, again]);
    assert_eq!(value(&app.instance, PER_DAY).await.1, 3);
}

#[tokio::test]
async fn invalid_plans_are_refused() {
    let app = protected().await;
    for (plan, pointer) in [
        (json!({"at": in_minutes(-1)}), "/plan/at"),
        (json!({"at": in_minutes(60 * 24 * 400)}), "/plan/at"),
        (json!({"grace_minutes": 5}), "/plan/grace_minutes"),
        (json!({"after": 1}), "/plan/after"),
    ] {
        let mut body = proposal(&[(PER_DAY, json!(5), 1)]);
        body["plan"] = plan;
        let problem = post(&app.instance, "ana", PROPOSALS, &body).await;
        assert_eq!(problem.body["errors"][0]["pointer"], pointer, "{}", problem.text);
        problem.problem(400, "validation_failed");
    }
    let mut body = proposal(&[(PER_DAY, json!(5), 1)]);
    body["plan"] = json!({"at": "2027-01-01T00:00:00"});
    let problem = post(&app.instance, "ana", PROPOSALS, &body).await;
    let problem = problem.problem(400, "malformed_request");
    // Only a query needs an encoded plus.
    assert_eq!(
        problem["errors"][0]["detail"],
        "must be an RFC 3339 time with an offset, such as 2026-11-22T10:00:00Z"
    );
    let same = proposal(&[(PER_DAY, value(&app.instance, PER_DAY).await.0, 1)]);
    let problem = post(&app.instance, "ana", PROPOSALS, &same).await;
    problem.problem(400, "validation_failed");
    assert_eq!(psql::count(&app.db.admin(), "select count(*) from brune_proposal").await, 0);
}

#[tokio::test]
async fn in_a_freeze_only_an_emergency_changes_settings() {
    let app = protected().await;
    let number = schedule(&app, PER_DAY, json!(9), json!({})).await;
    let freeze = json!({"reason": "holidays", "ends_at": in_minutes(60)});
    let frozen = post(&app.instance, "ben", "/admin/freezes", &freeze).await;
    assert_eq!(frozen.status, 201, "{}", frozen.text);
    let id = frozen.body["id"].as_str().unwrap().to_owned();
    let problem = app.instance.change(&[(PER_DAY, json!(5), 1)]).await;
    let problem = problem.problem(409, "change_frozen");
    assert_eq!(problem["freeze"], json!(id), "{problem}");
    apply(&app.instance, "ana", number).await.problem(409, "change_frozen");
    assert_eq!(blocks(&find(&app.instance, number).await), ["change_frozen"]);
    let body =
        json!({"reason": "on fire", "changes": [{"key": PER_DAY, "value": 6, "version": 1}]});
    let path = "/admin/global-settings?emergency=true";
    app.instance.patch(path).bearer(&admin("ana")).json(&body).send().await.ok();
    let path = format!("/admin/freezes/{id}/end");
    post(&app.instance, "cleo", &path, &json!({"reason": "it is over"})).await.ok();
    post(&app.instance, "cleo", &path, &json!({"reason": "it is over"}))
        .await
        .problem(409, "freeze_over");
    app.instance.change(&[(PER_DAY, json!(7), 2)]).await.ok();
    let list = get(&app.instance, "/admin/freezes").send().await.ok();
    assert_eq!((&list["active"], &list["freezes"][0]["ended_by"]), (&Value::Null, &json!("cleo")));
}

#[tokio::test]
async fn a_due_proposal_that_waits_or_fails_to_run_is_counted() {
    let app = protected().await;
    let number = schedule(&app, PER_DAY, json!(9), json!({"at": in_minutes(60)})).await;
    let_minutes_pass(&app, number, 61).await;
    let freeze = json!({"reason": "holidays", "ends_at": in_minutes(60)});
    let freeze = post(&app.instance, "ben", "/admin/freezes", &freeze).await;
    let mut instance = Instance::builder(app.db.pool()).start().await;
    instance.run_change_worker();
    let count = |outcome: &str| format!("brune_proposals_due_total{{outcome=\"{outcome}\"}}");
    let [frozen, postponed, applied] = ["frozen", "postponed", "applied"].map(count);
    wait_until("the wait is counted", async || instance.metric(&frozen).await > 0).await;
    assert_eq!(instance.metric(&postponed).await, 0);
    // The database refuses what the service does not expect.
    let refuse = "alter table brune_proposal add constraint nothing_applies check (state <> 'applied') not valid";
    psql::run(&app.db.owner(), refuse).await;
    let path = format!("/admin/freezes/{}/end", freeze.body["id"].as_str().unwrap());
    post(&app.instance, "cleo", &path, &json!({"reason": "it is over"})).await.ok();
    wait_until("the failure is counted", async || instance.metric(&postponed).await > 0).await;
    assert_eq!(instance.metric(&applied).await, 0);
    psql::run(&app.db.owner(), "alter table brune_proposal drop constraint nothing_applies").await;
    wait_until("the proposal is applied", async || instance.metric(&applied).await == 1).await;
}
