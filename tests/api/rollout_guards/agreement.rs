//! After many starts, some of which are killed, the document agrees with the rows.

use std::sync::Arc;

use futures_util::future::{FutureExt as _, join_all};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{
    PROMPT_VERSION, assert_stays, begin, end, find, guard, let_minutes_pass, look, start_with,
    step, with_provider,
};
use crate::support::{Instance, TestApp, realtime_stub::Stub};

/// Starts of each task.
const STARTS: usize = 60;

/// Users of each task: fewer than starts, so that many start again.
const USERS: usize = 25;

/// Starts sessions with every outcome, without randomness: abandoned, refused, cut short, reported as failed, running.
async fn start_and_end(instance: &Instance, task: usize) {
    for number in 0..STARTS {
        // In another order in each round, so that a user meets several outcomes.
        let user = format!("user-{task}-{}", (number + number / USERS) % USERS);
        let plan = (number % 5 != 0).then_some("pro");
        let body = json!({"user_id": user, "plan": plan});
        if number % 11 == 3 {
            // Dropped at its first wait, as by a process that is killed.
            drop(start_with(instance, &body).now_or_never());
            continue;
        }
        let reply = start_with(instance, &body).await;
        if reply.status != 201 {
            continue;
        }
        match number % 4 {
            0 => end(instance, &reply.body).await,
            1 => report_failure(instance, &reply.body).await,
            _ => (),
        }
    }
}

async fn report_failure(instance: &Instance, session: &Value) {
    let path = format!("/brun-e/sessions/{}/end", session["session_id"].as_str().unwrap());
    let call = instance.post(&path).header("x-internal-api-key", crate::support::INTERNAL_KEY);
    call.json(&json!({"outcome": "failed"})).send().await.ok();
}

/// Counts users by guard, arm and share, from sessions and refusals alone: the arm follows from the salt.
const RECOUNT: &str = "
    with rollout as (select id, salt from brune_proposal where number = 1),
    met as (
      select case when s.status = 'failed' then 'start_failed' else 'cut_short' end as guard, s.user_id, s.share_bp,
        coalesce(s.ended_at, s.started_at) as at
      from brune_session s, rollout where s.proposal = rollout.id and (s.status = 'failed' or s.status = 'ended'
        and (s.outcome = 'failed' or s.ended_by is null and s.ended_at - s.started_at < interval '60 seconds'))
      union all
      select 'refused', r.user_id, r.share_bp, r.at from brune_start_refused r, rollout where r.proposal = rollout.id),
    failing as (select guard, user_id, min(share_bp) as share_bp from met group by guard, user_id)
    select coalesce(jsonb_agg(counts), '[]') from (
      select guard, share_bp, count(*) filter (where is_candidate) as candidate,
        count(*) filter (where not is_candidate) as control
      from failing, rollout,
        lateral (select brune_rollout_bucket(salt, user_id) < share_bp as is_candidate) arm
      group by guard, share_bp) counts";

/// Counts all users by arm, from sessions and refusals alone.
const USERS_RECOUNT: &str = "
    with rollout as (select id, salt from brune_proposal where number = 1),
    users as (
      select user_id, min(share_bp) as share_bp from (
        select user_id, share_bp from brune_session s, rollout where s.proposal = rollout.id
        union all
        select user_id, share_bp from brune_start_refused r, rollout where r.proposal = rollout.id) starts
      group by user_id)
    select jsonb_build_object('candidate', count(*) filter (where is_candidate),
      'control', count(*) filter (where not is_candidate))
    from users, rollout, lateral (select brune_rollout_bucket(salt, user_id) < share_bp as is_candidate) arm";

async fn recount(app: &TestApp, sql: &str) -> Value {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&app.db.owner()).await.unwrap()
}

/// The evidence of harm by the formula of the documentation, without logarithms.
fn evidence(counts: &[&Value]) -> f64 {
    let likelihood = |odds: f64| {
        let of_share = counts.iter().map(|counts| {
            let share = counts["share_bp"].as_f64().unwrap() / 10_000.0;
            let candidate = counts["candidate"].as_i64().unwrap();
            let control = counts["control"].as_i64().unwrap();
            let changed = share * odds / (share * odds + 1.0 - share);
            let power = |base: f64, exponent: i64| base.powi(i32::try_from(exponent).unwrap());
            power(changed / share, candidate) * power((1.0 - changed) / (1.0 - share), control)
        });
        of_share.product::<f64>()
    };
    [1.5, 2.0, 3.0, 5.0, 10.0, 25.0].map(likelihood).iter().sum::<f64>() / 6.0
}

async fn assert_agreement(app: &TestApp, number: i64) {
    let rollout = find(&app.instance, number).await;
    let counts = recount(app, RECOUNT).await;
    let counts = counts.as_array().unwrap();
    for name in ["start_failed", "cut_short", "refused"] {
        let of_guard: Vec<_> = counts.iter().filter(|counts| counts["guard"] == name).collect();
        let sum =
            |arm: &str| of_guard.iter().map(|counts| counts[arm].as_i64().unwrap()).sum::<i64>();
        let shown = guard(&rollout, name);
        assert_eq!(
            (&shown["candidate"], &shown["control"]),
            (&json!(sum("candidate")), &json!(sum("control"))),
            "{name}: {rollout} {counts:?}"
        );
        assert!(sum("candidate") + sum("control") > 0, "{name}: no user failed");
        let expected = evidence(&of_guard);
        let actual = shown["evidence"].as_f64().unwrap();
        assert!((actual / expected - 1.0).abs() < 1e-9, "{name}: {actual} {expected}");
        let history = rollout["history"].as_array().unwrap();
        let last = history.iter().rfind(|entry| entry["guard"] == name).unwrap();
        assert_eq!(last["evidence"], shown["evidence"], "{name}");
    }
    let users = recount(app, USERS_RECOUNT).await;
    for arm in ["candidate", "control"] {
        assert_eq!(rollout["users"][arm], users[arm], "{rollout}");
    }
}

#[tokio::test]
async fn the_document_agrees_with_the_rows_after_many_starts_with_kills() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let mut instances = vec![];
    for _ in 0..3 {
        instances.push(with_provider(&app, &stub).await);
    }
    let instances = Arc::new(instances);
    let settings =
        [("BRUNE_COOLDOWN_MINUTES", json!(0), 1), ("BRUNE_MAX_SESSIONS_PER_DAY", json!(20), 1)];
    app.instance.change(&settings).await.ok();
    let stage = |share: i64| json!({"share": share, "users": 100_000, "minutes": 0});
    let plan = json!({"stages": [stage(30), stage(60)], "guards": ["refused"]});
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], plan).await;
    for stage in 0..2 {
        let tasks = (0..6).map(|task| {
            let instances = Arc::clone(&instances);
            async move { start_and_end(&instances[task % 3], task + stage * 100).await }
        });
        join_all(tasks).await;
        // Every abandoned start is over its time by now.
        let_minutes_pass(&app, 2).await;
        assert_stays(&look(&app.instance).await);
        assert_agreement(&app, number).await;
        if stage == 0 {
            step(&app.instance, number, "advance").await;
        }
    }
}
