//! What-ifs over starts of both arms.

use std::{num::NonZeroU32, sync::Arc};

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::rolling::{Rolling, start, start_as};
use crate::support::{Instance, TestApp, admin, psql, services::Services};

const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";
const REQUIRE_PLAN: &str = "BRUNE_ELIGIBILITY_REQUIRE_PLAN";
const PER_DAY: &str = "BRUNE_MAX_SESSIONS_PER_DAY";
const USERS: usize = 120;
/// Concurrent starts.
const GROUP: usize = 30;

/// Sessions end after their time, and the next refusal of a user is in another minute.
const NEXT_ROUND: &str = "
  update brune_session set status = 'expired', ended_at = expires_at where status = 'active';
  update brune_start_refused set minute = at + interval '1 year' where minute < now() + interval '1 hour'";

async fn what_if(instance: &Instance, body: &Value) -> Value {
    instance.post("/admin/what-if").bearer(&admin("ada")).json(body).send().await.ok()
}

/// Starts a session of the user `number`, or is refused. An eleventh of the users has no plan.
async fn try_start(instance: Arc<Instance>, number: usize) {
    let plan = (!number.is_multiple_of(11)).then_some("pro");
    let reply = start_as(&instance, &format!("user-{number}"), plan).await;
    assert!([201, 403].contains(&reply.status.as_u16()), "{}", reply.text);
}

/// Starts sessions of all users, and lets the sessions expire.
async fn run_rounds(app: &TestApp, instance: &Arc<Instance>, rounds: usize) {
    for _ in 0..rounds {
        for begin in (0..USERS).step_by(GROUP) {
            let mut starts = JoinSet::new();
            for number in begin..begin + GROUP {
                starts.spawn(try_start(Arc::clone(instance), number));
            }
            starts.join_all().await;
        }
        psql::run(&app.db.pool(), NEXT_ROUND).await;
        instance.shift.advance(TimeDelta::minutes(45));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_of_both_arms_are_reproduced() {
    let app = TestApp::new().await;
    let services = Services { per_minute: NonZeroU32::new(10_000).unwrap(), ..Services::default() };
    let builder = Instance::builder(app.db.pool()).services(services);
    let instance = Arc::new(builder.without_listener().start().await);
    let session = start(&instance, "the-clock").await.ok();
    let now: DateTime<Utc> = session["started_at"].as_str().unwrap().parse().unwrap();
    // No round meets midnight.
    let midnight = now.date_naive().and_time(NaiveTime::MIN).and_utc();
    instance.shift.advance(midnight + Days::new(1) + TimeDelta::hours(6) - now);
    psql::run(&app.db.owner(), "delete from brune_session").await;
    instance.change(&[(PER_DAY, json!(15), 1), (COOLDOWN, json!(5), 1)]).await.ok();
    run_rounds(&app, &instance, 2).await;
    let edits = [(COOLDOWN, json!(20)), (REQUIRE_PLAN, json!(false))];
    let rolling = Rolling::propose(&app.db.pool(), &edits, &[30, 60]).await;
    rolling.begin(1).await;
    run_rounds(&app, &instance, 2).await;
    instance.change(&[(PER_DAY, json!(8), 2)]).await.ok();
    rolling.begin(2).await;
    run_rounds(&app, &instance, 3).await;
    let report = what_if(&instance, &json!({"proposal": rolling.number})).await;
    assert_eq!(report["reproduced"], 1.0, "{report}");
    let keys: Vec<_> =
        report["changed"].as_array().unwrap().iter().map(|change| &change["key"]).collect();
    assert_eq!(keys, [COOLDOWN, REQUIRE_PLAN]);
    assert!(report["newly_admitted"]["attempts"]["least"].as_i64() > Some(0), "{report}");
    rolling.revert().await;
    run_rounds(&app, &instance, 3).await;
    let report = what_if(&instance, &json!({"changes": [{"key": PER_DAY, "value": 7}]})).await;
    assert_eq!(report["reproduced"], 1.0, "{report}");
    assert!(report["newly_refused"]["attempts"]["least"].as_i64() > Some(0), "{report}");
    // The candidates had other values of settings that are not part of the question.
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains(COOLDOWN) && warnings.contains(REQUIRE_PLAN), "{warnings}");
    let sql = "select array[count(*) filter (where candidate), count(*) filter (where not candidate)] from (
        select candidate from brune_session union all select candidate from brune_start_refused) attempts";
    let counts: Vec<i64> = super::scalar(&app, sql).await;
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
}
