//! Steps that the rule decided: each instance decides, one acts, and a decision for an earlier position does nothing.

use brune::{
    database::read_with_retry,
    proposals::{self, HeldReason, RevertCause},
    settings::{RolloutPosition, RuleOutcome, RuleStep},
};
use serde_json::{Value, json};

use super::http::{MINI, MODEL, begin, members, state, step};
use crate::{
    proposals::{PROMPT, PROPOSALS, catalog, due::in_minutes, find, get, post, protected, value},
    settings::COOLDOWN,
    support::{Instance, TestApp, psql},
};

/// The position of the rollout `number`.
async fn position(instance: &Instance, number: i64) -> RolloutPosition {
    let found = read_with_retry(&instance.pool, async |conn| proposals::find(conn, number).await);
    RolloutPosition::of(&found.await.unwrap().unwrap()).unwrap()
}

/// Takes `step` of the rule for `position`.
async fn follow(instance: &Instance, position: RolloutPosition, step: RuleStep) -> RuleOutcome {
    let writer = instance.settings_writer();
    let evidence = json!({"guards": [{"guard": "start_failed", "candidate": 3, "control": 0}]});
    let reason = "the counts are clear";
    writer.follow_rollout_rule(position, step, reason, Some(&evidence)).await.unwrap()
}

#[tokio::test]
async fn the_rule_takes_every_step() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let at = async || position(&app.instance, number).await;
    let hold = RuleStep::Hold(HeldReason::Inconclusive);
    assert_eq!(follow(&app.instance, at().await, hold).await, RuleOutcome::Taken);
    let row = "select count(*) from brune_proposal where held_reason = 'inconclusive' and step_by = 'brune:rollout'
        and evidence #>> '{guards,0,candidate}' = '3'";
    assert_eq!(psql::count(&app.db.admin(), row).await, 1);
    step(&app.instance, "ana", number, "resume").await.ok();
    assert_eq!(follow(&app.instance, at().await, RuleStep::Advance).await, RuleOutcome::Taken);
    assert_eq!(follow(&app.instance, at().await, RuleStep::Promote).await, RuleOutcome::Taken);
    assert_eq!(value(&app.instance, PROMPT).await, (json!("2"), 2));
    let ended = find(&app.instance, number).await;
    assert_eq!(
        members(&ended, &["state", "ended_by", "end_reason"]),
        [&json!("applied"), &json!("brune:rollout"), &json!("the counts are clear")]
    );
    let number = begin(&app.instance, &[(PROMPT, json!("3"), 2)]).await;
    let revert = RuleStep::Revert(RevertCause::Guard);
    let at = position(&app.instance, number).await;
    assert_eq!(follow(&app.instance, at, revert).await, RuleOutcome::Taken);
    assert_eq!(follow(&app.instance, at, revert).await, RuleOutcome::Outdated);
    let row =
        "select count(*) from brune_proposal where revert_cause = 'guard' and evidence is not null";
    assert_eq!(psql::count(&app.db.admin(), row).await, 1);
}

#[tokio::test]
async fn a_step_for_an_earlier_position_does_nothing() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let first = position(&app.instance, number).await;
    let hold = RuleStep::Hold(HeldReason::MaxHours);
    let steps = [RuleStep::Advance, RuleStep::Promote, hold];
    step(&app.instance, "ana", number, "hold").await.ok();
    for step in steps {
        assert_eq!(follow(&app.instance, first, step).await, RuleOutcome::Outdated, "{step:?}");
    }
    // A hold of a person is no position from which the rule widens.
    let held = position(&app.instance, number).await;
    for step in [RuleStep::Advance, RuleStep::Promote] {
        assert_eq!(follow(&app.instance, held, step).await, RuleOutcome::Outdated, "{step:?}");
    }
    step(&app.instance, "ana", number, "resume").await.ok();
    for step in steps {
        // Users and minutes count again from the resumption.
        assert_eq!(follow(&app.instance, first, step).await, RuleOutcome::Outdated, "{step:?}");
    }
    let resumed = position(&app.instance, number).await;
    step(&app.instance, "ana", number, "advance").await.ok();
    for step in steps {
        assert_eq!(follow(&app.instance, resumed, step).await, RuleOutcome::Outdated, "{step:?}");
    }
    // Counts of failing users only grow.
    step(&app.instance, "ana", number, "hold").await.ok();
    let revert = RuleStep::Revert(RevertCause::Guard);
    assert_eq!(follow(&app.instance, first, revert).await, RuleOutcome::Taken);
    assert_eq!(state(&app.instance, number).await, "reverted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_instances_one_takes_the_step() {
    let app = TestApp::new().await;
    let others = [app.another_instance().await, app.another_instance().await];
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    for step in [RuleStep::Advance, RuleStep::Promote] {
        let at = position(&app.instance, number).await;
        let instances = [&app.instance, &others[0], &others[1], &app.instance];
        let follow = instances.map(|instance| follow(instance, at, step));
        let outcomes = futures_util::future::join_all(follow).await;
        let taken = outcomes.iter().filter(|outcome| **outcome == RuleOutcome::Taken).count();
        let outdated = outcomes.iter().filter(|outcome| **outcome == RuleOutcome::Outdated).count();
        assert_eq!((taken, outdated), (1, 3), "{step:?}: {outcomes:?}");
    }
    assert_eq!(value(&app.instance, PROMPT).await, (json!("2"), 2));
}

#[tokio::test]
async fn the_rule_waits_for_the_end_of_a_freeze_and_still_reverts() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let freeze = json!({"reason": "holidays", "ends_at": in_minutes(60)});
    post(&app.instance, "ben", "/admin/freezes", &freeze).await;
    let at = position(&app.instance, number).await;
    for step in [RuleStep::Advance, RuleStep::Promote] {
        assert_eq!(follow(&app.instance, at, step).await, RuleOutcome::Frozen, "{step:?}");
    }
    assert_eq!(state(&app.instance, number).await, "rolling");
    let revert = RuleStep::Revert(RevertCause::Guard);
    assert_eq!(follow(&app.instance, at, revert).await, RuleOutcome::Taken);
}

#[tokio::test]
async fn a_promotion_that_is_not_possible_holds_the_rollout() {
    let app = protected().await;
    let number = super::http::propose(&app.instance, &[(COOLDOWN, json!(45), 1)]).await;
    crate::proposals::approve(&app.instance, "ben", number).await.ok();
    crate::proposals::apply(&app.instance, "ana", number).await.ok();
    let line = |approvals: u8| format!("key = \"{COOLDOWN}\"\napprovals = {approvals}");
    app.publish(&catalog().replacen(&line(1), &line(2), 1)).await;
    let at = position(&app.instance, number).await;
    let outcome = follow(&app.instance, at, RuleStep::Promote).await;
    assert_eq!(outcome, RuleOutcome::Held(HeldReason::NotApproved));
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(30), 1));
    let path = format!("{PROPOSALS}/{number}/rollout");
    let held = get(&app.instance, &path).send().await.ok()["held"].clone();
    assert_eq!(held["note"], "the promotion is not possible: 1 of 2 approvals, 0 objections");
    step(&app.instance, "ana", number, "revert").await.ok();

    // The allowlist was changed by hand, and the rule between the two settings is broken.
    let number = begin(&app.instance, &[(MODEL, json!(MINI), 1)]).await;
    psql::set(&app.db.admin(), super::http::ALLOWLIST, r#"["gpt-realtime-2.1"]"#).await;
    let at = position(&app.instance, number).await;
    let outcome = follow(&app.instance, at, RuleStep::Promote).await;
    assert_eq!(outcome, RuleOutcome::Held(HeldReason::Invalid));
    let held: Value = step(&app.instance, "ana", number, "revert").await.ok();
    assert_eq!(held["state"], "reverted");
}
