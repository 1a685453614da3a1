//! The rules of rollouts hold for every writer: each is attacked with SQL under the service's role.

use brune::rollouts::PlanDraft;

use super::{PLAN, PROMPT, attempt, hold, proposal, refused, revert, run, scalar, stage};
use crate::support::TestApp;

/// A service with a proposal that can roll.
async fn proposed() -> TestApp {
    let app = TestApp::new().await;
    run(&app, &proposal(PLAN)).await;
    app
}

/// A service with a rollout at its first stage.
async fn rolling() -> TestApp {
    let app = proposed().await;
    run(&app, &stage(1, 1_000)).await;
    app
}

/// A change of the version of the prompt with its audit entry, by hand.
fn change(value: &str, version: i32) -> String {
    format!(
        "update app_global_settings set value_json = '\"{value}\"', version = {version}, updated_by = 'eve'
         where key = '{PROMPT}';
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
         values ('{PROMPT}', 'update', '\"{value}\"', {version}, 'eve', 'by hand')"
    )
}

fn promotion() -> String {
    "update brune_proposal set state = 'applied', ended_by = 'brune:rollout', end_reason = 'the last stage is complete',
       applied_revision = (select revision from app_global_setting_head) where number = 1"
        .to_owned()
}

/// A session by hand of `user` with the arm `candidate`, an SQL expression that may name the proposal `p`.
fn session(user: &str, candidate: &str, share_bp: i32) -> String {
    format!(
        "insert into brune_session (id, user_id, started_at, expires_at, settings_revision, prompt_id, prompt_version,
           model, session_max_minutes, proposal, candidate, share_bp)
         select gen_random_uuid(), '{user}', now(), now() + interval '5 minutes', 1, 'p', '1', 'm', 5, p.id, {candidate},
           {share_bp} from brune_proposal p"
    )
}

async fn epoch(app: &TestApp) -> i64 {
    scalar(app, "select epoch from app_global_setting_head").await
}

#[tokio::test]
async fn a_plan_that_the_service_cannot_read_is_not_stored() {
    let app = TestApp::new().await;
    for rollout in [
        "1",
        "{}",
        r#"{"stages": [], "guards": ["cut_short"], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 10, "users": 1, "minutes": 0}], "guards": [], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 10, "users": 0, "minutes": 0}], "guards": ["cut_short"], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 101, "users": 1, "minutes": 0}], "guards": ["cut_short"], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 50.0, "users": 1, "minutes": 0}], "guards": ["cut_short"], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 50, "users": 1, "minutes": 0}], "guards": ["cut_short"], "then": "hold", "max_hours": 1.0}"#,
        r#"{"stages": [{"share": 50, "users": 1, "minutes": 30}, {"share": 51, "users": 1, "minutes": 30}], "guards": ["cut_short"], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 1.5, "users": 1, "minutes": 0}], "guards": ["cut_short"], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 10, "users": 1, "minutes": 0}, {"share": 10, "users": 1, "minutes": 0}], "guards": ["cut_short"], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 10, "users": 1, "minutes": 0, "more": 1}], "guards": ["cut_short"], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 10, "users": 1, "minutes": 0}], "guards": ["cut_short", "cut_short"], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 10, "users": 1, "minutes": 0}], "guards": ["luck"], "then": "hold", "max_hours": 1}"#,
        r#"{"stages": [{"share": 10, "users": 1, "minutes": 0}], "guards": ["cut_short"], "then": "wait", "max_hours": 1}"#,
        r#"{"stages": [{"share": 10, "users": 1, "minutes": 0}], "guards": ["cut_short"], "then": "hold", "max_hours": 0}"#,
        r#"{"stages": [{"share": 10, "users": 1, "minutes": 0}], "guards": ["cut_short"], "then": "hold", "max_hours": null}"#,
    ] {
        let plan = format!(r#"{{"rollout": {rollout}}}"#);
        refused(&app, rollout, &proposal(&plan), "the rollout of the plan").await;
    }
    run(&app, &proposal(PLAN)).await;
}

#[tokio::test]
async fn a_share_follows_the_plan_and_only_grows() {
    let app = proposed().await;
    let next = "the next stage of proposal 1";
    refused(&app, "another share", &stage(1, 2_000), next).await;
    refused(&app, "the second stage first", &stage(2, 5_000), next).await;
    run(&app, &stage(1, 1_000)).await;
    refused(&app, "again", &stage(1, 1_000), "begins a stage, holds or resumes").await;
    refused(&app, "the first share at the second stage", &stage(2, 1_000), next).await;
    for assignment in ["share_bp = 500", "share_bp = 5000", "stage = 0", "stage = null"] {
        let sql = format!("update brune_proposal set {assignment} where number = 1");
        refused(&app, assignment, &sql, "").await;
    }
    run(&app, &stage(2, 5_000)).await;
    refused(&app, "back", &stage(1, 1_000), next).await;
    refused(&app, "a third stage", &stage(3, 10_000), next).await;
    for column in ["salt = sha256('x')", "rolling_since = now()", "origin = 'x'", "edition = 2"] {
        let sql = format!("update brune_proposal set {column} where number = 1");
        refused(&app, column, &sql, "permission denied").await;
        let result = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&app.db.owner()).await;
        assert!(result.is_err(), "{column}, by the owner");
    }
}

#[tokio::test]
async fn states_move_only_along_the_steps_of_a_rollout() {
    let app = proposed().await;
    refused(&app, "a hold before the begin", &hold(Some("person")), "").await;
    refused(&app, "a revert before the begin", &revert(), "cannot become reverted").await;
    run(&app, &stage(1, 1_000)).await;
    refused(&app, "resumed, not held", &hold(None), "begins a stage, holds or resumes").await;
    refused(&app, "an unknown reason", &hold(Some("luck")), "held_reason").await;
    for state in ["open", "failed", "withdrawn"] {
        let sql = format!("update brune_proposal set state = '{state}' where number = 1");
        refused(&app, state, &sql, "").await;
    }
    let with_share = revert().replace("set state", "set share_bp = 9000, state");
    refused(&app, "a revert with another share", &with_share, "changes more than the step").await;
    let without_cause = revert().replace("revert_cause = 'person',", "");
    refused(&app, "a revert without a cause", &without_cause, "revert_has_a_cause").await;
    run(&app, &hold(Some("person"))).await;
    run(&app, &hold(Some("max_hours"))).await;
    run(&app, &hold(None)).await;
    run(&app, &revert()).await;
    refused(&app, "again", &stage(1, 1_000), "cannot become").await;
    refused(&app, "reverted twice", &revert(), "").await;
    let evidence = "update brune_proposal set evidence = '{}' where number = 1";
    refused(&app, "other evidence", evidence, "").await;
    let events: Vec<String> = sqlx::query_scalar(
        "select new_value_json ->> 'event' from app_global_setting_audit where action = 'decision' order by seq",
    )
    .fetch_all(&app.db.owner())
    .await
    .unwrap();
    assert_eq!(events, ["written", "rolling", "held", "held", "resumed", "reverted"]);
}

#[tokio::test]
async fn a_rollout_needs_approvals_and_no_freeze() {
    let app = proposed().await;
    let protect =
        "update app_global_setting_schema set approvals = 1 where key = 'BRUNE_PROMPT_VERSION'";
    sqlx::raw_sql(protect).execute(&app.db.owner()).await.unwrap();
    refused(&app, "not approved", &stage(1, 1_000), "does not have its approvals").await;
    let verdict = |person: &str, verdict: &str| {
        format!(
            "insert into brune_proposal_verdict (proposal, edition, seq, given_by, verdict, digest, given_at)
             select proposal, 1, 0, '{person}', '{verdict}', digest, now() from brune_proposal_edition"
        )
    };
    run(&app, &verdict("ben", "approve")).await;
    run(&app, &verdict("cleo", "object")).await;
    refused(&app, "against an objection", &stage(1, 1_000), "does not have its approvals").await;
    run(&app, &verdict("cleo", "approve")).await;
    let freeze = "insert into brune_freeze (starts_at, ends_at, reason, set_by, set_at)
        values (now(), now() + interval '1 hour', 'the fair', 'ana', now())";
    run(&app, freeze).await;
    refused(&app, "in a freeze", &stage(1, 1_000), "frozen").await;
    let end = "update brune_freeze set ended_by = 'ana', end_reason = 'the fair is over'";
    run(&app, end).await;
    run(&app, &stage(1, 1_000)).await;
    run(&app, freeze).await;
    refused(&app, "widened in a freeze", &stage(2, 5_000), "frozen").await;
    // The safe direction works in a freeze.
    run(&app, &hold(Some("person"))).await;
    run(&app, &revert()).await;
}

#[tokio::test]
async fn one_rollout_runs_and_nothing_else_changes_its_settings() {
    let app = rolling().await;
    let second = proposal(PLAN).replace("md5('proposal')", "md5('another')");
    run(&app, &second).await;
    let begin = stage(1, 1_000).replace("number = 1", "number = 2");
    refused(&app, "a second rollout", &begin, "brune_proposal_one_rolling").await;
    let part = "is part of the rollout of proposal 1";
    refused(&app, "a change", &change("9", 2), part).await;
    let early = format!(
        "{}; set constraints app_global_setting_head_is_not_rolling immediate; {}",
        change("9", 2),
        change("10", 3)
    );
    refused(&app, "a change, checked early", &early, part).await;
    let unrelated = "update app_global_settings set value_json = '45', version = 2, updated_by = 'eve'
        where key = 'BRUNE_COOLDOWN_MINUTES';
        insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
        values ('BRUNE_COOLDOWN_MINUTES', 'update', '45', 2, 'eve', 'by hand')";
    let hidden = format!(
        "{unrelated}; set constraints app_global_setting_head_is_not_rolling immediate;
         set constraints app_global_setting_head_is_not_rolling deferred; {}",
        change("9", 2)
    );
    refused(&app, "a change after an early check", &hidden, part).await;
    run(&app, unrelated).await;
    refused(
        &app,
        "a promotion without the change",
        &promotion(),
        "the transaction of its revision",
    )
    .await;
    let other = format!("{}; {}", change("9", 2), promotion());
    refused(&app, "a promotion of another value", &other, "does not have the proposed value").await;
    run(&app, &format!("{}; {}", change("7", 2), promotion())).await;
}

#[tokio::test]
async fn every_step_that_starts_depend_on_raises_the_epoch() {
    let app = proposed().await;
    let before = epoch(&app).await;
    run(&app, &stage(1, 1_000)).await;
    assert_eq!(epoch(&app).await, before + 1);
    run(&app, &hold(Some("person"))).await;
    run(&app, &hold(None)).await;
    assert_eq!(epoch(&app).await, before + 1, "a hold changes no start");
    run(&app, &stage(2, 5_000)).await;
    assert_eq!(epoch(&app).await, before + 2);
    run(&app, &format!("{}; {}", change("7", 2), promotion())).await;
    assert_eq!(epoch(&app).await, before + 3);
}

#[tokio::test]
async fn a_session_has_the_arm_of_its_user() {
    let app = rolling().await;
    let bucket: i32 =
        scalar(&app, "select brune_rollout_bucket(salt, 'zoe') from brune_proposal").await;
    let is_candidate = bucket < 1_000;
    let arm = "is not in this arm";
    refused(&app, "the other arm", &session("zoe", &(!is_candidate).to_string(), 1_000), arm).await;
    refused(&app, "a share to come", &session("zoe", "true", 10_000), arm).await;
    refused(&app, "no share", &session("zoe", "false", 0), arm).await;
    let no_rollout =
        session("zoe", "false", 1_000).replace("p.id, false", "gen_random_uuid(), false");
    refused(&app, "no rollout", &no_rollout, arm).await;
    let half = session("zoe", "null", 1_000);
    refused(&app, "no arm", &half, "").await;
    run(&app, &session("zoe", &is_candidate.to_string(), 1_000)).await;
    for column in ["candidate = not candidate", "share_bp = 1", "proposal = gen_random_uuid()"] {
        let sql = format!("update brune_session set {column}");
        refused(&app, column, &sql, "keeps the settings").await;
    }
    // A session of the arm that was true at its start is stored, also after the end of the rollout.
    run(&app, &revert()).await;
    let late = session("yan", "(brune_rollout_bucket(p.salt, 'yan') < 1000)", 1_000);
    sqlx::raw_sql(sqlx::AssertSqlSafe(late)).execute(&app.db.owner()).await.unwrap();
}

#[tokio::test]
async fn triggers_record_each_failing_user_once() {
    let app = rolling().await;
    let arm = |user: &str| format!("(brune_rollout_bucket(p.salt, '{user}') < 1000)");
    let owner = app.db.owner();
    for user in ["cut", "late", "admin", "reported", "broken"] {
        let sql = session(user, &arm(user), 1_000);
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&owner).await.unwrap();
    }
    for sql in [
        "update brune_session set status = 'ended', ended_at = started_at + interval '59 s' where user_id = 'cut'",
        "update brune_session set status = 'ended', ended_at = started_at + interval '60 s' where user_id = 'late'",
        "update brune_session set status = 'ended', ended_at = started_at, ended_by = 'ana', end_reason = 'test'
           where user_id = 'admin'",
        "update brune_session set status = 'ended', ended_at = started_at + interval '3 minutes', outcome = 'failed'
           where user_id = 'reported'",
        "update brune_session set status = 'failed', ended_at = started_at where user_id = 'broken'",
    ] {
        run(&app, sql).await;
    }
    // A second failure of the same user.
    sqlx::raw_sql(sqlx::AssertSqlSafe(session("cut", &arm("cut"), 1_000)))
        .execute(&owner)
        .await
        .unwrap();
    run(
        &app,
        "update brune_session set status = 'ended', ended_at = started_at where status = 'active'",
    )
    .await;
    let refusal = format!(
        "insert into brune_start_refused (at, user_id, codes, revision, proposal, candidate, share_bp)
         select now(), 'stranger', '{{plan}}', 1, p.id, {}, 1000 from brune_proposal p",
        arm("stranger")
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(refusal)).execute(&owner).await.unwrap();
    let failures: Vec<(String, String)> =
        sqlx::query_as("select guard, user_id from brune_rollout_failure order by guard, user_id")
            .fetch_all(&owner)
            .await
            .unwrap();
    let expected = [
        ("cut_short", "cut"),
        ("cut_short", "reported"),
        ("refused", "stranger"),
        ("start_failed", "broken"),
    ];
    assert_eq!(failures, expected.map(|(guard, user)| (guard.to_owned(), user.to_owned())));
    for sql in [
        "delete from brune_rollout_failure",
        "update brune_rollout_failure set candidate = not candidate",
        "truncate brune_rollout_failure",
        "insert into brune_rollout_failure values (gen_random_uuid(), 'refused', 'x', true, 1, now())",
    ] {
        refused(&app, sql, sql, "permission denied").await;
    }
    assert!(sqlx::raw_sql("delete from brune_rollout_failure").execute(&owner).await.is_err());
    assert!(attempt(&app, "update brune_session set outcome = 'fine'").await.is_err());
}

#[tokio::test]
async fn verdicts_count_while_a_proposal_rolls_and_an_objection_prevents_the_promotion() {
    let app = rolling().await;
    let verdict = |verdict: &str| {
        format!(
            "insert into brune_proposal_verdict (proposal, edition, seq, given_by, verdict, digest, given_at)
             select proposal, 1, 0, 'cleo', '{verdict}', digest, now() from brune_proposal_edition"
        )
    };
    run(&app, &verdict("object")).await;
    refused(&app, "widened", &stage(2, 5_000), "does not have its approvals").await;
    // The setting needs no approval.
    let applied = format!("{}; {}", change("7", 2), promotion());
    refused(&app, "promoted", &applied, "somebody objects").await;
    run(&app, &verdict("approve")).await;
    run(&app, &applied).await;
    refused(&app, "after the end", &verdict("object"), "takes no verdict").await;
}

#[tokio::test]
async fn the_database_accepts_the_plans_that_the_service_reads() {
    let app = TestApp::new().await;
    let stage = |stage: &str| {
        format!(
            r#"{{"stages": [{{{stage}}}], "guards": ["cut_short"], "then": "hold", "max_hours": 1}}"#
        )
    };
    let hours = |hours: &str| {
        format!(
            r#"{{"stages": [{{"share": 10, "users": 1, "minutes": 60}}, {{"share": 20, "users": 1, "minutes": 60}}],
                 "guards": ["cut_short", "refused"], "then": "promote", "max_hours": {hours}}}"#
        )
    };
    let mut plans = Vec::new();
    for members in [
        r#""share": 1, "users": 1, "minutes": 0"#,
        r#""share": 100, "users": 100000, "minutes": 59"#,
        r#""share": 1e2, "users": 1, "minutes": 0"#,
        r#""share": 50.0, "users": 1, "minutes": 0"#,
        r#""share": 50, "users": 1.0, "minutes": 0"#,
        r#""share": 50, "users": 1, "minutes": 0.0"#,
        r#""share": 50, "users": 1, "minutes": 60"#,
        r#""share": 50, "users": 1, "minutes": -0"#,
        r#""share": "50", "users": 1, "minutes": 0"#,
        r#""share": 50, "users": 100001, "minutes": 0"#,
        r#""share": 50, "users": 1"#,
    ] {
        plans.push(stage(members));
    }
    for number in ["2", "3", "720", "721", "3.0", "3.5", "-3", "1e2", "\"3\""] {
        plans.push(hours(number));
    }
    for plan in plans {
        let stored: serde_json::Value =
            scalar(&app, &format!("select '{plan}'::jsonb::text::json")).await;
        let draft = serde_json::from_value::<PlanDraft>(stored);
        let is_read = draft.is_ok_and(|draft| draft.validate(&[], "").is_ok());
        let sql = format!("select brune_rollout_plan_is_readable('{plan}')");
        let is_accepted: bool = scalar(&app, &sql).await;
        assert_eq!(is_accepted, is_read, "{plan}");
    }
}
