//! Races between the steps of proposals: the lock of the head admits one step after the other.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use brune::settings::DueOutcome;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{
    COOLDOWN, PER_DAY, apply, approve,
    due::{in_minutes, let_minutes_pass, schedule},
    edit, find, judge, proposal, propose, protected, value, withdraw,
};
use crate::support::{Instance, Reply, TestApp, psql, wait::wait_until};

const DEADLOCKS: &str = "select coalesce(sum(deadlocks), 0)::bigint from pg_stat_database where datname = current_database()";

/// Selects a session of the service that runs a statement or a transaction.
const ANY_BUSY_SESSION: &str = "pid = (select min(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'brune' and state <> 'idle')";

/// Expects that one of two requests succeeded and the other was refused with 409 and one of `codes`. Returns the problem.
#[track_caller]
fn one_wins(first: &Reply, second: &Reply, codes: &[&str]) -> Value {
    let refused = match (first.status.as_u16(), second.status.as_u16()) {
        (200, 409) => second,
        (409, 200) => first,
        _ => panic!("{} {}\n{} {}", first.status, first.text, second.status, second.text),
    };
    let code = refused.body["code"].as_str().unwrap();
    assert!(codes.contains(&code), "{}", refused.text);
    refused.body.clone()
}

/// A valid value that is not `current`.
fn another(current: &Value) -> Value {
    if *current == json!(19) { json!(20) } else { json!(19) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_never_stands_on_an_edition_that_it_was_not_given_for() {
    let app = protected().await;
    let second = app.another_instance().await;
    let (mut approved_first, mut current) = (0, value(&app.instance, COOLDOWN).await);
    for race in 0..200 {
        let (value_before, version) = current;
        let proposed = another(&value_before);
        let number = propose(&app.instance, "ana", &[(COOLDOWN, proposed.clone(), version)]).await;
        // Every second approval applies the proposal in the same transaction.
        let applies = race % 2 == 1;
        let verdict = json!({"edition": 1, "verdict": "approve", "apply": applies});
        let another = proposal(&[(COOLDOWN, json!(90), version)]);
        let approval = judge(&app.instance, "ben", number, verdict);
        let edition = edit(&second, "cleo", number, 1, &another);
        let (approval, edition) = tokio::join!(approval, edition);
        let after = find(&app.instance, number).await;
        current = value(&app.instance, COOLDOWN).await;
        if applies {
            one_wins(&approval, &edition, &["proposal_closed", "edition_outdated"]);
        } else {
            edition.ok();
        }
        if approval.status == 200 {
            approved_first += 1;
        } else {
            approval.problem(409, "edition_outdated");
        }
        if after["state"] == "applied" {
            assert_eq!((&after["edition"], &current.0), (&json!(1), &proposed), "{after}");
        } else {
            assert_eq!((&after["edition"], &current.0), (&json!(2), &value_before), "{after}");
            assert_eq!(after["standing"]["approvals"], json!([]), "{after}");
        }
    }
    assert!(approved_first < 200, "every approval was faster");
    let admin = app.db.admin();
    let foreign = "select count(*) from brune_proposal_verdict v join brune_proposal_edition e using (proposal, edition)
        where v.digest <> e.digest";
    assert_eq!(psql::count(&admin, foreign).await, 0);
    assert_eq!(psql::count(&admin, DEADLOCKS).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_and_a_plain_write_of_the_same_setting_do_not_both_succeed() {
    let app = protected().await;
    let second = app.another_instance().await;
    for _ in 0..50 {
        let (before, version) = value(&app.instance, PER_DAY).await;
        let proposed = another(&before);
        let number = propose(&app.instance, "ana", &[(PER_DAY, proposed.clone(), version)]).await;
        let plain = [(PER_DAY, json!(if before == json!(3) { 4 } else { 3 }), version)];
        let (applied, written) =
            tokio::join!(apply(&app.instance, "ben", number), second.change(&plain));
        one_wins(&applied, &written, &["version_conflict"]);
        let (stored, stored_version) = value(&app.instance, PER_DAY).await;
        assert_eq!(stored_version, version + 1);
        assert_eq!(stored == proposed, applied.status == 200);
    }
    assert_eq!(psql::count(&app.db.admin(), DEADLOCKS).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_applications_the_second_reports_the_revision_of_the_first() {
    let app = protected().await;
    let second = app.another_instance().await;
    for _ in 0..50 {
        let (before, version) = value(&app.instance, PER_DAY).await;
        let number = propose(&app.instance, "ana", &[(PER_DAY, another(&before), version)]).await;
        let (one, two) =
            tokio::join!(apply(&app.instance, "ana", number), apply(&second, "ben", number));
        let problem = one_wins(&one, &two, &["proposal_closed"]);
        let applied = if one.status == 200 { &one } else { &two };
        assert_eq!(problem["applied_revision"], applied.body["revision"], "{problem}");
        assert_eq!(value(&app.instance, PER_DAY).await.1, version + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_and_an_application_do_not_both_succeed() {
    let app = protected().await;
    let second = app.another_instance().await;
    for _ in 0..50 {
        let (before, version) = value(&app.instance, PER_DAY).await;
        let number = propose(&app.instance, "ana", &[(PER_DAY, another(&before), version)]).await;
        let (applied, withdrawn) =
            tokio::join!(apply(&app.instance, "ana", number), withdraw(&second, "ben", number));
        one_wins(&applied, &withdrawn, &["proposal_closed"]);
        let is_applied = applied.status == 200;
        let state = if is_applied { "applied" } else { "withdrawn" };
        assert_eq!(find(&second, number).await["state"], state);
        let version_after = value(&app.instance, PER_DAY).await.1;
        assert_eq!(version_after, version + i64::from(is_applied));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_applies_and_an_objection_do_not_both_succeed() {
    let app = protected().await;
    let second = app.another_instance().await;
    for _ in 0..50 {
        let (before, version) = value(&app.instance, COOLDOWN).await;
        let number = propose(&app.instance, "ana", &[(COOLDOWN, another(&before), version)]).await;
        let approval = json!({"edition": 1, "verdict": "approve", "apply": true});
        let objection = json!({"edition": 1, "verdict": "object", "note": "too long"});
        let (approval, objection) = tokio::join!(
            judge(&app.instance, "ben", number, approval),
            judge(&second, "cleo", number, objection),
        );
        one_wins(&approval, &objection, &["proposal_closed", "not_approved"]);
        let after = find(&second, number).await;
        let objections = after["standing"]["objections"].as_array().unwrap().len();
        assert_eq!(after["state"] == "applied", objections == 0, "{after}");
        assert_eq!(
            value(&app.instance, COOLDOWN).await.1,
            version + 1 - i64::try_from(objections).unwrap()
        );
    }
}

/// Drops `future` after it was polled `polls` times, as an abort of its task does. Returns the output if it was ready.
async fn abandoned_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(move |context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        polled += 1;
        if polled > polls { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// How one of six instances fails in a race.
enum Failure {
    /// Its task is dropped after a number of steps.
    Dropped(usize),
    /// A connection ends at any time.
    Disconnected,
    /// The connection that has written the settings ends before the commit.
    DisconnectedBeforeCommit(i64),
}

/// Ends the session that waits for the row of the proposal `number`: its transaction has written the settings.
async fn end_before_commit(app: &TestApp, number: i64, begun: tokio::sync::oneshot::Sender<()>) {
    let admin = app.db.admin();
    let mut holder = admin.begin().await.unwrap();
    let lock =
        format!("select pg_backend_pid() from brune_proposal where number = {number} for update");
    let pid: i32 = sqlx::query_scalar(AssertSqlSafe(lock)).fetch_one(&mut *holder).await.unwrap();
    begun.send(()).unwrap();
    let waits = format!("{pid} = any(pg_blocking_pids(pid))");
    let waiting = format!("select count(*) from pg_stat_activity where {waits}");
    wait_until("an instance has written the settings", async || {
        psql::count(&admin, &waiting).await > 0
    })
    .await;
    // One session: the next one waits for the row as soon as the first has ended.
    let one = format!("pid = (select min(pid) from pg_stat_activity where {waits})");
    assert_eq!(psql::end_sessions(&admin, &one).await, 1);
    holder.rollback().await.unwrap();
}

/// Lets all `instances` apply the due proposal at once, of which one fails. Returns how many report the application.
async fn tick(app: &TestApp, instances: &[Instance], victim: &Instance, failure: Failure) -> usize {
    let (begun, begin) = tokio::sync::oneshot::channel();
    let (polls, number) = match failure {
        Failure::Dropped(polls) => (polls, None),
        Failure::Disconnected => (usize::MAX, None),
        Failure::DisconnectedBeforeCommit(number) => (usize::MAX, Some(number)),
    };
    let interference = async {
        match (&failure, number) {
            (_, Some(number)) => end_before_commit(app, number, begun).await,
            (Failure::Disconnected, None) => {
                begun.send(()).unwrap();
                psql::end_sessions(&app.db.admin(), ANY_BUSY_SESSION).await;
            }
            _ => begun.send(()).unwrap(),
        }
    };
    let ticks = async {
        begin.await.unwrap();
        let others = instances.iter().map(Instance::try_due_proposals);
        let others = futures_util::future::join_all(others);
        let victim = abandoned_after(polls, victim.try_due_proposals());
        tokio::join!(others, victim)
    };
    let ((), (others, victim)) = tokio::join!(interference, ticks);
    let reports = others.into_iter().chain(victim).filter_map(Result::ok).flatten();
    reports.filter(|(_, outcome)| matches!(outcome, DueOutcome::Applied(_))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_due_proposal_is_applied_exactly_once_by_six_instances_of_which_one_is_killed() {
    let app = protected().await;
    let mut instances = Vec::new();
    for _ in 0..5 {
        instances.push(app.another_instance().await);
    }
    let victim = app.another_instance().await;
    let admin = app.db.admin();
    let mut interrupted = 0;
    for race in 0..100_usize {
        let (before, version) = value(&app.instance, PER_DAY).await;
        let new_value = another(&before);
        let number =
            schedule(&app, PER_DAY, new_value.clone(), json!({"at": in_minutes(60)})).await;
        let_minutes_pass(&app, number, 61).await;
        let failure = match race % 3 {
            0 => Failure::Dropped(race / 3),
            1 => Failure::Disconnected,
            _ => Failure::DisconnectedBeforeCommit(number),
        };
        let reported = tick(&app, &instances, &victim, failure).await;
        assert!(reported <= 1, "race {race}: {reported} instances report the application");
        interrupted += 1 - reported;
        // The next tick of an instance, if the killed one was the only one that could act in time.
        let again = app.instance.apply_due_proposals().await;
        let again = again.iter().filter(|(_, outcome)| matches!(outcome, DueOutcome::Applied(_)));
        assert!(reported + again.count() <= 1, "race {race}");
        assert_eq!(value(&app.instance, PER_DAY).await, (new_value, version + 1), "race {race}");
        let ends = format!(
            "select count(*) from app_global_setting_audit where action = 'decision'
               and new_value_json ->> 'event' = 'applied' and new_value_json ->> 'proposal' = '{number}'"
        );
        assert_eq!(psql::count(&admin, &ends).await, 1, "race {race}");
    }
    assert!(interrupted < 100, "no instance reported an application");
    assert_eq!(psql::count(&admin, DEADLOCKS).await, 0);
    let verified = super::get(&app.instance, "/admin/audit/verify").send().await.ok();
    assert_eq!(verified["breaks"], json!([]), "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_and_an_end_by_sql_do_not_deadlock() {
    let app = protected().await;
    let admin = app.db.admin();
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let mut holder = admin.begin().await.unwrap();
    let lock = "select pg_backend_pid() from app_global_setting_head for update";
    let pid: i32 = sqlx::query_scalar(lock).fetch_one(&mut *holder).await.unwrap();
    let waiting = format!(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
           and pid <> {pid}"
    );
    let verdict = approve(&app.instance, "ben", number);
    let end = async {
        wait_until("the verdict waits", async || psql::count(&admin, &waiting).await == 1).await;
        let sql = format!(
            "update brune_proposal set state = 'withdrawn', ended_by = 'eve', end_reason = 'by hand'
             where number = {number}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&app.db.pool()).await
    };
    let release = async {
        wait_until("both wait", async || psql::count(&admin, &waiting).await == 2).await;
        holder.rollback().await.unwrap();
    };
    let (verdict, end, ()) = tokio::join!(verdict, end, release);
    verdict.ok();
    end.unwrap();
    assert_eq!(psql::count(&admin, DEADLOCKS).await, 0);
}
