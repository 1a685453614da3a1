//! Rows that `psql` writes under the service's role: the service reads each, and each has its entry of the trail.

use brune::settings::DueOutcome;
use serde_json::{Value, json};

use super::{
    COOLDOWN, PROPOSALS,
    due::{in_minutes, let_minutes_pass, schedule},
    find, get,
    invariants::{attempt, edition, refused},
    post, propose, protected,
};
use crate::support::{TestApp, psql};

#[tokio::test]
async fn a_value_that_the_service_cannot_read_is_refused() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let deep = format!("'{}1{}'::jsonb", "[".repeat(200), "]".repeat(200));
    for value in ["'1e1000'::jsonb", &deep, "'null'::jsonb", "'\"50\"'::jsonb", "'{}'::jsonb"] {
        let sql = edition(number, "ana", COOLDOWN, value);
        refused(&app, value, &sql, "of the declared type").await;
    }
    let list = "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST";
    for value in ["'[1]'::jsonb", "'[[]]'::jsonb", "'\"gpt\"'::jsonb"] {
        let sql = edition(number, "ana", list, value);
        refused(&app, value, &sql, "of the declared type").await;
    }
    attempt(&app, &edition(number, "ana", list, "'[\"gpt-realtime-2.1\"]'::jsonb")).await.unwrap();
    assert_eq!(find(&app.instance, number).await["edition"], 2);
}

#[tokio::test]
async fn a_due_proposal_that_cannot_be_read_fails() {
    let app = protected().await;
    let number = schedule(&app, COOLDOWN, json!(45), json!({"at": in_minutes(60)})).await;
    let readable = schedule(&app, COOLDOWN, json!(50), json!({"at": in_minutes(60)})).await;
    // Only the owner of the tables can store such an edition.
    let sql = format!(
        "alter table brune_proposal_edition disable trigger user;
         update brune_proposal_edition set edits = '{{\"{COOLDOWN}\": {{\"value\": 1e1000, \"version\": 1}}}}'
         where proposal = (select id from brune_proposal where number = {number});
         alter table brune_proposal_edition enable trigger user"
    );
    psql::run(&app.db.admin(), &sql).await;
    let_minutes_pass(&app, number, 61).await;
    let_minutes_pass(&app, readable, 61).await;
    let outcomes = app.instance.apply_due_proposals().await;
    let failures: Vec<_> = outcomes.iter().map(|(_, outcome)| outcome).collect();
    assert!(
        matches!(
            failures[..],
            [
                DueOutcome::Failed(brune::proposals::Failure::Invalid),
                DueOutcome::Failed(brune::proposals::Failure::NotApproved)
            ]
        ),
        "{outcomes:?}"
    );
    assert!(app.instance.apply_due_proposals().await.is_empty());
    let summary = get(&app.instance, PROPOSALS).send().await.ok();
    assert_eq!(summary["proposals"][1]["failure"], "invalid", "{summary}");
}

fn freeze(starts_at: &str, ends_at: &str) -> String {
    format!(
        "insert into brune_freeze (starts_at, ends_at, reason, set_by, set_at)
         values ({starts_at}, {ends_at}, 'holidays', 'eve', now())"
    )
}

#[tokio::test]
async fn a_time_that_the_service_cannot_read_is_refused() {
    let app = protected().await;
    for (starts_at, ends_at) in [
        ("now()", "'infinity'"),
        ("'-infinity'", "now() + interval '1 hour'"),
        ("'infinity'", "'infinity'"),
        ("now()", "now() + interval '93 days'"),
        ("'200000-01-01'", "'200000-01-02'"),
    ] {
        refused(&app, ends_at, &freeze(starts_at, ends_at), "brune_freeze").await;
    }
    attempt(&app, &freeze("now()", "now() + interval '91 days'")).await.unwrap();
    let list = get(&app.instance, "/admin/freezes").send().await.ok();
    assert_eq!(list["freezes"].as_array().unwrap().len(), 1, "{list}");
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let reminder = format!(
        "insert into brune_proposal_reminder (proposal, sent_at)
         select id, 'infinity' from brune_proposal where number = {number}"
    );
    refused(&app, "a reminder", &reminder, "brune_proposal_reminder").await;
}

async fn decisions(app: &TestApp) -> Vec<(String, String)> {
    let sql = "select new_value_json ->> 'event', reason from app_global_setting_audit
        where action = 'decision' order by seq";
    sqlx::query_as(sql).fetch_all(&app.db.admin()).await.unwrap()
}

#[tokio::test]
async fn a_row_that_is_not_stored_has_no_entry() {
    let app = protected().await;
    attempt(&app, &freeze("now()", "now() + interval '1 hour'")).await.unwrap();
    let again = "insert into brune_freeze (id, starts_at, ends_at, reason, set_by, set_at)
        select id, starts_at, ends_at, 'again', 'eve', now() from brune_freeze on conflict do nothing";
    attempt(&app, again).await.unwrap();
    assert_eq!(decisions(&app).await.len(), 1, "one freeze, one entry");
    let stops = "insert into brune_starts_event (event, minutes, reason, made_by)
        values ('stopped', 5, 'first', 'eve'), ('stopped', 10, 'second', 'eve') on conflict do nothing";
    attempt(&app, stops).await.unwrap();
    let sql = "select count(*) from brune_starts_event e join app_global_setting_audit a
          on a.key = '(starts)' and (a.new_value_json ->> 'epoch')::bigint = e.epoch";
    let events: i64 = sqlx::query_scalar(sql).fetch_one(&app.db.admin()).await.unwrap();
    assert_eq!((events, decisions(&app).await.len()), (2, 3));
    let starts = get(&app.instance, "/admin/starts").send().await.ok();
    assert_eq!(starts["stopped"]["reason"], "second", "{starts}");
}

#[tokio::test]
async fn no_before_trigger_appends_a_decision() {
    let app = protected().await;
    let sql = "select t.tgname::text from pg_trigger t join pg_proc p on p.oid = t.tgfoid
        where t.tgtype & 2 = 2 and p.prosrc like '%brune_decision_append%'";
    let triggers: Vec<String> = sqlx::query_scalar(sql).fetch_all(&app.db.admin()).await.unwrap();
    assert_eq!(triggers, [""; 0]);
}

#[tokio::test]
async fn the_reason_of_the_end_of_a_freeze_is_stored() {
    let app = protected().await;
    let ends_at = in_minutes(60);
    let body = json!({"reason": "holidays", "ends_at": ends_at});
    let frozen = post(&app.instance, "ana", "/admin/freezes", &body).await.ok();
    assert_eq!(frozen["end_reason"], Value::Null, "{frozen}");
    let path = format!("/admin/freezes/{}/end", frozen["id"].as_str().unwrap());
    let ended = post(&app.instance, "ben", &path, &json!({"reason": "all are back"})).await.ok();
    assert_eq!(
        (&ended["reason"], &ended["end_reason"]),
        (&json!("holidays"), &json!("all are back"))
    );
    let list = get(&app.instance, "/admin/freezes").send().await.ok();
    assert_eq!(list["freezes"][0]["end_reason"], "all are back", "{list}");
    let entries = decisions(&app).await;
    assert_eq!(entries[1], ("freeze_ended".to_owned(), "all are back".to_owned()));
    attempt(&app, &freeze("now()", "now() + interval '1 hour'")).await.unwrap();
    let silent = "update brune_freeze set ended_by = 'ben' where ended_by is null";
    refused(&app, "without a reason", silent, "").await;
}
