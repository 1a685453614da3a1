//! The steps of a rollout, from its beginning to its end.

use serde_json::json;

use super::http::{begin, epoch, members, propose, state, step};
use crate::{
    proposals::{PROMPT, PROPOSALS, apply, blocks, find, get, judge, post, value, withdraw},
    settings::PER_DAY,
    support::{TestApp, admin, psql},
};

#[tokio::test]
async fn a_rollout_begins_with_its_first_stage_and_changes_no_setting() {
    let app = TestApp::new().await;
    let number = propose(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let path = format!("{PROPOSALS}/{number}/apply");
    let rehearsed = app.instance.post(&format!("{path}?dry_run=true")).bearer(&admin("ana"));
    let rehearsed = rehearsed.json(&json!({"edition": 1})).send().await.ok();
    assert_eq!(members(&rehearsed, &["dry_run", "rollout"]), [&json!(true), &json!("begun")]);
    assert_eq!(state(&app.instance, number).await, "open");
    let begun = apply(&app.instance, "ana", number).await;
    let tag = begun.headers["etag"].clone();
    assert_eq!(
        begun.ok(),
        json!({"revision": 1, "dry_run": false, "changed": [], "unchanged": [], "ignored": [],
            "proposal": number, "rollout": "begun"})
    );
    assert_eq!(tag, "\"r1\"");
    assert_eq!(state(&app.instance, number).await, "rolling");
    assert_eq!(value(&app.instance, PROMPT).await, (json!("1"), 1));
    assert_eq!(epoch(&app).await, 1);
    let salts = "select count(*) from brune_proposal where octet_length(salt) = 16 and share_bp = 1000 and stage = 1";
    assert_eq!(psql::count(&app.db.admin(), salts).await, 1);
    // A repeat without a key is told that the rollout is running.
    let again = apply(&app.instance, "ana", number).await.problem(409, "rollout_running");
    assert_eq!(again["proposal"], number);
}

#[tokio::test]
async fn a_person_takes_every_step() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    step(&app.instance, "ana", number, "resume").await.problem(409, "rollout_step_impossible");
    let held = step(&app.instance, "ben", number, "hold").await.ok();
    assert_eq!(
        members(&held["held"], &["reason", "by", "note"]),
        [&json!("person"), &json!("ben"), &json!("as agreed")]
    );
    assert!(held["held"]["since"].is_string(), "{held}");
    step(&app.instance, "ana", number, "hold").await.problem(409, "rollout_step_impossible");
    // Starts are the same while a rollout is held.
    assert_eq!(epoch(&app).await, 1);
    let resumed = step(&app.instance, "cleo", number, "resume").await.ok();
    assert_eq!(resumed["held"], json!(null));
    assert!(resumed["resumed_at"].is_string(), "{resumed}");
    step(&app.instance, "ana", number, "hold").await.ok();
    let widened = step(&app.instance, "ana", number, "advance").await.ok();
    assert_eq!(
        members(&widened, &["state", "stage", "share", "held", "ended"]),
        [&json!("rolling"), &json!(2), &json!(50), &json!(null), &json!(null)]
    );
    assert_eq!(epoch(&app).await, 2);
    step(&app.instance, "ana", number, "advance").await.problem(409, "rollout_step_impossible");
    let promoted = step(&app.instance, "ben", number, "promote").await.ok();
    assert_eq!(
        members(&promoted["ended"], &["outcome", "cause", "by", "reason", "revision"]),
        [&json!("promoted"), &json!(null), &json!("ben"), &json!("as agreed"), &json!(2)]
    );
    assert_eq!(value(&app.instance, PROMPT).await, (json!("2"), 2));
    assert_eq!(epoch(&app).await, 3);
    // The change has the reason of the edition.
    let history =
        get(&app.instance, "/admin/global-settings/history?action=update").send().await.ok();
    let entry = &history["entries"][0];
    assert_eq!(members(entry, &["changed_by", "reason"]), [&json!("ben"), &json!("reads better")]);
    for action in ["hold", "resume", "advance", "promote", "revert"] {
        step(&app.instance, "ben", number, action).await.problem(409, "rollout_not_running");
    }
    let verified = get(&app.instance, "/admin/audit/verify").send().await.ok();
    assert_eq!(verified["breaks"], json!([]), "{verified}");
}

#[tokio::test]
async fn a_revert_ends_the_rollout_and_frees_its_settings() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    step(&app.instance, "ana", number, "advance").await.ok();
    step(&app.instance, "ana", number, "hold").await.ok();
    let reverted = step(&app.instance, "ben", number, "revert").await.ok();
    assert_eq!(
        members(&reverted, &["state", "stage", "share", "held"]),
        [&json!("reverted"), &json!(2), &json!(50), &json!(null)]
    );
    assert_eq!(
        members(&reverted["ended"], &["outcome", "cause", "by", "revision"]),
        [&json!("reverted"), &json!("person"), &json!("ben"), &json!(null)]
    );
    assert_eq!(epoch(&app).await, 3);
    assert_eq!(value(&app.instance, PROMPT).await, (json!("1"), 1));
    app.instance.change(&[(PROMPT, json!("3"), 1)]).await.ok();
    // A reverted proposal never takes effect.
    apply(&app.instance, "ana", number).await.problem(409, "proposal_closed");
    begin(&app.instance, &[(PROMPT, json!("4"), 2)]).await;
}

#[tokio::test]
async fn a_rolling_proposal_is_neither_edited_nor_applied_nor_withdrawn() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let body = super::http::with_rollout(&[(PROMPT, json!("3"), 1)]);
    let edit = crate::proposals::edit(&app.instance, "ana", number, 1, &body).await;
    let verdict = json!({"edition": 1, "verdict": "approve", "apply": true});
    let approve = judge(&app.instance, "ben", number, verdict).await;
    let withdraw = withdraw(&app.instance, "ana", number).await;
    for reply in [edit, approve, withdraw] {
        let problem = reply.problem(409, "rollout_running");
        assert_eq!(members(&problem, &["proposal", "keys"]), [&json!(number), &json!(null)]);
    }
}

#[tokio::test]
async fn a_step_needs_a_rollout() {
    let app = TestApp::new().await;
    step(&app.instance, "ana", 7, "hold").await.problem(404, "proposal_not_found");
    step(&app.instance, "ana", 1 << 40, "hold").await.problem(404, "proposal_not_found");
    let open = propose(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let plain = crate::proposals::proposal(&[(PER_DAY, json!(5), 1)]);
    post(&app.instance, "ana", PROPOSALS, &plain).await;
    for number in [open, open + 1] {
        for action in ["hold", "resume", "advance", "promote", "revert"] {
            step(&app.instance, "ben", number, action).await.problem(409, "rollout_not_running");
        }
    }
    let path = format!("{PROPOSALS}/{open}/rollout");
    for body in [
        json!({"action": "pause", "reason": "as agreed"}),
        json!({"action": "hold"}),
        json!({"reason": "as agreed"}),
        json!({"action": "hold", "reason": "as agreed", "stage": 0}),
        json!({"action": "hold", "reason": "as agreed", "share": 10}),
    ] {
        let refused = post(&app.instance, "ana", &path, &body).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
    }
}

#[tokio::test]
async fn a_repeated_step_is_taken_once_and_a_rehearsed_one_never() {
    let app = TestApp::new().await;
    let second = app.another_instance().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let path = format!("{PROPOSALS}/{number}/rollout");
    let body = |action: &str| json!({"action": action, "stage": 1, "reason": "as agreed"});
    let send = async |query: &str, action: &str| {
        let call = second.post(&format!("{path}{query}")).bearer(&admin("ana"));
        call.header("idempotency-key", "once").json(&body(action)).send().await
    };
    let entries = "select count(*) from app_global_setting_audit";
    let before = psql::count(&app.db.admin(), entries).await;
    for action in ["hold", "advance", "promote", "revert"] {
        assert_eq!(send("?dry_run=true", action).await.ok()["stage"], 1, "{action}");
    }
    assert_eq!(send("?dry_run=true", "resume").await.body["code"], "rollout_step_impossible");
    assert_eq!(psql::count(&app.db.admin(), entries).await, before);
    assert_eq!(send("", "advance").await.ok()["stage"], 2);
    assert_eq!(send("", "advance").await.ok()["stage"], 2);
    assert_eq!(send("", "hold").await.body["code"], "idempotency_key_reused");
    assert_eq!(psql::count(&app.db.admin(), entries).await, before + 1);
    // A repeat has its result even after the end.
    step(&app.instance, "ana", number, "revert").await.ok();
    assert_eq!(send("", "advance").await.ok()["state"], "reverted");
    assert_eq!(blocks(&find(&app.instance, number).await), [""; 0]);
}

#[tokio::test]
async fn no_reason_of_a_step_is_a_secret() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let secret = format!("use sk-proj-{}", "Ab3dEf6hIj9kLm2nOp5q".repeat(3));
    for action in ["hold", "advance", "promote", "revert"] {
        let path = format!("{PROPOSALS}/{number}/rollout");
        let body = json!({"action": action, "stage": 1, "reason": secret});
        let refused = post(&app.instance, "ana", &path, &body).await;
        let problem = refused.problem(400, "secret_like_value");
        assert_eq!(problem["errors"][0]["pointer"], "/reason");
    }
    assert_eq!(state(&app.instance, number).await, "rolling");
}

#[tokio::test]
async fn of_many_who_advance_one_stage_one_succeeds() {
    let app = TestApp::new().await;
    let stages: Vec<_> =
        (1..=9).map(|nth| json!({"share": 10 * nth, "users": 9, "minutes": 0})).collect();
    let mut body = super::http::with_rollout(&[(PROMPT, json!("2"), 1)]);
    body["plan"] = json!({"rollout": {"stages": stages}});
    let number =
        post(&app.instance, "ana", PROPOSALS, &body).await.ok()["number"].as_i64().unwrap();
    apply(&app.instance, "ana", number).await.ok();
    let path = format!("{PROPOSALS}/{number}/rollout");
    let missing = json!({"action": "advance", "reason": "as agreed"});
    let problem =
        post(&app.instance, "ben", &path, &missing).await.problem(400, "validation_failed");
    assert_eq!(problem["errors"][0]["pointer"], "/stage");
    let advance = json!({"action": "advance", "stage": 1, "reason": "as agreed"});
    let tries = (0..12).map(|_| post(&app.instance, "ben", &path, &advance));
    let replies = futures_util::future::join_all(tries).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    for reply in replies.into_iter().filter(|reply| reply.status != 200) {
        assert_eq!(reply.problem(409, "stage_outdated")["stage"], 2);
    }
    assert_eq!(super::http::stage(&app.instance, number).await, 2);
    // Another step was decided for a stage as well, if the caller says so.
    let hold = json!({"action": "hold", "stage": 1, "reason": "as agreed"});
    post(&app.instance, "ben", &path, &hold).await.problem(409, "stage_outdated");
    let widened = "select count(*) from app_global_setting_audit where new_value_json ->> 'event' = 'widened'";
    assert_eq!(psql::count(&app.db.admin(), widened).await, 1);
}
