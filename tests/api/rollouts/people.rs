//! Who may take which step, approvals, and freezes.

use serde_json::json;

use super::http::{begin, members, propose, state, step, with_rollout};
use crate::{
    proposals::{
        PROMPT, PROPOSALS, apply, approve, blocks, catalog, due::in_minutes, find, judge, post,
        protected, value,
    },
    settings::COOLDOWN,
    support::{TestApp, psql},
};

#[tokio::test]
async fn a_rollout_of_a_protected_setting_needs_its_approvals() {
    let app = protected().await;
    let number = propose(&app.instance, &[(COOLDOWN, json!(45), 1)]).await;
    apply(&app.instance, "ana", number).await.problem(409, "not_approved");
    let verdict = json!({"edition": 1, "verdict": "approve", "apply": true});
    let reply = judge(&app.instance, "ben", number, verdict).await.ok();
    assert_eq!(
        members(&reply["changed"], &["rollout", "proposal"]),
        [&json!("begun"), &json!(number)]
    );
    assert_eq!(reply["proposal"]["state"], "rolling");
    // The author may take every step that gives no more users the change.
    step(&app.instance, "ana", number, "hold").await.ok();
    step(&app.instance, "ana", number, "resume").await.ok();
    for author in ["ana", "ANA"] {
        for action in ["advance", "promote"] {
            let problem =
                step(&app.instance, author, number, action).await.problem(403, "self_approval");
            assert!(
                problem["detail"].as_str().unwrap().contains("advance nor promote"),
                "{problem}"
            );
        }
    }
    assert_eq!(step(&app.instance, "ben", number, "advance").await.ok()["stage"], 2);
    step(&app.instance, "cleo", number, "promote").await.ok();
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(45), 2));
    let number = propose(&app.instance, &[(COOLDOWN, json!(50), 2)]).await;
    approve(&app.instance, "ben", number).await.ok();
    apply(&app.instance, "ana", number).await.ok();
    step(&app.instance, "ana", number, "revert").await.ok();
}

#[tokio::test]
async fn a_rollout_that_lost_its_approvals_is_not_widened() {
    let app = protected().await;
    let number = propose(&app.instance, &[(COOLDOWN, json!(45), 1)]).await;
    approve(&app.instance, "ben", number).await.ok();
    apply(&app.instance, "ana", number).await.ok();
    let line = |approvals: u8| format!("key = \"{COOLDOWN}\"\napprovals = {approvals}");
    app.publish(&catalog().replacen(&line(1), &line(2), 1)).await;
    for action in ["advance", "promote"] {
        let problem = step(&app.instance, "ben", number, action).await.problem(409, "not_approved");
        assert_eq!(problem["standing"]["needed"], 2, "{action}");
    }
    // The missing approval can be given while the change rolls out.
    approve(&app.instance, "cleo", number).await.ok();
    assert_eq!(step(&app.instance, "ben", number, "advance").await.ok()["stage"], 2);
    step(&app.instance, "ben", number, "promote").await.ok();
}

#[tokio::test]
async fn an_objection_stops_a_rollout_until_it_is_withdrawn() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let object = json!({"edition": 1, "verdict": "object", "note": "users complain"});
    judge(&app.instance, "cleo", number, object).await.ok();
    for action in ["advance", "promote"] {
        let problem = step(&app.instance, "ben", number, action).await.problem(409, "not_approved");
        assert_eq!(problem["standing"]["objections"][0]["given_by"], "cleo", "{problem}");
    }
    step(&app.instance, "cleo", number, "hold").await.ok();
    approve(&app.instance, "cleo", number).await.ok();
    step(&app.instance, "ben", number, "resume").await.ok();
    step(&app.instance, "ben", number, "promote").await.ok();
    assert_eq!(value(&app.instance, PROMPT).await, (json!("2"), 2));
}

#[tokio::test]
async fn in_a_freeze_a_rollout_neither_begins_nor_widens_and_can_be_reverted() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let freeze = json!({"reason": "holidays", "ends_at": in_minutes(60)});
    let frozen = post(&app.instance, "ben", "/admin/freezes", &freeze).await;
    assert_eq!(frozen.status, 201, "{}", frozen.text);
    for action in ["advance", "promote"] {
        let problem =
            step(&app.instance, "ben", number, action).await.problem(409, "change_frozen");
        assert_eq!(problem["freeze"], frozen.body["id"], "{action}");
    }
    step(&app.instance, "ben", number, "hold").await.ok();
    step(&app.instance, "ben", number, "resume").await.ok();
    step(&app.instance, "ben", number, "revert").await.ok();
    let number = propose(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    assert_eq!(blocks(&find(&app.instance, number).await), ["change_frozen"]);
    apply(&app.instance, "ana", number).await.problem(409, "change_frozen");
    assert_eq!(state(&app.instance, number).await, "open");
}

#[tokio::test]
async fn a_rollout_begins_only_if_its_change_could_be_applied() {
    let app = TestApp::new().await;
    let number = propose(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    app.instance.change(&[(PROMPT, json!("3"), 1)]).await.ok();
    let problem = apply(&app.instance, "ana", number).await.problem(409, "version_conflict");
    assert_eq!(problem["conflicts"][0]["current_value"], "3", "{problem}");
    let mut body = with_rollout(&[(COOLDOWN, json!(45), 1)]);
    body["plan"]["after"] = json!(number);
    let later = post(&app.instance, "ana", PROPOSALS, &body).await.body["number"].as_i64().unwrap();
    apply(&app.instance, "ana", later).await.problem(409, "predecessor_not_applied");
}

#[tokio::test]
async fn a_rollout_waits_until_no_older_instance_runs() {
    let app = TestApp::new().await;
    let number = propose(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    // A release that knows proposals, and no rollouts.
    let row = "insert into brune_instance (id, host, version, started_at, applied_revision, seen_at, feature_level)
        values (gen_random_uuid(), 'older.example', '0.1.0', now(), 1, clock_timestamp() + interval '1 hour', 1)";
    psql::run(&app.db.pool(), row).await;
    let refused = apply(&app.instance, "ana", number).await.problem(409, "fleet_outdated");
    assert_eq!(refused["instances"][0]["host"], "older.example");
    let verdict = json!({"edition": 1, "verdict": "approve", "apply": true});
    judge(&app.instance, "ben", number, verdict.clone()).await.problem(409, "fleet_outdated");
    // A proposal without a rollout does not wait.
    let plain = crate::proposals::proposal(&[(COOLDOWN, json!(45), 1)]);
    let plain =
        post(&app.instance, "ana", PROPOSALS, &plain).await.body["number"].as_i64().unwrap();
    apply(&app.instance, "ana", plain).await.ok();
    psql::run(&app.db.pool(), "delete from brune_instance where host = 'older.example'").await;
    judge(&app.instance, "ben", number, verdict).await.ok();
    assert_eq!(state(&app.instance, number).await, "rolling");
    // More users would start on the instance without an arm.
    psql::run(&app.db.pool(), row).await;
    step(&app.instance, "ben", number, "advance").await.problem(409, "fleet_outdated");
    step(&app.instance, "ben", number, "hold").await.ok();
    step(&app.instance, "ben", number, "revert").await.ok();
}
