//! Many starts on three instances while stages change, connections break and instances are killed.
//!
//! The long form takes minutes:
//!
//! ```sh
//! cargo test --release --test api -- --ignored --exact rollouts::storm::a_long_storm_mixes_no_arms
//! ```

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use sqlx::{PgPool, Row as _};
use tokio::task::JoinSet;

use super::{
    PROMPT,
    rolling::{Rolling, start},
    scalar,
};
use crate::support::{Instance, TestApp, psql, wait::wait_until};

const INSTANCES: usize = 3;
/// Concurrent clients of each instance.
const CLIENTS: usize = 4;
const MINUTES: &str = "BRUNE_SESSION_MAX_MINUTES";
/// Steps of rollouts, and killed instances, for the whole storm.
const STEPS: usize = 60;
const KILLS: usize = 12;

/// What a start returned: version of the prompt, minutes, and `rollout`.
type Returned = (Value, Value, Value);

/// The starts so far.
struct Storm {
    limit: usize,
    tries: AtomicUsize,
    /// By session.
    sessions: Mutex<HashMap<String, Returned>>,
    /// Ends sessions; no connection of an instance.
    pool: PgPool,
}

impl Storm {
    fn started(&self) -> usize {
        self.sessions.lock().unwrap().len()
    }

    fn is_over(&self) -> bool {
        self.started() >= self.limit
    }

    /// Waits for a part of the starts.
    async fn wait(&self, parts: usize) {
        let until = (self.started() + self.limit / parts).min(self.limit);
        // In small steps: a wait ends with a failure after minutes, which a long storm may take for one part.
        while self.started() < until {
            let next = (self.started() + 20).min(until);
            wait_until("further sessions start", async || self.started() >= next).await;
        }
    }
}

/// Starts and ends sessions. The clients of all instances share users, each with at most 15 starts.
async fn start_sessions(instance: Arc<Instance>, storm: Arc<Storm>) {
    while !storm.is_over() {
        let number = storm.tries.fetch_add(1, Ordering::SeqCst);
        let user = format!("user-{}", number % 20 + number / 300 * 20);
        let reply = start(&instance, &user).await;
        if reply.status == 201 {
            let session = reply.ok();
            let config = &session["config"];
            let id = session["session_id"].as_str().unwrap().to_owned();
            let returned = (
                config["prompt_version"].clone(),
                config["session_max_minutes"].clone(),
                session["rollout"].clone(),
            );
            storm.sessions.lock().unwrap().insert(id, returned);
        } else {
            let code = serde_json::from_str::<Value>(&reply.text).unwrap()["code"].clone();
            // A broken connection, or a session of the user that was started elsewhere, perhaps a moment later.
            let codes = ["session_active", "not_eligible", "outcome_unknown"];
            assert!(codes.iter().any(|expected| code == *expected), "{}", reply.text);
        }
        let end = "update brune_session set status = 'ended', ended_at = started_at
            where user_id = $1 and status = 'active'";
        sqlx::query(end).bind(&user).execute(&storm.pool).await.unwrap();
    }
}

/// Rolls out one change after another; every second one is promoted.
async fn roll_out(storm: &Storm) {
    for round in 0.. {
        let edits = [(PROMPT, json!(format!("p{round}"))), (MINUTES, json!(20 + round % 10))];
        let rolling = Rolling::propose(&storm.pool, &edits, &[10, 40, 80]).await;
        for stage in 1..=3 {
            rolling.begin(stage).await;
            storm.wait(STEPS).await;
        }
        if round % 2 == 0 {
            rolling.revert().await;
        } else {
            rolling.promote().await;
        }
        storm.wait(STEPS).await;
        if storm.is_over() {
            return;
        }
    }
}

async fn start_instance(app: &TestApp, storm: &Arc<Storm>) -> JoinSet<()> {
    let instance = Arc::new(app.another_instance().await);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(start_sessions(Arc::clone(&instance), Arc::clone(storm)));
    }
    clients
}

/// Starts at least `limit` sessions, with steps and kills, and checks every one of them.
async fn run_storm(limit: usize) {
    let app = TestApp::new().await;
    let free =
        [("BRUNE_COOLDOWN_MINUTES", json!(0), 1), ("BRUNE_MAX_SESSIONS_PER_DAY", json!(20), 1)];
    app.instance.change(&free).await.ok();
    let (tries, sessions) = (AtomicUsize::new(0), Mutex::default());
    let storm = Arc::new(Storm { limit, tries, sessions, pool: app.db.pool() });
    let mut instances = Vec::new();
    for _ in 0..INSTANCES {
        instances.push(start_instance(&app, &storm).await);
    }
    tokio::join!(roll_out(&storm), kill(&app, &storm, &mut instances));
    for clients in instances {
        clients.join_all().await;
    }
    check_rows(&app, &storm).await;
}

/// Kills instances and connections.
async fn kill(app: &TestApp, storm: &Arc<Storm>, instances: &mut [JoinSet<()>]) {
    for number in 0..KILLS {
        storm.wait(KILLS + 1).await;
        let clients = &mut instances[number % INSTANCES];
        if number % 2 == 0 {
            // The clients own the last handle of the instance, so requests end in the middle.
            clients.shutdown().await;
            *clients = start_instance(app, storm).await;
        } else {
            let inserting = "query like '%insert into brune_session %'";
            psql::end_sessions(&app.db.admin(), inserting).await;
        }
    }
}

async fn check_rows(app: &TestApp, storm: &Storm) {
    // Each row has the values of its arm: of the proposal, or of the revision.
    let sql = format!(
        "select count(*) from brune_session s
         left join brune_proposal_edition e on s.candidate and e.proposal = s.proposal
         where s.prompt_version is distinct from coalesce(e.edits -> '{PROMPT}' ->> 'value', ({}))
           or s.session_max_minutes::text is distinct from coalesce(e.edits -> '{MINUTES}' ->> 'value', ({}))",
        value_at_revision(PROMPT),
        value_at_revision(MINUTES)
    );
    assert_eq!(scalar::<i64>(app, &sql).await, 0, "sessions with values of another arm");
    // A candidate user becomes a control user only if the share was smaller at the later start.
    let sql = "select count(*) from (
          select candidate, share_bp, lag(candidate) over starts as was_candidate, lag(share_bp) over starts as earlier
          from brune_session where proposal is not null
          window starts as (partition by proposal, user_id order by started_at, id)) rows
        where was_candidate and not candidate and share_bp >= earlier";
    assert_eq!(scalar::<i64>(app, sql).await, 0, "users who changed their arm");
    let sql =
        "select array[count(*) filter (where candidate), count(*) filter (where not candidate),
        count(*) filter (where candidate is null)] from brune_session";
    let counts: Vec<i64> = scalar(app, sql).await;
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    // Each response agrees with the row of the session.
    let sql = "select s.id::text, s.prompt_version, s.session_max_minutes, p.number, s.candidate, s.share_bp
        from brune_session s left join brune_proposal p on p.id = s.proposal";
    let rows = sqlx::query(sql).fetch_all(&storm.pool).await.unwrap();
    let mut sessions = std::mem::take(&mut *storm.sessions.lock().unwrap());
    for row in rows {
        let id: String = row.get(0);
        let rollout = row.get::<Option<i64>, _>(3).map(|number| {
            let (candidate, share_bp): (bool, i32) = (row.get(4), row.get(5));
            json!({"proposal": number, "candidate": candidate, "share": share_bp / 100})
        });
        let stored = (json!(row.get::<String, _>(1)), json!(row.get::<i32, _>(2)), json!(rollout));
        // A killed client has no response.
        if let Some(returned) = sessions.remove(&id) {
            assert_eq!(returned, stored, "{id}");
        }
    }
    assert!(sessions.is_empty(), "sessions that are not stored: {sessions:?}");
}

/// SQL of the value of `key` at the revision of the session `s`.
fn value_at_revision(key: &str) -> String {
    format!(
        "select new_value_json #>> '{{}}' from app_global_setting_audit a
         where a.key = '{key}' and a.revision <= s.settings_revision and a.version is not null
         order by a.seq desc limit 1"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_mixes_no_arms() {
    run_storm(5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes minutes: 100,000 starts"]
async fn a_long_storm_mixes_no_arms() {
    run_storm(100_000).await;
}
