//! Writes while a rollout is running.

use brune::settings::{self, BRUN_E, Catalog};
use serde_json::{Value, json};

use super::http::{ALLOWLIST, MINI, MODEL, begin, members, propose, state, step, with_rollout};
use crate::{
    proposals::{
        PROMPT, PROPOSALS, apply, blocks, find, post, proposal, value,
        write_paths::{refusal, write_paths},
    },
    settings::{COOLDOWN, PER_DAY},
    support::{TestApp, admin, firewall, psql},
};

#[tokio::test]
async fn no_route_writes_a_setting_that_rolls_out() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    let number = begin(&app.instance, &[(COOLDOWN, json!(50), 2)]).await;
    for (write, call) in write_paths(&app.instance, &admin("ana"), "").await {
        let problem = call.send().await;
        assert_eq!(problem.status, 409, "{write}: {}", problem.text);
        let problem = problem.problem(409, "rollout_running");
        let expected = [&json!(number), &json!([COOLDOWN])];
        assert_eq!(members(&problem, &["proposal", "keys"]), expected, "{write}");
    }
    for (write, call) in write_paths(&app.instance, &admin("ana"), "dry_run=true").await {
        assert_eq!(refusal(write, call.send().await), "rollout_running", "{write}");
    }
    let parameters = "dry_run=true&emergency=true";
    for (write, call) in write_paths(&app.instance, &admin("ana"), parameters).await {
        assert_eq!(refusal(write, call.send().await), Value::Null, "{write}");
    }
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(45), 2));
    assert_eq!(state(&app.instance, number).await, "rolling");
    // The current value is no change.
    app.instance.change(&[(COOLDOWN, json!(45), 2), (PER_DAY, json!(5), 1)]).await.ok();
    // The settings of the control and of the candidates both have other changes.
    app.instance.change(&[(PER_DAY, json!(6), 2)]).await.ok();
    step(&app.instance, "ana", number, "promote").await.ok();
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(50), 3));
}

#[tokio::test]
async fn a_change_that_would_break_the_candidate_is_refused() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(MODEL, json!(MINI), 1)]).await;
    let without_mini = json!(["gpt-realtime-2.1"]);
    let problem = app.instance.change(&[(ALLOWLIST, without_mini.clone(), 1)]).await;
    let problem = problem.problem(409, "rollout_conflict");
    assert_eq!(problem["proposal"], number, "{problem}");
    let error = &problem["errors"][0];
    assert_eq!(
        members(error, &["key", "code"]),
        [&json!(MODEL), &json!("not_in_list")],
        "{problem}"
    );
    let open =
        post(&app.instance, "ana", PROPOSALS, &proposal(&[(ALLOWLIST, without_mini.clone(), 1)]))
            .await;
    assert_eq!(blocks(&open.body), ["rollout_conflict"], "{}", open.text);
    let open = open.body["number"].as_i64().unwrap();
    apply(&app.instance, "ana", open).await.problem(409, "rollout_conflict");
    let with_more = json!(["gpt-realtime-2.1", MINI, "gpt-realtime-3"]);
    app.instance.change(&[(ALLOWLIST, with_more, 1)]).await.ok();
    step(&app.instance, "ana", number, "revert").await.ok();
    app.instance.change(&[(ALLOWLIST, without_mini, 2)]).await.ok();
}

#[tokio::test]
async fn one_rollout_runs_at_a_time() {
    let app = TestApp::new().await;
    let first = begin(&app.instance, &[(MODEL, json!(MINI), 1)]).await;
    let second = propose(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    assert_eq!(blocks(&find(&app.instance, second).await), ["rollout_running"]);
    let problem = apply(&app.instance, "ana", second).await.problem(409, "rollout_running");
    assert_eq!(members(&problem, &["proposal", "keys"]), [&json!(first), &json!([MODEL])]);
    step(&app.instance, "ana", first, "revert").await.ok();
    assert_eq!(blocks(&find(&app.instance, second).await), [""; 0]);
    apply(&app.instance, "ana", second).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_and_the_beginning_of_a_rollout_have_an_order() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    let both = json!(["gpt-realtime-2.1", MINI]);
    let mut version = 1;
    for race in 0..60 {
        let number = propose(&app.instance, &[(MODEL, json!(MINI), 1)]).await;
        let write = [(ALLOWLIST, json!(["gpt-realtime-2.1"]), version)];
        let begin = apply(&app.instance, "ana", number);
        let (begin, write) = tokio::join!(begin, other.change(&write));
        match (begin.status.as_u16(), write.status.as_u16()) {
            (200, 409) => {
                assert_eq!(write.body["code"], "rollout_conflict", "{race}: {}", write.text);
                step(&app.instance, "ana", number, "revert").await.ok();
            }
            (400, 200) => {
                version += 2;
                app.instance.change(&[(ALLOWLIST, both.clone(), version - 1)]).await.ok();
            }
            _ => panic!("{race}: {} {}", begin.text, write.text),
        }
    }
}

#[tokio::test]
async fn sql_writes_no_setting_that_rolls_out() {
    let app = TestApp::new().await;
    begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let mut transaction = app.db.pool().begin().await.unwrap();
    psql::set(&mut *transaction, PROMPT, "\"3\"").await;
    let refused = transaction.commit().await.unwrap_err().to_string();
    assert!(refused.contains("part of the rollout"), "{refused}");
}

#[tokio::test]
async fn no_catalog_drops_or_retypes_a_setting_that_rolls_out() {
    let catalog = |second: &str| {
        format!(
            "catalog = \"two\"\ndescription = \"Settings.\"\n\n[[setting]]\nkey = \"STAYS\"\ncategory = \"test\"\n\
             type = \"number\"\ndefault = 1\napplies = \"new_sessions\"\ndescription = \"A number.\"\n\n{second}"
        )
    };
    let rolling = |kind: &str, default: &str, applies: &str, approvals: u8| {
        format!(
            "[[setting]]\nkey = \"ROLLS\"\ncategory = \"test\"\ntype = \"{kind}\"\ndefault = {default}\n\
             applies = \"{applies}\"\napprovals = {approvals}\ndescription = \"Rolls.\"\n"
        )
    };
    let current = catalog(&rolling("number", "1", "new_sessions", 0));
    let app = TestApp::with_catalog(&current).await;
    let number = begin(&app.instance, &[("ROLLS", json!(2), 1)]).await;
    let publish = async |catalog: &str, dry_run: bool| {
        let catalog = Catalog::parse(catalog).unwrap();
        settings::publish(&app.db.owner().into(), &catalog, &|_| None, &firewall(), dry_run).await
    };
    for refused in [
        catalog(""),
        catalog(&rolling("string", "\"1\"", "new_sessions", 0)),
        catalog(&rolling("number", "1", "hot", 0)),
    ] {
        for dry_run in [true, false] {
            let err = publish(&refused, dry_run).await.unwrap_err().to_string();
            assert!(err.contains(&format!("ROLLS: rolls out with proposal {number}")), "{err}");
        }
    }
    publish(&catalog(&rolling("number", "1", "new_sessions", 1)), false).await.unwrap();
    publish(BRUN_E, true).await.unwrap_err();
    step(&app.instance, "ben", number, "revert").await.ok();
    publish(&catalog(&rolling("number", "1", "hot", 0)), false).await.unwrap();
    let body = with_rollout(&[("ROLLS", json!(2), 1)]);
    let newer = app.another_instance().await;
    post(&newer, "ana", PROPOSALS, &body).await.problem(400, "validation_failed");
}
