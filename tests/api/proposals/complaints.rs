//! What the users of other services reported: each test is named after what must not happen.
//! `docs/proposals-complaints.md` lists all reports with their tests.

use serde_json::{Value, json};

use super::{
    COOLDOWN, PER_DAY, PROMPT, PROPOSALS, apply, approve, blocks, catalog,
    due::{in_minutes, let_minutes_pass, schedule},
    edit, find, get, judge, post, proposal, propose, protected, value, withdraw,
};
use crate::{
    settings::MAX_MINUTES,
    support::{TestApp, psql},
};

/// A proposal of a new cooldown with `plan`.
fn planned(minutes: i64, plan: Value) -> Value {
    let mut body = proposal(&[(COOLDOWN, json!(minutes), 1)]);
    body["plan"] = plan;
    body
}

/// The state of a proposal, and why it failed.
async fn end(app: &TestApp, number: i64) -> (Value, Value) {
    let proposal = find(&app.instance, number).await;
    (proposal["state"].clone(), proposal["failure"].clone())
}

#[tokio::test]
async fn an_approval_does_not_survive_a_change_of_time_or_reason_only() {
    let app = protected().await;
    let at = in_minutes(60);
    let number = schedule(&app, COOLDOWN, json!(45), json!({"at": at})).await;
    let mut same_values = planned(45, json!({"at": in_minutes(90)}));
    for edition in 1..=3 {
        judge(&app.instance, "ben", number, json!({"edition": edition, "verdict": "approve"}))
            .await
            .ok();
        assert!(!blocks(&find(&app.instance, number).await).contains(&"not_approved"));
        edit(&app.instance, "ana", number, edition, &same_values).await.ok();
        assert!(blocks(&find(&app.instance, number).await).contains(&"not_approved"));
        // The next edition differs in the reason, then in nothing.
        same_values["reason"] = json!("for another reason");
    }
}

#[tokio::test]
async fn a_verdict_does_not_return_with_the_content_that_it_was_given_for() {
    let app = protected().await;
    let first = proposal(&[(COOLDOWN, json!(45), 1)]);
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    approve(&app.instance, "ben", number).await.ok();
    edit(&app.instance, "ana", number, 1, &planned(50, json!({}))).await.ok();
    edit(&app.instance, "ana", number, 2, &first).await.ok();
    let again = find(&app.instance, number).await;
    assert_eq!(again["standing"]["approvals"], json!([]), "{again}");
    let path = format!("{PROPOSALS}/{number}/apply");
    let late = post(&app.instance, "ana", &path, &json!({"edition": 3})).await;
    late.problem(409, "not_approved");
}

#[tokio::test]
async fn a_reopened_proposal_does_not_keep_its_verdicts() {
    let app = protected().await;
    let number = schedule(&app, COOLDOWN, json!(45), json!({"at": in_minutes(60)})).await;
    approve(&app.instance, "ben", number).await.ok();
    let_minutes_pass(&app, number, 120).await;
    app.instance.apply_due_proposals().await;
    assert_eq!(end(&app, number).await, (json!("failed"), json!("missed")));
    edit(&app.instance, "ana", number, 1, &planned(45, json!({}))).await.ok();
    assert_eq!(blocks(&find(&app.instance, number).await), ["not_approved"]);
    assert_eq!(value(&app.instance, COOLDOWN).await.1, 1);
}

#[tokio::test]
async fn a_schedule_made_before_the_protection_does_not_pass_the_protection() {
    let app = TestApp::new().await;
    let number = schedule(&app, COOLDOWN, json!(45), json!({"at": in_minutes(60)})).await;
    assert_eq!(blocks(&find(&app.instance, number).await), ["not_due"]);
    app.publish(&catalog()).await;
    let_minutes_pass(&app, number, 61).await;
    app.instance.apply_due_proposals().await;
    assert_eq!(end(&app, number).await, (json!("failed"), json!("not_approved")));
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(30), 1));
}

#[tokio::test]
async fn reading_a_proposal_does_not_apply_the_proposal() {
    let app = protected().await;
    let number = schedule(&app, PER_DAY, json!(9), json!({"at": in_minutes(60)})).await;
    let_minutes_pass(&app, number, 61).await;
    let path = format!("{PROPOSALS}/{number}");
    let paths = [PROPOSALS.to_owned(), path.clone(), format!("{path}/editions/1")];
    for path in paths {
        get(&app.instance, &path).send().await.ok();
    }
    assert_eq!(end(&app, number).await, (json!("open"), Value::Null));
    assert_eq!(value(&app.instance, PER_DAY).await, (json!(3), 1));
}

#[tokio::test]
async fn a_second_proposal_does_not_erase_the_change_of_the_first() {
    let app = protected().await;
    let cooldown = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let per_day = propose(&app.instance, "ben", &[(PER_DAY, json!(5), 1)]).await;
    let same_key = propose(&app.instance, "cleo", &[(COOLDOWN, json!(60), 1)]).await;
    let overlaps = find(&app.instance, same_key).await["overlaps"].clone();
    assert_eq!(overlaps, json!([{"number": cooldown, "at": null}]));
    approve(&app.instance, "dora", cooldown).await.ok();
    approve(&app.instance, "dora", same_key).await.ok();
    apply(&app.instance, "ana", per_day).await.ok();
    // The approval holds while settings of others change.
    apply(&app.instance, "ana", cooldown).await.ok();
    apply(&app.instance, "cleo", same_key).await.problem(409, "version_conflict");
    assert_eq!(value(&app.instance, COOLDOWN).await.0, 45);
    assert_eq!(value(&app.instance, PER_DAY).await.0, 5);
}

#[tokio::test]
async fn schedules_are_not_applied_in_the_order_in_which_they_were_made() {
    let app = protected().await;
    let later = schedule(&app, PER_DAY, json!(9), json!({"at": in_minutes(62)})).await;
    let earlier = schedule(&app, MAX_MINUTES, json!(25), json!({"at": in_minutes(61)})).await;
    let_minutes_pass(&app, later, 65).await;
    let_minutes_pass(&app, earlier, 65).await;
    let outcomes = app.instance.apply_due_proposals().await;
    let order: Vec<_> = outcomes.iter().map(|(number, _)| *number).collect();
    assert_eq!(order, [earlier, later]);
}

#[tokio::test]
async fn a_withdrawn_schedule_does_not_stay_armed() {
    let app = protected().await;
    let number = schedule(&app, PER_DAY, json!(9), json!({"at": in_minutes(60)})).await;
    withdraw(&app.instance, "ben", number).await.ok();
    let_minutes_pass(&app, number, 61).await;
    assert!(app.instance.apply_due_proposals().await.is_empty());
    assert_eq!(value(&app.instance, PER_DAY).await, (json!(3), 1));
}

#[tokio::test]
async fn a_schedule_does_not_overwrite_a_direct_edit_and_pages_agree() {
    let app = protected().await;
    let second = app.another_instance().await;
    let number = schedule(&app, PER_DAY, json!(9), json!({"at": in_minutes(60)})).await;
    app.instance.change(&[(PER_DAY, json!(5), 1)]).await.ok();
    let_minutes_pass(&app, number, 61).await;
    second.apply_due_proposals().await;
    assert_eq!(end(&app, number).await, (json!("failed"), json!("stale")));
    second.wait_for_revision(2).await;
    for instance in [&app.instance, &second] {
        assert_eq!(value(instance, PER_DAY).await, (json!(5), 2));
        assert_eq!(instance.settings.snapshot().value(PER_DAY).unwrap().to_json(), json!(5));
        assert_eq!(find(instance, number).await["changes"][0]["current_value"], 5);
    }
}

#[tokio::test]
async fn a_due_proposal_waits_for_nobody_to_sign_in() {
    let app = protected().await;
    let number = schedule(&app, COOLDOWN, json!(45), json!({"at": in_minutes(60)})).await;
    approve(&app.instance, "ben", number).await.ok();
    let_minutes_pass(&app, number, 61).await;
    // The tokens of all people are expired by then: a verdict is an event, not a session.
    app.instance.shift.advance(chrono::TimeDelta::days(300));
    app.instance.apply_due_proposals().await;
    let second = app.another_instance().await;
    assert_eq!(find(&second, number).await["state"], "applied");
}

#[tokio::test]
async fn an_invalid_value_is_not_scheduled() {
    let app = protected().await;
    for value in [json!(241), json!(-1), json!("soon"), json!(null), json!(1.5)] {
        let mut body = proposal(&[(COOLDOWN, value, 1)]);
        body["plan"] = json!({"at": in_minutes(60)});
        post(&app.instance, "ana", PROPOSALS, &body).await.problem(400, "validation_failed");
    }
}

#[tokio::test]
async fn a_backlog_of_missed_schedules_is_not_replayed() {
    let app = protected().await;
    let mut numbers = Vec::new();
    for sessions in 5..10 {
        let number = schedule(&app, PER_DAY, json!(sessions), json!({"at": in_minutes(60)})).await;
        let_minutes_pass(&app, number, 60 * 24).await;
        numbers.push(number);
    }
    app.instance.apply_due_proposals().await;
    for number in numbers {
        assert_eq!(end(&app, number).await, (json!("failed"), json!("missed")));
    }
    assert_eq!(value(&app.instance, PER_DAY).await, (json!(3), 1));
}

#[tokio::test]
async fn a_failed_schedule_is_not_tried_again_and_does_not_hinder_the_next() {
    let app = protected().await;
    let broken = schedule(&app, PER_DAY, json!(9), json!({"at": in_minutes(60)})).await;
    let next = schedule(&app, MAX_MINUTES, json!(25), json!({"at": in_minutes(61)})).await;
    // What the database accepted from an older release, and this one cannot read.
    let sql = format!(
        "alter table brune_proposal_edition disable trigger user;
         update brune_proposal_edition set plan = plan || '{{\"grace_minutes\": \"soon\"}}'
           where proposal = (select id from brune_proposal where number = {broken});
         alter table brune_proposal_edition enable trigger user"
    );
    psql::run(&app.db.admin(), sql).await;
    let_minutes_pass(&app, broken, 62).await;
    let_minutes_pass(&app, next, 62).await;
    app.instance.apply_due_proposals().await;
    assert_eq!(end(&app, next).await.0, "applied");
    assert_eq!(value(&app.instance, PER_DAY).await, (json!(3), 1));
}

#[tokio::test]
async fn a_freeze_does_not_block_outside_its_time() {
    let app = protected().await;
    let number = schedule(&app, PER_DAY, json!(9), json!({"at": in_minutes(60)})).await;
    let freeze =
        json!({"reason": "holidays", "starts_at": in_minutes(30), "ends_at": in_minutes(60)});
    post(&app.instance, "ben", "/admin/freezes", &freeze).await.ok();
    // Planned, and not yet in force.
    app.instance.change(&[(MAX_MINUTES, json!(25), 1)]).await.ok();
    assert_eq!(blocks(&find(&app.instance, number).await), ["not_due"]);
    let over = "alter table brune_freeze disable trigger user;
        update brune_freeze set starts_at = now() - interval '2 hours', ends_at = now() - interval '1 second';
        alter table brune_freeze enable trigger user";
    psql::run(&app.db.admin(), over).await;
    app.instance.change(&[(MAX_MINUTES, json!(26), 2)]).await.ok();
}

#[tokio::test]
async fn what_waited_for_the_end_of_a_freeze_is_not_forgotten() {
    let app = protected().await;
    let plan = json!({"at": in_minutes(60), "grace_minutes": 600});
    let number = schedule(&app, PER_DAY, json!(9), plan).await;
    let freeze = json!({"reason": "holidays", "ends_at": in_minutes(60)});
    let freeze = post(&app.instance, "ben", "/admin/freezes", &freeze).await.ok();
    let_minutes_pass(&app, number, 70).await;
    app.instance.apply_due_proposals().await;
    assert_eq!(end(&app, number).await, (json!("open"), Value::Null));
    let path = format!("/admin/freezes/{}/end", freeze["id"].as_str().unwrap());
    post(&app.instance, "cleo", &path, &json!({"reason": "it is over"})).await.ok();
    app.instance.apply_due_proposals().await;
    assert_eq!(end(&app, number).await.0, "applied");
}

#[tokio::test]
async fn an_open_proposal_does_not_block_the_next_one() {
    let app = protected().await;
    for minutes in 40..50 {
        propose(&app.instance, "ana", &[(COOLDOWN, json!(minutes), 1)]).await;
    }
    let last = find(&app.instance, 10).await;
    assert_eq!(last["overlaps"].as_array().unwrap().len(), 9);
    approve(&app.instance, "ben", 10).await.ok();
    apply(&app.instance, "ana", 10).await.ok();
    // The others hear why they cannot be applied any more.
    assert_eq!(blocks(&find(&app.instance, 1).await), ["not_approved", "version_conflict"]);
}

#[tokio::test]
async fn an_approval_is_not_dropped_when_other_settings_change() {
    let app = protected().await;
    let (_, version) = value(&app.instance, PROMPT).await;
    let number = propose(&app.instance, "ana", &[(PROMPT, json!("9"), version)]).await;
    approve(&app.instance, "ben", number).await.ok();
    app.instance.change(&[(PER_DAY, json!(5), 1)]).await.ok();
    approve(&app.instance, "cleo", number).await.ok();
    apply(&app.instance, "ana", number).await.ok();
}

#[tokio::test]
async fn a_key_that_a_predecessor_leaves_as_it_is_does_not_block_its_successor() {
    let app = protected().await;
    // The cooldown has its current value: the predecessor writes no version.
    let first = [(COOLDOWN, json!(30), 1), (PER_DAY, json!(5), 1)];
    let first = propose(&app.instance, "ana", &first).await;
    let mut body = json!({"reason": "on top", "changes": [{"key": COOLDOWN, "value": 45}]});
    body["plan"] = json!({"after": first});
    let second = post(&app.instance, "ana", PROPOSALS, &body).await.ok();
    let second = second["number"].as_i64().unwrap();
    approve(&app.instance, "ben", first).await.ok();
    approve(&app.instance, "ben", second).await.ok();
    apply(&app.instance, "ana", second).await.problem(409, "predecessor_not_applied");
    apply(&app.instance, "ana", first).await.ok();
    assert_eq!(blocks(&find(&app.instance, second).await), [""; 0]);
    apply(&app.instance, "ana", second).await.ok();
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(45), 2));
}
