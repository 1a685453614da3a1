//! Many starts, decided by the service and replayed.

use std::{num::NonZeroU32, sync::Arc};

use chrono::TimeDelta;
use serde_json::json;
use tokio::task::JoinSet;

use super::{COOLDOWN, MAX_MINUTES, PER_DAY, exactly, member, move_to_nine, what_if};
use crate::support::{Instance, TestApp, psql, services::Services, wait::wait_until};

const USERS: usize = 250;
const ROUNDS: usize = 80;

/// Makes room for the next round: sessions end by themselves after their time, and the next refusal of a user is in
/// another minute.
const NEXT_ROUND: &str = "
  update brune_session set status = 'expired', ended_at = expires_at where status = 'active';
  update brune_start_refused set minute = at + interval '1 year' where minute < now() + interval '1 hour'";

/// Returns the level of a user in a round, and whether the user has a plan.
fn account(user: usize, round: usize) -> (&'static str, bool) {
    let level = if (user + round).is_multiple_of(5) { "junior" } else { "senior" };
    (level, !(user * 7 + round).is_multiple_of(11))
}

/// Makes 20,000 starts within a day, with changes of the settings in between. Returns how many started and were refused.
async fn make_starts(app: &TestApp, instance: &Arc<Instance>) -> (usize, usize) {
    let (mut started, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        match round {
            20 => drop(
                instance.change(&[(PER_DAY, json!(18), 2), (MAX_MINUTES, json!(12), 2)]).await.ok(),
            ),
            50 => drop(instance.change(&[(COOLDOWN, json!(20), 2)]).await.ok()),
            _ => (),
        }
        let mut starts = JoinSet::new();
        for user in 0..USERS {
            let (level, has_plan) = account(user, round);
            let token = member(&format!("user-{user}"), level, has_plan);
            let instance = Arc::clone(instance);
            starts.spawn(async move { instance.start_session(&token).await.status.as_u16() });
        }
        for status in starts.join_all().await {
            match status {
                201 => started += 1,
                403 => refused += 1,
                status => panic!("{status}"),
            }
        }
        psql::run(&app.db.pool(), NEXT_ROUND).await;
        instance.shift.advance(TimeDelta::minutes(17));
    }
    (started, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decisions_of_20_000_starts_are_reproduced() {
    let app = TestApp::new().await;
    let per_minute = NonZeroU32::new(10_000).unwrap();
    let instance = Instance::builder(app.db.pool())
        .services(Services { per_minute, ..Services::default() })
        .without_listener()
        .start()
        .await;
    move_to_nine(&app, &instance).await;
    let instance = Arc::new(instance);
    let changes = [(PER_DAY, json!(20), 1), (COOLDOWN, json!(5), 1), (MAX_MINUTES, json!(10), 1)];
    instance.change(&changes).await.ok();
    let (started, refused) = make_starts(&app, &instance).await;
    assert_eq!(started + refused, USERS * ROUNDS);
    assert!(refused > 2_000 && started > 2_000, "{started} {refused}");

    let report = what_if(&instance, &[(COOLDOWN, json!(20))]).await;
    let sql =
        "select (select count(*) from brune_session) + (select count(*) from brune_start_refused)";
    let records = psql::count(&app.db.pool(), sql).await;
    assert_eq!(report["attempts"], records);
    // On a busy machine a refusal may be given up that waits for a connection.
    assert!(usize::try_from(records).unwrap() > USERS * ROUNDS * 9 / 10, "{records}");
    assert!(report["reproduced"].as_f64().unwrap() >= 0.999, "{report}");
    assert_eq!(report["limits_reached"], json!([]));

    // In the settings of the last rounds, so that nothing else differs.
    let report = what_if(&instance, &[(MAX_MINUTES, json!(11))]).await;
    let sql =
        "select count(*) from brune_session where expires_at - started_at > interval '11 minutes'";
    let longer = psql::count(&app.db.pool(), sql).await;
    let since = "select count(*) from brune_session where settings_revision >= 3";
    let later = psql::count(&app.db.pool(), since).await;
    assert!(longer == later && longer > 0, "{longer} {later}");
    let refused_later = report["newly_refused"]["attempts"]["least"].as_i64().unwrap();
    let cut = report["cut_shorter"]["sessions"]["least"].as_i64().unwrap();
    assert!(cut <= longer && cut + refused_later >= longer, "{cut} {refused_later} {longer}");

    // Only the rounds under the current settings: with these settings, nothing changes.
    let at = "select (extract(epoch from min(at)) * 1000)::bigint from (
      select started_at as at from brune_session where settings_revision = 4
      union all select at from brune_start_refused where revision = 4) attempts";
    let millis = psql::count(&app.db.pool(), at).await;
    let since = chrono::DateTime::from_timestamp_millis(millis).unwrap();
    let body = json!({"changes": [{"key": COOLDOWN, "value": 20}], "since": since});
    let report = super::ask(&instance, &body).await.ok();
    assert_eq!(report["reproduced"], 1.0, "{report}");
    for name in ["newly_refused", "newly_admitted"] {
        assert_eq!(report[name]["attempts"], exactly(0), "{report}");
    }
    assert_eq!(report["cut_shorter"]["sessions"], exactly(0));
    assert_eq!(report["minutes_after"], exactly(report["minutes_before"].as_i64().unwrap()));
    assert_eq!(report["peak_after"], exactly(report["peak_before"].as_i64().unwrap()));
}

#[tokio::test]
async fn old_rows_are_not_read() {
    let app = TestApp::new().await;
    let sql = "insert into brune_session (id, user_id, status, plan, started_at, expires_at, ended_at, settings_revision,
        prompt_id, prompt_version, model, session_max_minutes)
      select gen_random_uuid(), 'user-' || n, 'ended', 'pro', at, at + interval '1 hour', at + interval '10 minutes', 1, 'p',
        '1', 'm', 30
      from generate_series(1, 50000) n, lateral (select now() - (n + 10000) * interval '1 minute' as at) times
      order by at;
      insert into brune_start_refused (at, minute, user_id, codes, revision)
      select started_at, started_at, user_id, '{cooldown}'::text[], 1 from brune_session;
      analyze brune_session, brune_start_refused;";
    psql::run(&app.db.owner(), sql).await;
    // The summary of the pages is made by a vacuum.
    psql::run(&app.db.owner(), "vacuum brune_session").await;
    let report = what_if(&app.instance, &[(COOLDOWN, json!(20))]).await;
    assert_eq!(report["attempts"], 0);
    let sql = "select count(*) from pg_stat_user_indexes
      where indexrelname in ('brune_session_by_start', 'brune_start_refused_by_time') and idx_scan > 0";
    wait_until("both indexes were used", async || {
        // A connection reports its statistics now and then, after a transaction.
        what_if(&app.instance, &[(COOLDOWN, json!(20))]).await;
        psql::count(&app.db.pool(), sql).await == 2
    })
    .await;
}
