//! Several instances look at once.

use brune::sessions::StepOutcome;
use futures_util::future::join_all;
use serde_json::json;

use super::{PROMPT_VERSION, assert_taken, begin, end, find, let_minutes_pass, short, start_many};
use crate::support::{TestApp, psql, wait::wait_until};

/// Lets `count` instances look at once; returns the outcomes.
async fn look_at_once(app: &TestApp, count: usize) -> Vec<StepOutcome> {
    let mut instances = Vec::new();
    for _ in 0..count {
        instances.push(app.another_instance().await);
    }
    let looks =
        instances.iter().map(async |instance| instance.rollout_worker().look(true).await.unwrap());
    join_all(looks).await
}

/// Expects exactly one of `outcomes` to be the step.
#[track_caller]
fn assert_one_taken(outcomes: &[StepOutcome], step: &str) {
    let taken =
        |outcome: &&StepOutcome| matches!(outcome, StepOutcome::Taken(name) if *name == step);
    assert_eq!(outcomes.iter().filter(taken).count(), 1, "{outcomes:?}");
    let is_harmless = |outcome: &StepOutcome| !matches!(outcome, StepOutcome::Failed(_));
    assert!(outcomes.iter().all(is_harmless), "{outcomes:?}");
}

#[tokio::test]
async fn one_instance_widens_and_one_promotes() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    for (count, step) in [(1, "widened"), (2, "promoted")] {
        start_many(&app, number, true, 2).await;
        let_minutes_pass(&app, 2).await;
        assert_one_taken(&look_at_once(&app, 6).await, step);
        let events = "select count(*) from app_global_setting_audit
            where key = '(proposal)' and new_value_json ->> 'event' in ('widened', 'applied')";
        assert_eq!(psql::count(&app.db.owner(), events).await, count);
    }
}

#[tokio::test]
async fn one_instance_reverts() {
    let app = TestApp::new().await;
    let plan =
        json!({"stages": [{"share": 10, "users": 50, "minutes": 0}], "guards": ["cut_short"]});
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], plan).await;
    let sessions = start_many(&app, number, true, 3).await;
    for session in &sessions {
        end(&app.instance, session).await;
    }
    assert_one_taken(&look_at_once(&app, 6).await, "reverted");
    assert_eq!(find(&app.instance, number).await["state"], "reverted");
}

#[tokio::test]
async fn a_revert_that_waits_for_the_lock_of_the_head_is_tried_again() {
    let app = TestApp::new().await;
    let plan =
        json!({"stages": [{"share": 10, "users": 50, "minutes": 0}], "guards": ["cut_short"]});
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], plan).await;
    let sessions = start_many(&app, number, true, 3).await;
    for session in &sessions {
        end(&app.instance, session).await;
    }
    let mut blocker = app.db.owner().begin().await.unwrap();
    sqlx::query("select from app_global_setting_head for update")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let mut worker = app.instance.rollout_worker();
    let outcome = worker.look(false).await.unwrap();
    assert!(matches!(outcome, StepOutcome::Failed(_)), "{outcome:?}");
    let text = app.instance.get("/metrics").send().await.text;
    assert!(text.contains("brune_rollout_steps_total{outcome=\"failed\"} 1"), "{text}");
    assert!(!text.contains("brune_rollout_revert_delay_seconds 0.0\n"), "{text}");
    blocker.rollback().await.unwrap();
    // At once: other steps wait a while after a failure, a revert does not.
    assert_taken(&worker.look(false).await.unwrap(), "reverted");
    let text = app.instance.get("/metrics").send().await.text;
    assert!(text.contains("brune_rollout_revert_delay_seconds 0.0\n"), "{text}");
    assert_eq!(find(&app.instance, number).await["state"], "reverted");
}

#[tokio::test]
async fn the_task_of_an_instance_promotes_by_itself() {
    let mut app = TestApp::new().await;
    app.instance.guard_rollouts();
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    for state in ["rolling", "applied"] {
        start_many(&app, number, true, 2).await;
        let_minutes_pass(&app, 2).await;
        wait_until("the rule took the step", async || {
            let rollout = find(&app.instance, number).await;
            rollout["stage"] == 2 && rollout["state"] == state
        })
        .await;
    }
}
