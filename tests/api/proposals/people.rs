//! Who may approve what, and what an approval is worth after an edit.

use serde_json::{Value, json};

use super::{
    COOLDOWN, PER_DAY, PROMPT, PROPOSALS, apply, approve, blocks, find, get, judge, post, proposal,
    propose, protected, value,
};
use crate::support::{INTERNAL_KEY, admin, delegated_admin, psql};

#[tokio::test]
async fn a_protected_setting_changes_by_an_approved_proposal() {
    let app = protected().await;
    let number =
        propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1), (PER_DAY, json!(5), 1)]).await;
    let open = find(&app.instance, number).await;
    assert_eq!(blocks(&open), ["not_approved"], "{open}");
    assert_eq!(open["standing"]["needed"], 1);
    apply(&app.instance, "ana", number).await.problem(409, "not_approved");
    approve(&app.instance, "ben", number).await.ok();
    let approved = find(&app.instance, number).await;
    assert_eq!(blocks(&approved), [""; 0], "{approved}");
    let applied = apply(&app.instance, "ana", number).await.ok();
    assert_eq!(applied["proposal"], number, "{applied}");
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(45), 2));
    assert_eq!(value(&app.instance, PER_DAY).await, (json!(5), 2));
    let closed = find(&app.instance, number).await;
    assert_eq!((&closed["state"], &closed["ended_by"]), (&json!("applied"), &json!("ana")));
    let trail = get(&app.instance, "/admin/global-settings/history?action=decision").send().await;
    let events = |entry: &Value| entry["new_value"]["event"].as_str().unwrap().to_owned();
    let events: Vec<_> = trail.ok()["entries"].as_array().unwrap().iter().map(events).collect();
    assert_eq!(events, ["applied", "approve", "written"]);
    apply(&app.instance, "ana", number).await.problem(409, "proposal_closed");
    approve(&app.instance, "cleo", number).await.problem(409, "proposal_closed");
}

#[tokio::test]
async fn a_plain_write_of_a_protected_setting_is_refused_as_a_whole() {
    let app = protected().await;
    let change = app.instance.change(&[(PER_DAY, json!(5), 1), (COOLDOWN, json!(45), 1)]).await;
    let problem = change.problem(403, "approval_required");
    assert_eq!(problem["keys"], json!([{"key": COOLDOWN, "needed": 1}]));
    assert_eq!(problem["propose"], PROPOSALS);
    assert_eq!(value(&app.instance, PER_DAY).await.1, 1);
    let path = format!("/admin/config/{COOLDOWN}");
    let put = app.instance.call(reqwest::Method::PUT, &path).bearer(&admin("ana"));
    let body = json!({"value": 45, "reason": "because", "version": 1});
    put.json(&body).send().await.problem(403, "approval_required");
    let history = format!("/admin/global-settings/history?key={COOLDOWN}");
    let entries = get(&app.instance, &history).send().await.ok();
    assert_eq!(entries["entries"][0]["action"], "refused", "{entries}");
    // The current value is no change.
    app.instance.change(&[(COOLDOWN, json!(30), 1), (PER_DAY, json!(6), 1)]).await.ok();
}

#[tokio::test]
async fn nobody_approves_what_they_wrote() {
    let app = protected().await;
    let number = propose(&app.instance, "Ana", &[(COOLDOWN, json!(45), 1)]).await;
    for author in ["Ana", "ana", "ＡＮＡ"] {
        approve(&app.instance, author, number).await.problem(403, "self_approval");
    }
    let path = format!("{PROPOSALS}/{number}");
    let edit = app.instance.call(reqwest::Method::PUT, &path).bearer(&admin("ben"));
    let body = proposal(&[(COOLDOWN, json!(50), 1)]);
    edit.header("if-match", "\"e1\"").json(&body).send().await.ok();
    let second = json!({"edition": 2, "verdict": "approve"});
    judge(&app.instance, "ben", number, second.clone()).await.problem(403, "self_approval");
    judge(&app.instance, "Ana", number, second.clone()).await.problem(403, "self_approval");
    judge(&app.instance, "cleo", number, second).await.ok();
}

#[tokio::test]
async fn an_edit_needs_new_approvals() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    approve(&app.instance, "ben", number).await.ok();
    let path = format!("{PROPOSALS}/{number}");
    let edit = |tag: Option<&'static str>| {
        let call = app.instance.call(reqwest::Method::PUT, &path).bearer(&admin("ana"));
        let call = call.json(&proposal(&[(COOLDOWN, json!(90), 1)]));
        match tag {
            Some(tag) => call.header("if-match", tag).send(),
            None => call.send(),
        }
    };
    edit(None).await.problem(428, "version_required");
    edit(Some("\"e7\"")).await.problem(412, "edition_mismatch");
    assert_eq!(edit(Some("\"e1\"")).await.ok()["edition"], 2);
    assert_eq!(blocks(&find(&app.instance, number).await), ["not_approved"]);
    apply(&app.instance, "ana", number).await.problem(409, "edition_outdated");
    approve(&app.instance, "ben", number).await.problem(409, "edition_outdated");
    let first = get(&app.instance, &format!("{path}/editions/1")).send().await.ok();
    assert_eq!(first["changes"][0]["value"], 45);
}

#[tokio::test]
async fn an_objection_blocks_until_its_author_approves() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    approve(&app.instance, "ben", number).await.ok();
    let objection = json!({"edition": 1, "verdict": "object", "note": "too long"});
    judge(&app.instance, "cleo", number, objection).await.ok();
    apply(&app.instance, "ben", number).await.problem(409, "not_approved");
    approve(&app.instance, "cleo", number).await.ok();
    apply(&app.instance, "ben", number).await.ok();
}

#[tokio::test]
async fn two_approvals_are_of_two_people() {
    let app = protected().await;
    let (_, version) = value(&app.instance, PROMPT).await;
    let number = propose(&app.instance, "ana", &[(PROMPT, json!("9"), version)]).await;
    approve(&app.instance, "ben", number).await.ok();
    approve(&app.instance, "BEN", number).await.ok();
    apply(&app.instance, "ana", number).await.problem(409, "not_approved");
    let last = json!({"edition": 1, "verdict": "approve", "apply": true});
    let judged = judge(&app.instance, "cleo", number, last).await.ok();
    assert_eq!(judged["proposal"]["state"], "applied", "{judged}");
    assert_eq!(value(&app.instance, PROMPT).await.0, "9");
}

#[tokio::test]
async fn an_emergency_is_applied_at_once_and_acknowledged_by_somebody_else() {
    let app = protected().await;
    let body =
        json!({"reason": "on fire", "changes": [{"key": COOLDOWN, "value": 45, "version": 1}]});
    let path = "/admin/global-settings?emergency=true";
    let call = app.instance.patch(path).bearer(&admin("ana")).json(&body);
    let changed = call.send().await.ok();
    let number = changed["proposal"].as_i64().unwrap();
    let emergency = find(&app.instance, number).await;
    assert_eq!(
        (&emergency["bypassed_by"], &emergency["state"]),
        (&json!("ana"), &json!("applied"))
    );
    let seen = json!({"edition": 1, "verdict": "acknowledge"});
    judge(&app.instance, "ana", number, seen.clone()).await.problem(403, "self_approval");
    let waiting = format!("{PROPOSALS}?waiting_for_me=true");
    let list = app.instance.get(&waiting).bearer(&admin("ben")).send().await.ok();
    assert_eq!(list["proposals"][0]["number"], number, "{list}");
    let judged = judge(&app.instance, "ben", number, seen).await.ok();
    assert_eq!(judged["proposal"]["acknowledged_by"], "ben");
    let list = app.instance.get(&waiting).bearer(&admin("cleo")).send().await.ok();
    assert_eq!(list["proposals"], json!([]), "{list}");
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_a_conflict() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    app.instance.change(&[(PER_DAY, json!(6), 1)]).await.ok();
    assert_eq!(blocks(&find(&app.instance, number).await), ["version_conflict"]);
    let problem = apply(&app.instance, "ana", number).await.problem(409, "version_conflict");
    assert_eq!(problem["conflicts"][0]["current_value"], 6, "{problem}");
    assert_eq!(value(&app.instance, PER_DAY).await.0, json!(6));
}

#[tokio::test]
async fn a_withdrawn_proposal_is_never_applied() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    let path = format!("{PROPOSALS}/{number}/withdraw");
    let withdrawn = post(&app.instance, "ben", &path, &json!({"reason": "not now"})).await.ok();
    assert_eq!(withdrawn["state"], "withdrawn");
    apply(&app.instance, "ana", number).await.problem(409, "proposal_closed");
}

#[tokio::test]
async fn nobody_judges_in_the_name_of_another_person() {
    let app = protected().await;
    let open = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let body =
        json!({"reason": "on fire", "changes": [{"key": COOLDOWN, "value": 40, "version": 1}]});
    let path = "/admin/global-settings?emergency=true";
    let changed = app.instance.patch(path).bearer(&admin("ana")).json(&body).send().await.ok();
    let emergency = changed["proposal"].as_i64().unwrap();
    let verdict = |verdict: &str, applies: bool| json!({"edition": 1, "verdict": verdict, "note": "I see", "apply": applies});
    let verdicts = [
        (open, verdict("approve", false)),
        (open, verdict("approve", true)),
        (open, verdict("object", false)),
        (emergency, verdict("acknowledge", false)),
    ];
    for (number, body) in verdicts {
        for query in ["", "?dry_run=true"] {
            let path = format!("{PROPOSALS}/{number}/verdicts{query}");
            let call = || app.instance.post(&path).json(&body);
            let delegated = delegated_admin("ben", "ana");
            let problem = call().bearer(&delegated).send().await.problem(403, "delegated_token");
            assert!(problem["detail"].as_str().unwrap().contains("in person"), "{problem}");
            let internal = call().header("x-internal-api-key", INTERNAL_KEY).send().await;
            internal.problem(401, "unauthorized");
        }
    }
    let verdicts = "select count(*) from brune_proposal_verdict";
    assert_eq!(psql::count(&app.db.admin(), verdicts).await, 0);
}

#[tokio::test]
async fn an_emergency_has_a_reason_of_its_own() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let path = format!("{PROPOSALS}/{number}/apply");
    let emergency = format!("{path}?emergency=true");
    let edition = json!({"edition": 1});
    post(&app.instance, "ben", &emergency, &edition).await.problem(400, "reason_required");
    let explained = json!({"edition": 1, "reason": "users cannot start"});
    let problem =
        post(&app.instance, "ben", &path, &explained).await.problem(400, "malformed_request");
    assert_eq!(problem["errors"][0]["pointer"], "/reason", "{problem}");
    let secret = json!({"edition": 1, "reason": format!("use {INTERNAL_KEY} instead")});
    let problem =
        post(&app.instance, "ben", &emergency, &secret).await.problem(400, "secret_like_value");
    assert_eq!(problem["errors"][0]["pointer"], "/reason", "{problem}");
    assert_eq!(value(&app.instance, COOLDOWN).await.1, 1);
    post(&app.instance, "ben", &emergency, &explained).await.ok();
    let applied = find(&app.instance, number).await;
    assert_eq!(applied["end_reason"], "users cannot start", "{applied}");
    let bypass =
        "select reason from app_global_setting_audit where new_value_json ->> 'event' = 'bypassed'";
    let reason: String = sqlx::query_scalar(bypass).fetch_one(&app.db.admin()).await.unwrap();
    assert_eq!(reason, "users cannot start");
    let change = "select reason from app_global_setting_audit where action = 'update'";
    let reason: String = sqlx::query_scalar(change).fetch_one(&app.db.admin()).await.unwrap();
    assert_eq!(reason, "reads better");
}

#[tokio::test]
async fn only_an_approval_applies() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    for verdict in ["object", "acknowledge"] {
        let body = json!({"edition": 1, "verdict": verdict, "note": "I see", "apply": true});
        let problem =
            judge(&app.instance, "ben", number, body).await.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["pointer"], "/apply", "{problem}");
    }
    assert_eq!(find(&app.instance, number).await["verdicts"], json!([]));
    let objection = json!({"edition": 1, "verdict": "object", "note": "too long", "apply": false});
    judge(&app.instance, "ben", number, objection).await.ok();
}
