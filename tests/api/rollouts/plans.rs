//! The plan of a rollout in a proposal.

use serde_json::json;

use super::http::with_rollout;
use crate::{
    proposals::{PROMPT, PROPOSALS, apply, blocks, edit, find, post, proposal},
    settings::COOLDOWN,
    support::{TestApp, psql},
};

#[tokio::test]
async fn a_plan_is_stored_with_every_default() {
    let app = TestApp::new().await;
    let body = with_rollout(&[(PROMPT, json!("2"), 1)]);
    let proposed = post(&app.instance, "ana", PROPOSALS, &body).await;
    assert_eq!(proposed.status, 201, "{}", proposed.text);
    let defaults = json!({
        "stages": [{"share": 10, "users": 50, "minutes": 10}, {"share": 50, "users": 200, "minutes": 30}],
        "guards": ["start_failed", "cut_short", "refused"], "then": "promote", "max_hours": 72});
    assert_eq!(proposed.body["plan"], json!({"rollout": defaults}));
    assert_eq!(find(&app.instance, 1).await["plan"]["rollout"], defaults);
    // A stricter rule is meant to refuse users.
    let body = with_rollout(&[(COOLDOWN, json!(45), 1), (PROMPT, json!("2"), 1)]);
    let proposed = post(&app.instance, "ana", PROPOSALS, &body).await;
    let guards = &proposed.body["plan"]["rollout"]["guards"];
    assert_eq!(*guards, json!(["start_failed", "cut_short"]));
    let mut body = with_rollout(&[(COOLDOWN, json!(45), 1)]);
    let plan = json!({"stages": [{"share": 100, "users": 1, "minutes": 0}], "guards": ["refused"], "then": "hold", "max_hours": 1});
    body["plan"]["rollout"] = plan.clone();
    let proposed = post(&app.instance, "ana", PROPOSALS, &body).await;
    assert_eq!(proposed.body["plan"]["rollout"], plan);
    body["plan"] = json!({});
    let edited = edit(&app.instance, "ana", 3, 1, &body).await.ok();
    assert_eq!(edited["plan"], json!({}));
}

#[tokio::test]
async fn an_invalid_plan_is_refused_with_its_errors() {
    let app = TestApp::new().await;
    let stages = |stages: &[(i64, i64, i64)]| {
        let stage = |(share, users, minutes): &(i64, i64, i64)| json!({"share": share, "users": users, "minutes": minutes});
        json!({"stages": stages.iter().map(stage).collect::<Vec<_>>()})
    };
    let ten = (1..=11).map(|share| (share, 1, 0)).collect::<Vec<_>>();
    let cases = [
        // Shares that shrink, repeat, pass 100, or are none.
        (stages(&[(50, 1, 0), (10, 1, 0)]), "/stages/1/share", "share_not_growing"),
        (stages(&[(10, 1, 0), (10, 1, 0)]), "/stages/1/share", "share_not_growing"),
        (stages(&[(10, 1, 0), (101, 1, 0)]), "/stages/1/share", "out_of_range"),
        (stages(&[(0, 1, 0)]), "/stages/0/share", "out_of_range"),
        (stages(&[(10, 0, 0)]), "/stages/0/users", "out_of_range"),
        (stages(&[(10, 100_001, 0)]), "/stages/0/users", "out_of_range"),
        (stages(&[(10, 1, -1)]), "/stages/0/minutes", "out_of_range"),
        (stages(&[(10, 1, 10_081)]), "/stages/0/minutes", "out_of_range"),
        (stages(&[]), "/stages", "empty"),
        (stages(&ten), "/stages", "too_many_items"),
        (json!({"stages": [{"share": 10, "users": 1}]}), "/stages/0/minutes", "required"),
        (
            json!({"stages": [{"share": 10.5, "users": 1, "minutes": 0}]}),
            "/stages/0/share",
            "out_of_range",
        ),
        (json!({"stages": [10]}), "/stages/0", "wrong_type"),
        (json!({"guards": []}), "/guards", "empty"),
        (json!({"guards": ["refused", "refused"]}), "/guards", "duplicate"),
        (json!({"guards": ["latency"]}), "/guards/0", "not_a_choice"),
        (json!({"then": "restart"}), "/then", "not_a_choice"),
        (json!({"max_hours": 0}), "/max_hours", "out_of_range"),
        (json!({"max_hours": 721}), "/max_hours", "out_of_range"),
        (
            json!({"stages": [{"share": 10, "users": 1, "minutes": 60}], "max_hours": 1}),
            "/max_hours",
            "too_short",
        ),
        (json!({"salt": "00"}), "/salt", "unknown_field"),
        (json!("default"), "", "wrong_type"),
    ];
    for (rollout, pointer, code) in cases {
        let mut body = proposal(&[(PROMPT, json!("2"), 1)]);
        body["plan"] = json!({"rollout": rollout});
        let refused = post(&app.instance, "ana", PROPOSALS, &body).await;
        assert_eq!(refused.status, 400, "{rollout}: {}", refused.text);
        let error = &refused.body["errors"][0];
        let expected = (json!(format!("/plan/rollout{pointer}")), json!(code));
        assert_eq!((error["pointer"].clone(), error["code"].clone()), expected, "{rollout}");
    }
    assert_eq!(psql::count(&app.db.admin(), "select count(*) from brune_proposal").await, 0);
}

#[tokio::test]
async fn only_settings_of_new_sessions_roll_out() {
    let setting = |key: &str, applies: &str| {
        format!(
            "[[setting]]\nkey = \"{key}\"\ncategory = \"test\"\ntype = \"number\"\ndefault = 1\n\
             applies = \"{applies}\"\ndescription = \"A number.\"\n"
        )
    };
    let catalog = |second: &str| {
        let head = "catalog = \"two\"\ndescription = \"Two settings.\"\n";
        format!("{head}\n{}\n{}", setting("FIRST", "new_sessions"), setting("SECOND", second))
    };
    let app = TestApp::with_catalog(&catalog("hot")).await;
    let body = with_rollout(&[("FIRST", json!(2), 1), ("SECOND", json!(2), 1)]);
    let problem = post(&app.instance, "ana", PROPOSALS, &body).await;
    let problem = problem.problem(400, "validation_failed");
    let error = &problem["errors"][0];
    assert_eq!(
        (&error["pointer"], &error["code"]),
        (&json!("/plan/rollout"), &json!("not_rollable"))
    );
    assert!(error["detail"].as_str().unwrap().starts_with("SECOND "), "{error}");
    let body = with_rollout(&[("FIRST", json!(2), 1)]);
    assert_eq!(post(&app.instance, "ana", PROPOSALS, &body).await.status, 201);
    // The declaration of the application counts.
    app.publish(&catalog("hot").replacen("new_sessions", "hot", 1)).await;
    let newer = app.another_instance().await;
    assert_eq!(blocks(&find(&newer, 1).await), ["not_rollable"]);
    let problem = apply(&newer, "ana", 1).await;
    let problem = problem.problem(400, "validation_failed");
    assert_eq!(problem["errors"][0]["code"], "not_rollable");
}
