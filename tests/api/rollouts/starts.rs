//! Starts, documents and ends of sessions while a rollout runs.

use serde_json::{Value, json};

use super::{
    PROMPT,
    rolling::{Rolling, start, start_as},
    scalar,
};
use crate::support::{INTERNAL_KEY, Instance, Reply, TestApp, admin, psql, user, wait::wait_until};

const MINUTES: &str = "BRUNE_SESSION_MAX_MINUTES";
const REQUIRE_PLAN: &str = "BRUNE_ELIGIBILITY_REQUIRE_PLAN";

/// A rollout of a proposal, and a user of each arm at the first stage.
struct Rollout {
    rolling: Rolling,
    candidate: String,
    control: String,
}

async fn rollout(app: &TestApp, edits: &[(&str, Value)]) -> Rollout {
    let rolling = Rolling::propose(&app.db.pool(), edits, &[30, 60]).await;
    rolling.begin(1).await;
    let mut users = rolling.users(0..30, 1).await;
    users.extend(rolling.users(60..100, 1).await);
    let [candidate, control] = users.try_into().unwrap();
    Rollout { rolling, candidate, control }
}

async fn get(instance: &Instance, path: &str) -> Value {
    instance.get(path).bearer(&admin("root")).send().await.ok()
}

fn id(session: &Value) -> &str {
    session["session_id"].as_str().unwrap()
}

async fn end(instance: &Instance, session: &Value, body: Option<&Value>) -> Reply {
    let call = instance.post(&format!("/brun-e/sessions/{}/end", id(session)));
    let call = call.header("x-internal-api-key", INTERNAL_KEY);
    match body {
        Some(body) => call.json(body).send().await,
        None => call.send().await,
    }
}

#[tokio::test]
async fn every_document_of_a_session_names_the_arm() {
    let app = TestApp::new().await;
    let before = start(&app.instance, "before").await.ok();
    assert_eq!((&before["rollout"], &before["config"]["proposal"]), (&Value::Null, &Value::Null));
    let edits = [(PROMPT, json!("7")), (MINUTES, json!(20))];
    let Rollout { rolling, candidate, control } = rollout(&app, &edits).await;
    let number = rolling.number;
    for (name, is_candidate) in [(&candidate, true), (&control, false)] {
        let session = start(&app.instance, name).await.ok();
        let config = &session["config"];
        let (prompt, minutes) = if is_candidate { ("7", 20) } else { ("1", 30) };
        assert_eq!(
            (&config["prompt_version"], &config["session_max_minutes"]),
            (&json!(prompt), &json!(minutes))
        );
        assert_eq!(config["proposal"], if is_candidate { json!(number) } else { Value::Null });
        assert_eq!(config["revision"], 1);
        let mut arm = json!({"proposal": number, "candidate": is_candidate, "share": 30});
        assert_eq!(session["rollout"], arm);
        let path = format!("/brun-e/sessions/{}", id(&session));
        assert_eq!(get(&app.instance, &path).await, session);
        let list = get(&app.instance, &format!("/admin/sessions?user_id={name}")).await;
        assert_eq!(list["sessions"][0]["rollout"], arm);
        let trace = get(&app.instance, &format!("/admin/sessions/{}", id(&session))).await;
        arm["stage"] = json!(1);
        arm["bucket"] = json!(brune::rollouts::bucket(&rolling.salt().await, name));
        assert_eq!(trace["rollout"], arm);
        let settings = trace["settings"].as_array().unwrap();
        assert_eq!(settings.len(), 9);
        let origin = settings.iter().find(|setting| setting["key"] == PROMPT).unwrap();
        assert_eq!(origin["value"], prompt);
        if is_candidate {
            assert_eq!(
                (&origin["action"], &origin["changed_by"]),
                (&json!("rollout"), &json!("ada"))
            );
            assert_eq!((&origin["version"], &origin["revision"]), (&Value::Null, &Value::Null));
            assert_eq!(origin["reason"], "reads better");
        } else {
            assert_eq!((&origin["action"], &origin["version"]), (&json!("seed"), &json!(1)));
        }
    }
    // Settings and flags have the current values, also for a candidate user.
    let setting = get(&app.instance, &format!("/admin/global-settings/{PROMPT}")).await;
    assert_eq!(setting["value"], "1");
    let flags =
        app.instance.post("/ofrep/v1/evaluate/flags").header("x-internal-api-key", INTERNAL_KEY);
    let flags = flags.json(&json!({"context": {"targetingKey": candidate}})).send().await.ok();
    let flag =
        flags["flags"].as_array().unwrap().iter().find(|flag| flag["key"] == PROMPT).unwrap();
    assert_eq!(flag["value"], "1");
}

#[tokio::test]
async fn a_step_wakes_an_instance_that_listens() {
    let app = TestApp::new().await;
    let Rollout { rolling, candidate, .. } = rollout(&app, &[(PROMPT, json!("7"))]).await;
    let stage = || app.instance.settings.epoch().rollout.as_ref().map(|rollout| rollout.stage);
    wait_until("the instance reads the rollout", async || stage() == Some(1)).await;
    rolling.begin(2).await;
    wait_until("the instance reads the second stage", async || stage() == Some(2)).await;
    start(&app.instance, &candidate).await.ok();
    rolling.revert().await;
    wait_until("the instance reads the revert", async || stage().is_none()).await;
    start(&app.instance, "ana").await.ok();
    // No start had to read the database again.
    assert_eq!(app.instance.reloads("demand", "unchanged").await, 0);
}

#[tokio::test]
async fn a_change_of_another_setting_reaches_both_arms() {
    let app = TestApp::new().await;
    let Rollout { candidate, control, .. } = rollout(&app, &[(PROMPT, json!("7"))]).await;
    app.instance.change(&[(MINUTES, json!(25), 1)]).await.ok();
    for (name, prompt) in [(&candidate, "7"), (&control, "1")] {
        let config = start(&app.instance, name).await.ok()["config"].clone();
        assert_eq!(
            (&config["prompt_version"], &config["session_max_minutes"]),
            (&json!(prompt), &json!(25))
        );
        assert_eq!(config["revision"], 2);
    }
}

#[tokio::test]
async fn each_arm_is_judged_by_its_own_settings() {
    let app = TestApp::new().await;
    let edits = [(REQUIRE_PLAN, json!(false)), ("BRUNE_COOLDOWN_MINUTES", json!(60))];
    let Rollout { candidate, control, .. } = rollout(&app, &edits).await;
    let session = start_as(&app.instance, &candidate, None).await.ok();
    start_as(&app.instance, &control, None).await.problem(403, "not_eligible");
    let other = start(&app.instance, &control).await.ok();
    for session in [&session, &other] {
        end(&app.instance, session, None).await.ok();
    }
    app.instance.shift.advance(chrono::TimeDelta::minutes(45));
    let problem = start_as(&app.instance, &candidate, None).await.problem(403, "not_eligible");
    assert_eq!(problem["reasons"][0]["code"], "cooldown");
    start(&app.instance, &control).await.ok();
    let sql = "select string_agg(concat_ws(' ', user_id, r.candidate, r.share_bp, codes[1]), ', ' order by codes[1])
        from brune_start_refused r join brune_proposal p on p.id = r.proposal";
    let refusals: String = scalar(&app, sql).await;
    assert_eq!(refusals, format!("{candidate} t 3000 cooldown, {control} f 3000 plan_required"));
}

#[tokio::test]
async fn an_invalid_candidate_is_not_served() {
    let app = TestApp::new().await;
    let stale = Instance::builder(app.db.own_pool().await).without_listener().start().await;
    let edits = [("BRUNE_OPENAI_REALTIME_MODEL", json!("gpt-realtime-next"))];
    let Rollout { rolling, candidate, control } = rollout(&app, &edits).await;
    let problem = start(&stale, &candidate).await.problem(503, "config_unavailable");
    let error = &problem["errors"][0];
    assert_eq!(error["key"], "BRUNE_OPENAI_REALTIME_MODEL", "{problem}");
    assert!(error["detail"].as_str().unwrap().contains(&format!("proposal {}", rolling.number)));
    let session = start(&stale, &control).await.ok();
    assert_eq!(session["config"]["model"], "gpt-realtime-2.1");
    // Other settings make the candidate valid, and the instance has not noticed the change.
    let list = r#"["gpt-realtime-2.1", "gpt-realtime-next"]"#;
    psql::set(&app.db.pool(), "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST", list).await;
    let session = start(&stale, &candidate).await.ok();
    assert_eq!(session["config"]["model"], "gpt-realtime-next");
    psql::set(&app.db.pool(), "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST", r#"["gpt-realtime-2.1"]"#)
        .await;
    let users = rolling.users(0..30, 2).await;
    start(&stale, &users[0]).await.problem(503, "config_unavailable");
    rolling.revert().await;
    let session = start(&stale, &users[1]).await.ok();
    assert_eq!(session["config"]["model"], "gpt-realtime-2.1");
}

#[tokio::test]
async fn a_repeat_is_the_same_session_whatever_became_of_the_rollout() {
    let app = TestApp::new().await;
    let stale = Instance::builder(app.db.own_pool().await).without_listener().start().await;
    let Rollout { rolling, candidate, control } = rollout(&app, &[(PROMPT, json!("7"))]).await;
    let repeat = async |name: &str| {
        let call = stale.post("/brun-e/start").header("x-internal-api-key", INTERNAL_KEY);
        let call = call.header("idempotency-key", "k-1");
        call.json(&json!({"user_id": name, "plan": "pro"})).send().await
    };
    let first = [repeat(&candidate).await.ok(), repeat(&control).await.ok()];
    let again = async |step: &str| {
        for (name, session) in [&candidate, &control].into_iter().zip(&first) {
            let reply = repeat(name).await;
            assert_eq!(reply.header("idempotent-replayed"), "true", "{step}");
            assert_eq!(reply.ok(), *session, "{step}");
        }
    };
    again("the same stage").await;
    rolling.begin(2).await;
    again("a larger share").await;
    rolling.promote().await;
    again("a promotion").await;
    assert_eq!(first[1]["config"]["prompt_version"], "1");
    let next = Rolling::propose(&app.db.pool(), &[(PROMPT, json!("8"))], &[100]).await;
    next.begin(1).await;
    again("another rollout").await;
    next.revert().await;
    again("a revert").await;
}

#[tokio::test]
async fn an_end_may_report_a_failure() {
    let app = TestApp::new().await;
    let Rollout { candidate, control, .. } = rollout(&app, &[(PROMPT, json!("7"))]).await;
    let session = start(&app.instance, &candidate).await.ok();
    assert_eq!(session["outcome"], Value::Null);
    for body in
        [json!({"outcome": "fine"}), json!({"outcome": 1}), json!({"result": "failed"}), json!([])]
    {
        end(&app.instance, &session, Some(&body)).await.problem(400, "malformed_request");
    }
    app.instance.shift.advance(chrono::TimeDelta::minutes(5));
    let ended = end(&app.instance, &session, Some(&json!({"outcome": "failed"}))).await.ok();
    assert_eq!((&ended["status"], &ended["outcome"]), (&json!("ended"), &json!("failed")));
    // A later report changes nothing.
    let again = end(&app.instance, &session, Some(&json!({}))).await.ok();
    assert_eq!(again, ended);
    let session = start(&app.instance, &control).await.ok();
    app.instance.shift.advance(chrono::TimeDelta::minutes(5));
    let ended = end(&app.instance, &session, Some(&json!({"outcome": null}))).await.ok();
    assert_eq!((&ended["status"], &ended["outcome"]), (&json!("ended"), &Value::Null));
    end(&app.instance, &session, Some(&json!({"outcome": "failed"}))).await.ok();
    let sql = "select string_agg(concat_ws(' ', user_id, guard, candidate), ', ') from brune_rollout_failure";
    let failures: String = scalar(&app, sql).await;
    assert_eq!(failures, format!("{candidate} cut_short t"));
    let session = start(&app.instance, "ana").await.ok();
    let path = format!("/brun-e/sessions/{}/end", id(&session));
    let call = app.instance.post(&path).bearer(&user("ana"));
    let ended = call.json(&json!({"outcome": "failed"})).send().await.ok();
    assert_eq!(ended["outcome"], "failed");
}

#[tokio::test]
async fn pins_count_the_values_that_sessions_have() {
    let app = TestApp::new().await;
    let Rollout { rolling, candidate, control } = rollout(&app, &[(PROMPT, json!("7"))]).await;
    start(&app.instance, &candidate).await.ok();
    start(&app.instance, &control).await.ok();
    let number = rolling.number;
    let held = async || get(&app.instance, "/admin/sessions/pins").await["settings"].clone();
    let of_candidate = json!({"version": null, "proposal": number, "value": "7", "sessions": 1});
    assert_eq!(
        held().await,
        json!([{"key": PROMPT, "version": 1, "value": "1", "sessions": 1, "held": [of_candidate]}])
    );
    // The candidate's value is the current one now, though the session is of the revision before.
    rolling.promote().await;
    let of_control = json!({"version": 1, "proposal": null, "value": "1", "sessions": 1});
    assert_eq!(
        held().await,
        json!([{"key": PROMPT, "version": 2, "value": "7", "sessions": 1, "held": [of_control]}])
    );
    app.instance.change(&[(PROMPT, json!("8"), 2)]).await.ok();
    assert_eq!(
        held().await,
        json!([{"key": PROMPT, "version": 3, "value": "8", "sessions": 2, "held": [of_candidate, of_control]}])
    );
}
