//! The rules of proposals hold for every writer: each is attacked with SQL under the service's role.

use serde_json::json;
use sqlx::AssertSqlSafe;

use super::{COOLDOWN, PER_DAY, apply, approve, judge, propose, protected};
use crate::support::TestApp;

/// Runs `sql` as one transaction of the service's role; returns the error.
pub(super) async fn attempt(app: &TestApp, sql: &str) -> Result<(), String> {
    let mut transaction = app.db.pool().begin().await.unwrap();
    let result = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await;
    let result = match result {
        Ok(_) => transaction.commit().await,
        Err(err) => Err(err),
    };
    result.map_err(|err| err.to_string())
}

/// Expects `sql` to fail with a message that contains `reason`.
pub(super) async fn refused(app: &TestApp, what: &str, sql: &str, reason: &str) {
    match attempt(app, sql).await {
        Ok(()) => panic!("{what}: accepted"),
        Err(err) => assert!(err.contains(reason), "{what}: {err}"),
    }
}

/// A change of `key` with its audit entry, by hand.
pub(super) fn change(key: &str, value: &str, version: i32) -> String {
    format!(
        "update app_global_settings set value_json = '{value}', version = {version}, updated_by = 'eve'
         where key = '{key}';
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
         values ('{key}', 'update', '{value}', {version}, 'eve', 'by hand')"
    )
}

/// The end of the proposal `number` as applied in this transaction.
pub(super) fn applied(number: i64) -> String {
    format!(
        "update brune_proposal set state = 'applied', ended_by = 'eve', end_reason = 'by hand',
           applied_revision = (select revision from app_global_setting_head) where number = {number}"
    )
}

/// A verdict by hand on the current edition.
fn verdict(number: i64, person: &str, verdict: &str) -> String {
    format!(
        "insert into brune_proposal_verdict (proposal, edition, seq, given_by, verdict, digest, given_at)
         select e.proposal, e.edition, 0, '{person}', '{verdict}', e.digest, now()
         from brune_proposal p join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
         where p.number = {number}"
    )
}

/// A new edition by hand that sets `key`.
pub(super) fn edition(number: i64, person: &str, key: &str, value: &str) -> String {
    format!(
        "insert into brune_proposal_edition
           (proposal, edition, written_by, reason, edits, digest, written_at)
         select id, edition + 1, '{person}', 'by hand',
           jsonb_build_object('{key}', jsonb_build_object('value', {value}, 'version', 1)), '', now()
         from brune_proposal where number = {number}"
    )
}

#[tokio::test]
async fn a_protected_setting_does_not_change_without_its_proposal() {
    let app = protected().await;
    let needs = "approvals of a proposal with exactly this value";
    refused(&app, "without a proposal", &change(COOLDOWN, "45", 2), needs).await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let both = format!("{}; {}", change(COOLDOWN, "45", 2), applied(number));
    refused(&app, "without approvals", &both, needs).await;
    approve(&app.instance, "ben", number).await.ok();
    let other_value = format!("{}; {}", change(COOLDOWN, "46", 2), applied(number));
    refused(&app, "another value", &other_value, "").await;
    let twice = format!("{}; {}", change(COOLDOWN, "44", 2), change(COOLDOWN, "45", 3));
    refused(&app, "another version", &format!("{twice}; {}", applied(number)), needs).await;
    // Checked early, the revision is closed, and the next statement opens another one.
    let early = format!(
        "{both}; set constraints all immediate; set constraints all deferred; {}",
        change(COOLDOWN, "99", 3)
    );
    refused(&app, "after an early check", &early, needs).await;
    judge(
        &app.instance,
        "cleo",
        number,
        json!({"edition": 1, "verdict": "object", "note": "too long"}),
    )
    .await
    .ok();
    refused(&app, "against an objection", &both, "objects").await;
    approve(&app.instance, "cleo", number).await.ok();
    attempt(&app, &both).await.unwrap();
    refused(
        &app,
        "again",
        &format!("{}; {}", change(COOLDOWN, "45", 3), applied(number)),
        "cannot become",
    )
    .await;
    refused(&app, "deleted", &format!("delete from app_global_settings where key = '{COOLDOWN}';
        insert into app_global_setting_audit (key, action, changed_by, reason) values ('{COOLDOWN}', 'reset', 'eve', 'by hand')"), needs).await;
}

#[tokio::test]
async fn a_proposal_is_applied_only_with_its_effect() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    refused(
        &app,
        "without a revision of its own",
        &applied(number),
        "the transaction of its revision",
    )
    .await;
    let other = format!("{}; {}", change("BRUNE_SESSION_MAX_MINUTES", "7", 2), applied(number));
    refused(&app, "with another change", &other, "does not have the proposed value").await;
    let before = "update brune_proposal set state = 'applied', ended_by = 'eve', end_reason = 'by hand', applied_revision = 1";
    refused(&app, "at an old revision", before, "the transaction of its revision").await;
}

#[tokio::test]
async fn a_verdict_is_of_the_current_edition_and_of_nobody_who_wrote_one() {
    let app = protected().await;
    let number = propose(&app.instance, "Ada", &[(COOLDOWN, json!(45), 1)]).await;
    for author in ["Ada", "ada", " ada ", "ＡＤＡ", "\u{3000}ada"] {
        refused(&app, author, &verdict(number, author, "approve"), "somebody else").await;
    }
    refused(&app, "the schedule", &verdict(number, "brune:schedule", "approve"), "somebody else")
        .await;
    refused(&app, "no emergency", &verdict(number, "ben", "acknowledge"), "takes no verdict").await;
    attempt(&app, &verdict(number, "ben", "approve")).await.unwrap();
    attempt(&app, &edition(number, "cleo", COOLDOWN, "90")).await.unwrap();
    refused(&app, "a contributor", &verdict(number, "Cleo", "approve"), "somebody else").await;
    let old = "insert into brune_proposal_verdict (proposal, edition, seq, given_by, verdict, digest, given_at)
        select proposal, edition, 0, 'dora', 'approve', digest, now() from brune_proposal_edition where edition = 1";
    refused(&app, "an older edition", old, "with another content").await;
    let digest = "insert into brune_proposal_verdict (proposal, edition, seq, given_by, verdict, digest, given_at)
        select proposal, edition, 0, 'dora', 'approve', sha256('x'), now() from brune_proposal_edition where edition = 2";
    refused(&app, "another digest", digest, "with another content").await;
    // The approval of edition 1 does not count any more.
    let both = format!("{}; {}", change(COOLDOWN, "90", 2), applied(number));
    refused(&app, "approved before the edit", &both, "approvals").await;
}

#[tokio::test]
async fn decisions_are_permanent() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    approve(&app.instance, "ben", number).await.ok();
    for sql in [
        "delete from brune_proposal",
        "delete from brune_proposal_edition",
        "delete from brune_proposal_verdict",
        "update brune_proposal_edition set reason = 'another'",
        "update brune_proposal_verdict set verdict = 'approve'",
        "update brune_proposal set created_by = 'eve'",
        "update brune_proposal set number = 7",
        "update brune_proposal set edition = 2",
        "truncate brune_proposal cascade",
    ] {
        refused(&app, sql, sql, "permission denied").await;
    }
    // The owner of the tables is stopped by triggers.
    for sql in [
        "delete from brune_proposal_verdict",
        "delete from brune_proposal",
        "update brune_proposal_edition set reason = 'another'",
        "truncate brune_proposal cascade",
        "update brune_proposal set created_by = 'eve'",
    ] {
        let result = sqlx::raw_sql(sql).execute(&app.db.owner()).await;
        assert!(result.is_err(), "{sql}");
    }
    apply(&app.instance, "ana", number).await.ok();
    for state in ["open", "failed", "withdrawn"] {
        let sql = format!("update brune_proposal set state = '{state}'");
        refused(&app, state, &sql, "").await;
    }
    refused(
        &app,
        "an edition of an applied one",
        &edition(number, "eve", PER_DAY, "5"),
        "cannot follow",
    )
    .await;
    refused(
        &app,
        "a skipped edition",
        &edition(number, "eve", PER_DAY, "5").replace("edition + 1", "edition + 2"),
        "cannot follow",
    )
    .await;
}

#[tokio::test]
async fn in_a_freeze_only_a_bypass_changes_settings() {
    let app = protected().await;
    let freeze = "insert into brune_freeze (starts_at, ends_at, reason, set_by, set_at)
        values (now() - interval '1 second', now() + interval '1 hour', 'holidays', 'ana', now())";
    attempt(&app, freeze).await.unwrap();
    refused(&app, "a plain change", &change(PER_DAY, "5", 2), "frozen").await;
    let earlier = "update brune_freeze set ends_at = now()";
    refused(&app, "another end", earlier, "permission denied").await;
    attempt(&app, "update brune_freeze set ended_by = 'ben', end_reason = 'all are back'")
        .await
        .unwrap();
    refused(
        &app,
        "ended twice",
        "update brune_freeze set ended_by = 'cleo', end_reason = 'again'",
        "only once",
    )
    .await;
    attempt(&app, &change(PER_DAY, "5", 2)).await.unwrap();
}

#[tokio::test]
async fn every_decision_is_in_the_trail_and_no_other() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    approve(&app.instance, "ben", number).await.ok();
    apply(&app.instance, "cleo", number).await.ok();
    let sql = "select new_value_json ->> 'event' from app_global_setting_audit where action = 'decision' order by seq";
    let events: Vec<String> = sqlx::query_scalar(sql).fetch_all(&app.db.admin()).await.unwrap();
    assert_eq!(events, ["written", "approve", "applied"]);
    let forged =
        "insert into app_global_setting_audit (key, action, new_value_json, changed_by, reason)
        values ('(proposal)', 'decision', '{}', 'eve', 'by hand')";
    refused(&app, "a decision that nobody made", forged, "recorded by the triggers").await;
    let verified = super::get(&app.instance, "/admin/audit/verify").send().await.ok();
    assert_eq!(verified["breaks"], json!([]), "{verified}");
}

#[tokio::test]
async fn a_plan_that_the_service_cannot_read_is_refused() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let planned = |edits: &str, plan: &str| {
        format!(
            "insert into brune_proposal_edition
               (proposal, edition, written_by, reason, edits, plan, digest, written_at)
             select id, edition + 1, 'ana', 'by hand', '{edits}', '{plan}', '', now()
             from brune_proposal where number = {number}"
        )
    };
    let edits =
        |version: &str| format!(r#"{{"{COOLDOWN}": {{"value": 50, "version": {version}}}}}"#);
    for plan in [
        r#"{"grace_minutes": "soon"}"#,
        r#"{"grace_minutes": 1.5}"#,
        r#"{"grace_minutes": null}"#,
        r#"{"after": 0.5}"#,
        r#"{"after": true}"#,
        r#"{"at": "2027-01-01T24:00:00Z"}"#,
        r#"{"at": "2027-01-01T00:00:00"}"#,
        r#"{"at": 5}"#,
    ] {
        refused(&app, plan, &planned(&edits("1"), plan), "unknown parts").await;
    }
    for version in ["1.5", "-1", "1e30", "\"1\""] {
        let sql = planned(&edits(version), "{}");
        refused(&app, version, &sql, "not by setting").await;
    }
    let plan = r#"{"at": "2027-01-01T00:00:00+01:00", "grace_minutes": 5}"#;
    attempt(&app, &planned(&edits("1"), plan)).await.unwrap();
}
