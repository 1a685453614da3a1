//! The preview of a rollout from last week's starts.

use serde_json::{Value, json};

use super::{PROMPT_VERSION, propose, run_as_superuser, start, start_with};
use crate::support::{TestApp, admin};

async fn preview(app: &TestApp, number: i64) -> Value {
    let path = format!("/admin/proposals/{number}/rollout/preview");
    app.instance.get(&path).bearer(&admin("reader")).send().await.ok()
}

/// A week with 60 new users in each hour, of whom 5 % fail to start, and of whom each starts twice.
async fn fill_a_week(app: &TestApp) {
    let sql = "insert into brune_session (id, user_id, started_at, expires_at, ended_at, settings_revision, prompt_id,
           prompt_version, model, session_max_minutes, status)
         select gen_random_uuid(), 'user-' || (n % 10080), at, at + interval '30 minutes', at + interval '20 minutes', 1,
           'p', '1', 'm', 30, case when n % 20 = 0 then 'failed' else 'ended' end
         from generate_series(0, 20159) n,
           lateral (select clock_timestamp() - interval '1 minute' * (20159 - n) / 2 as at) t";
    run_as_superuser(app, sql).await;
}

#[tokio::test]
async fn a_preview_tells_hours_and_outcomes_of_last_weeks_traffic() {
    let app = TestApp::new().await;
    fill_a_week(&app).await;
    let number = propose(&app.instance, &[(PROMPT_VERSION, json!("7"))], json!({})).await;
    let preview = preview(&app, number).await;
    assert_eq!(preview["proposal"], number);
    let users = preview["users"].as_f64().unwrap();
    assert!((9_900.0..=10_080.0).contains(&users), "{preview}");
    assert_eq!(preview["guard"], "start_failed");
    let hours = preview["stages"][0]["hours"].as_f64().unwrap();
    // The users of the first half come again in the second half, and every start of the first half is of a new user.
    assert!((4.0..5.0).contains(&hours), "500 users at 120 an hour: {preview}");
    let rows = preview["rows"].as_array().unwrap();
    let factors: Vec<_> = rows.iter().map(|row| &row["factor"]).collect();
    assert_eq!(factors, [&json!(1), &json!(2), &json!(4), &Value::Null]);
    assert!((rows[0]["control_rate"].as_f64().unwrap() - 0.05).abs() < 0.01, "{preview}");
    assert!(rows[3]["reverted"].as_f64().unwrap() > 0.99, "{preview}");
    assert_eq!(preview["warnings"], json!([]));
}

#[tokio::test]
async fn a_stage_that_never_ends_is_a_warning() {
    let app = TestApp::new().await;
    start(&app.instance, "ana").await.ok();
    start_with(&app.instance, &json!({"user_id": "ben"})).await.problem(403, "not_eligible");
    let number = propose(&app.instance, &[(PROMPT_VERSION, json!("7"))], json!({})).await;
    let preview = preview(&app, number).await;
    assert_eq!(preview["users"], 2, "{preview}");
    let warnings = preview["warnings"].as_array().unwrap();
    let codes: Vec<_> = warnings.iter().map(|warning| &warning["code"]).collect();
    assert_eq!(codes, ["little_traffic", "stage_unreachable", "stage_unreachable"], "{preview}");
    assert_eq!((&warnings[0]["stage"], &warnings[1]["stage"]), (&Value::Null, &json!(1)));
    assert!(warnings[2]["detail"].as_str().unwrap().contains("72 hours"), "{preview}");
}

#[tokio::test]
async fn a_change_for_everybody_has_no_preview() {
    let app = TestApp::new().await;
    let change = json!({"key": PROMPT_VERSION, "value": "7", "version": 1});
    let body = json!({"reason": "reads better", "changes": [change]});
    super::post(&app.instance, "/admin/proposals", &body).await.ok();
    let call = app.instance.get("/admin/proposals/1/rollout/preview").bearer(&admin("reader"));
    call.send().await.problem(404, "rollout_not_found");
}

#[tokio::test]
async fn hours_before_the_first_start_are_no_traffic() {
    let app = TestApp::new().await;
    // A service that began to run three hours ago.
    let sql = "insert into brune_session (id, user_id, started_at, expires_at, ended_at, settings_revision, prompt_id,
           prompt_version, model, session_max_minutes, status)
         select gen_random_uuid(), 'user-' || n, at, at + interval '30 minutes', at + interval '20 minutes', 1, 'p', '1',
           'm', 30, 'ended'
         from generate_series(0, 3599) n, lateral (select clock_timestamp() - interval '3 seconds' * (3600 - n) as at) t";
    run_as_superuser(&app, sql).await;
    let number = propose(&app.instance, &[(PROMPT_VERSION, json!("7"))], json!({})).await;
    let preview = preview(&app, number).await;
    let hours = preview["stages"][0]["hours"].as_f64().unwrap();
    assert!((0.3..0.6).contains(&hours), "500 users at 1,200 an hour: {preview}");
    let all_fail = &preview["rows"][3];
    assert!(all_fail["reverted"].as_f64().unwrap() > 0.99, "{preview}");
    let codes: Vec<_> =
        preview["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
    assert_eq!(codes, ["little_traffic"], "{preview}");
}

#[tokio::test]
async fn a_plan_with_too_many_users_to_simulate_says_so() {
    let app = TestApp::new().await;
    // A day with 300 new users in each hour, which is too many for the 30 days of the plan.
    let sql = "insert into brune_session (id, user_id, started_at, expires_at, ended_at, settings_revision, prompt_id,
           prompt_version, model, session_max_minutes, status)
         select gen_random_uuid(), 'user-' || n, at, at + interval '30 minutes', at + interval '20 minutes', 1, 'p', '1',
           'm', 30, 'ended'
         from generate_series(1, 7200) n, lateral (select clock_timestamp() - interval '12 seconds' * n as at) t";
    run_as_superuser(&app, sql).await;
    let plan = json!({"stages": [{"share": 1, "users": 100_000, "minutes": 0}], "max_hours": 720});
    let number = propose(&app.instance, &[(PROMPT_VERSION, json!("7"))], plan).await;
    let preview = preview(&app, number).await;
    assert_eq!(preview["rows"], json!([]), "{preview}");
    assert_eq!(preview["warnings"][0]["code"], "not_simulated", "{preview}");
}

#[tokio::test]
async fn previews_run_one_after_another() {
    let app = TestApp::new().await;
    fill_a_week(&app).await;
    let number = propose(&app.instance, &[(PROMPT_VERSION, json!("7"))], json!({})).await;
    let path = format!("/admin/proposals/{number}/rollout/preview");
    let previews = (0..8).map(|_| app.instance.get(&path).bearer(&admin("reader")).send());
    let mut answered = 0;
    for reply in futures_util::future::join_all(previews).await {
        if reply.status == 200 {
            answered += 1;
        } else {
            reply.problem(429, "what_if_busy");
        }
    }
    assert!(answered > 0);
}
