//! Rollouts that begin at their time.

use brune::settings::DueOutcome;
use serde_json::json;

use super::http::{ALLOWLIST, MINI, MODEL, begin, state, step, with_rollout};
use crate::{
    proposals::{
        PROMPT, PROPOSALS, blocks,
        due::{in_minutes, let_minutes_pass},
        find, post, proposal,
    },
    settings::PER_DAY,
    support::{TestApp, psql},
};

/// Proposes `body` in an hour, and lets the hour pass.
async fn due(app: &TestApp, mut body: serde_json::Value) -> i64 {
    body["plan"]["at"] = json!(in_minutes(60));
    let reply = post(&app.instance, "ana", PROPOSALS, &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let number = reply.body["number"].as_i64().unwrap();
    let_minutes_pass(app, number, 61).await;
    number
}

#[tokio::test]
async fn a_due_rollout_begins_once() {
    let app = TestApp::new().await;
    let number = due(&app, with_rollout(&[(PROMPT, json!("2"), 1)])).await;
    let outcomes = app.instance.apply_due_proposals().await;
    assert!(
        matches!(&outcomes[..], [(_, DueOutcome::Applied(result))] if result.rollout.is_some()),
        "{outcomes:?}"
    );
    assert!(app.instance.apply_due_proposals().await.is_empty());
    assert_eq!(state(&app.instance, number).await, "rolling");
    let begun_by = "select count(*) from brune_proposal where step_by = 'brune:schedule'";
    assert_eq!(psql::count(&app.db.admin(), begun_by).await, 1);
}

#[tokio::test]
async fn a_due_change_waits_for_the_end_of_a_rollout_that_it_would_disturb() {
    let app = TestApp::new().await;
    let rolling = begin(&app.instance, &[(MODEL, json!(MINI), 1)]).await;
    let second = due(&app, with_rollout(&[(PROMPT, json!("2"), 1)])).await;
    let same_key = due(&app, proposal(&[(MODEL, json!(MINI), 1)])).await;
    let conflict = due(&app, proposal(&[(ALLOWLIST, json!(["gpt-realtime-2.1"]), 1)])).await;
    let harmless = due(&app, proposal(&[(PER_DAY, json!(5), 1)])).await;
    let outcomes = app.instance.apply_due_proposals().await;
    for (number, outcome) in &outcomes {
        let is_expected = match outcome {
            DueOutcome::Applied(_) => *number == harmless,
            DueOutcome::Waiting => [second, same_key, conflict].contains(number),
            _ => false,
        };
        assert!(is_expected, "{number}: {outcome:?}");
    }
    assert_eq!(outcomes.len(), 4);
    for (number, code) in
        [(second, "rollout_running"), (same_key, "rollout_running"), (conflict, "rollout_conflict")]
    {
        assert_eq!(blocks(&find(&app.instance, number).await), [code], "{number}");
    }
    step(&app.instance, "ana", rolling, "revert").await.ok();
    let outcomes = app.instance.apply_due_proposals().await;
    assert!(
        outcomes.iter().all(|(_, outcome)| !matches!(outcome, DueOutcome::Waiting)),
        "{outcomes:?}"
    );
    assert_eq!(state(&app.instance, second).await, "rolling");
}

#[tokio::test]
async fn a_due_rollout_waits_until_no_older_instance_runs() {
    let app = TestApp::new().await;
    let row = "insert into brune_instance (id, host, version, started_at, applied_revision, seen_at, feature_level)
        values (gen_random_uuid(), 'older.example', '0.1.0', now(), 1, clock_timestamp() + interval '1 hour', 1)";
    psql::run(&app.db.pool(), row).await;
    let rollout = due(&app, with_rollout(&[(PROMPT, json!("2"), 1)])).await;
    let plain = due(&app, proposal(&[(PER_DAY, json!(5), 1)])).await;
    let outcomes = app.instance.apply_due_proposals().await;
    assert!(
        matches!(outcomes[..], [(_, DueOutcome::Waiting), (_, DueOutcome::Applied(_))]),
        "{outcomes:?}"
    );
    assert_eq!(
        (state(&app.instance, rollout).await, state(&app.instance, plain).await),
        ("open".to_owned(), "applied".to_owned())
    );
    // The grace period runs out meanwhile.
    let_minutes_pass(&app, rollout, 31).await;
    app.instance.apply_due_proposals().await;
    assert_eq!(find(&app.instance, rollout).await["failure"], "missed");
}

#[tokio::test]
async fn a_due_rollout_whose_plan_is_invalid_fails() {
    let app = TestApp::new().await;
    for share in ["50.0", "0"] {
        let number = due(&app, with_rollout(&[(PROMPT, json!("2"), 1)])).await;
        // Only a superuser can store such a plan.
        let sql = format!(
            "begin; set local session_replication_role = replica;
             update brune_proposal_edition set plan = jsonb_set(plan, '{{rollout,stages,0,share}}', '{share}')
             where proposal = (select id from brune_proposal where number = {number}); commit"
        );
        psql::run(&app.db.admin(), &sql).await;
        let outcomes = app.instance.apply_due_proposals().await;
        assert!(matches!(&outcomes[..], [(_, DueOutcome::Failed(_))]), "{share}: {outcomes:?}");
        assert_eq!(find(&app.instance, number).await["failure"], "invalid", "{share}");
    }
}
