//! The document of a rollout, and the metrics.

use serde_json::{Value, json};

use super::{
    PROMPT_VERSION, begin, end, find, guard, let_minutes_pass, look, propose, short, start_many,
    start_with, step, users,
};
use crate::support::{TestApp, admin, user};

#[tokio::test]
async fn a_rollout_that_never_began_has_no_document() {
    let app = TestApp::new().await;
    let number = propose(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    for (path, code) in [
        (format!("/admin/proposals/{number}/rollout"), "rollout_not_found"),
        ("/admin/proposals/99/rollout".to_owned(), "proposal_not_found"),
        ("/admin/proposals/99/rollout/preview".to_owned(), "proposal_not_found"),
        ("/admin/proposals/x/rollout".to_owned(), "proposal_not_found"),
    ] {
        let call = app.instance.get(&path).bearer(&admin("reader"));
        call.send().await.problem(404, code);
        app.instance.get(&path).bearer(&user("ana")).send().await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn the_document_has_every_guard_and_what_the_rule_waits_for() {
    let app = TestApp::new().await;
    let plan =
        json!({"stages": [{"share": 10, "users": 50, "minutes": 10}], "guards": ["cut_short"]});
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], plan).await;
    let sessions = start_many(&app, number, true, 2).await;
    start_many(&app, number, false, 1).await;
    end(&app.instance, &sessions[0]).await;
    // Refused, since the user has no plan.
    for user in users(&app, number, true, 1).await {
        start_with(&app.instance, &json!({"user_id": user})).await.problem(403, "not_eligible");
    }
    let_minutes_pass(&app, 4).await;
    look(&app.instance).await;
    let rollout = find(&app.instance, number).await;
    assert_eq!(rollout["stages"], json!([{"share": 10, "users": 50, "minutes": 10}]));
    assert_eq!(
        (&rollout["proposal"], &rollout["edition"], &rollout["stage"], &rollout["share"]),
        (&json!(1), &json!(1), &json!(1), &json!(10))
    );
    assert_eq!(
        (&rollout["then"], &rollout["max_hours"], &rollout["held"], &rollout["ended"]),
        (&json!("promote"), &json!(72), &Value::Null, &Value::Null)
    );
    assert_eq!(rollout["users"], json!({"candidate": 3, "control": 1, "stage_candidate": 2}));
    assert_eq!(
        rollout["waits_for"],
        json!({"users": 48, "minutes": 6, "guards": ["cut_short"], "unreadable": []})
    );
    let shown = |name: &str| {
        let guard = guard(&rollout, name);
        json!([
            guard["judges"],
            guard["candidate"],
            guard["control"],
            guard["zone"],
            guard["reverts_at"]
        ])
    };
    assert_eq!(shown("start_failed"), json!([false, 0, 0, "fine", 100.0]));
    assert_eq!(shown("cut_short"), json!([true, 1, 0, "unclear", 100.0]));
    assert_eq!(shown("refused"), json!([false, 1, 0, "unclear", 100.0]));
    assert_eq!(rollout["assignment"]["holds_at"], 1000.0);
    assert_eq!(rollout["running"]["sessions"], 1);
    assert_eq!(
        rollout["running"]["drained_by"].as_str().unwrap().len(),
        "2026-11-29T00:00:00.000000Z".len()
    );
    let history = rollout["history"].as_array().unwrap();
    let guards: Vec<_> = history.iter().map(|entry| &entry["guard"]).collect();
    assert_eq!(guards, ["cut_short", "refused"]);
    assert_eq!(history[0]["candidate"], true);
    assert_eq!(history[0]["evidence"], guard(&rollout, "cut_short")["evidence"]);
}

#[tokio::test]
async fn metrics_show_the_rollout_and_no_ids() {
    let app = TestApp::new().await;
    let text = async || app.instance.get("/metrics").send().await.text;
    let initial = text().await;
    for series in [
        "brune_rollout_share_ratio 0.0\n",
        "brune_rollout_stage 0\n",
        "brune_rollout_held 0\n",
        "brune_rollout_evidence{guard=\"refused\"} 0.0\n",
        "brune_rollout_steps_total{outcome=\"reverted\"} 0\n",
    ] {
        assert!(initial.contains(series), "{series}: {initial}");
    }
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    start_many(&app, number, true, 2).await;
    step(&app.instance, number, "hold").await;
    look(&app.instance).await;
    let held = text().await;
    for series in [
        "brune_rollout_share_ratio 0.1\n",
        "brune_rollout_stage 1\n",
        "brune_rollout_held 1\n",
        "brune_rollout_evidence{guard=\"cut_short\"} 1.0\n",
        "brune_rollout_evidence{guard=\"refused\"} 0.0\n",
    ] {
        assert!(held.contains(series), "{series}: {held}");
    }
    step(&app.instance, number, "resume").await;
    start_many(&app, number, true, 2).await;
    let_minutes_pass(&app, 2).await;
    look(&app.instance).await;
    assert!(text().await.contains("brune_rollout_steps_total{outcome=\"widened\"} 1\n"));
    step(&app.instance, number, "revert").await;
    look(&app.instance).await;
    assert!(text().await.contains("brune_rollout_stage 0\n"));
}

#[tokio::test]
async fn an_ended_rollout_keeps_the_counts_of_its_end() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    let sessions = start_many(&app, number, true, 3).await;
    end(&app.instance, &sessions[0]).await;
    let ended = step(&app.instance, number, "revert").await;
    let counted = |rollout: &Value| {
        json!([rollout["users"], rollout["guards"], rollout["assignment"], rollout["history"]])
    };
    assert_eq!(guard(&ended, "cut_short")["candidate"], 1, "{ended}");
    // Sessions outlive the rollout, and fail afterwards.
    end(&app.instance, &sessions[1]).await;
    end(&app.instance, &sessions[2]).await;
    let later = find(&app.instance, number).await;
    assert_eq!(counted(&later), counted(&ended));
    assert_eq!(
        (&ended["running"]["sessions"], &later["running"]["sessions"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(later["history"].as_array().unwrap().len(), 1);
}
