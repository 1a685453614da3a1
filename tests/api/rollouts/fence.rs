//! A start after an acknowledged step of a rollout, on an instance that has not noticed the step, never has the settings
//! from before.

use std::{ops::Range, sync::Arc};

use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::{
    PROMPT,
    rolling::{Rolling, start},
};
use crate::support::{Instance, TestApp, psql, wait::no_hang};

/// Starts after each step; each kind of step is tried 40 times, so 1,000 times in all.
const STARTS: usize = 25;
const ROUNDS: usize = 40;

/// The arm that a start must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Candidate,
    Control,
    NoRollout,
    Stopped,
}

/// Instances that notice no step: without notifications and without a poll.
struct Fleet {
    pool: PgPool,
    instances: Vec<Arc<Instance>>,
}

impl Fleet {
    async fn start(app: &TestApp) -> Self {
        let mut instances = Vec::new();
        for _ in 0..2 {
            let builder = Instance::builder(app.db.own_pool().await);
            instances.push(Arc::new(builder.without_listener().start().await));
        }
        Self { pool: app.db.pool(), instances }
    }

    /// Starts sessions of new users with buckets in `percents`, and requires `expected` and the version `prompt`.
    async fn check(
        &self,
        rolling: &Rolling,
        percents: Range<u16>,
        expected: Expected,
        prompt: &str,
    ) {
        let mut starts = JoinSet::new();
        let users = rolling.users(percents, STARTS).await;
        for (user, instance) in users.into_iter().zip(self.instances.iter().cycle()) {
            let instance = Arc::clone(instance);
            starts.spawn(async move { start(&instance, &user).await });
        }
        for reply in no_hang("all starts are answered", starts.join_all()).await {
            if expected == Expected::Stopped {
                reply.problem(503, "starts_stopped");
                continue;
            }
            let session = reply.ok();
            let config = &session["config"];
            let number = json!(rolling.number);
            let (proposal, candidate) = match expected {
                Expected::Candidate => (number.clone(), json!(true)),
                Expected::Control => (Value::Null, json!(false)),
                Expected::NoRollout | Expected::Stopped => (Value::Null, Value::Null),
            };
            assert_eq!(config["prompt_version"], prompt, "{expected:?}: {session}");
            assert_eq!(config["proposal"], proposal, "{expected:?}: {session}");
            assert_eq!(session["rollout"]["candidate"], candidate, "{expected:?}: {session}");
        }
    }
}

async fn step_starts(pool: &PgPool, event: &str) {
    let minutes = if event == "stopped" { "5" } else { "null" };
    let sql = format!(
        "insert into brune_starts_event (event, minutes, reason, made_by)
         values ('{event}', {minutes}, 'a test', 'ada')"
    );
    psql::run(pool, sql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_after_a_step_never_has_the_settings_from_before() {
    let app = TestApp::new().await;
    let fleet = Fleet::start(&app).await;
    let mut current = "1".to_owned();
    for round in 0..ROUNDS {
        let proposed = format!("r{round}");
        let edits = [(PROMPT, json!(proposed))];
        let rolling = Rolling::propose(&fleet.pool, &edits, &[40, 90]).await;
        rolling.begin(1).await;
        fleet.check(&rolling, 0..40, Expected::Candidate, &proposed).await;
        fleet.check(&rolling, 40..100, Expected::Control, &current).await;
        rolling.begin(2).await;
        fleet.check(&rolling, 40..90, Expected::Candidate, &proposed).await;
        step_starts(&fleet.pool, "stopped").await;
        fleet.check(&rolling, 0..100, Expected::Stopped, "").await;
        step_starts(&fleet.pool, "resumed").await;
        // Half of the rounds end with a revert, half with a promotion.
        if round % 2 == 0 {
            rolling.revert().await;
            fleet.check(&rolling, 0..90, Expected::NoRollout, &current).await;
            fleet.check(&rolling, 0..90, Expected::NoRollout, &current).await;
        } else {
            rolling.promote().await;
            current = proposed;
            fleet.check(&rolling, 0..100, Expected::NoRollout, &current).await;
            fleet.check(&rolling, 90..100, Expected::NoRollout, &current).await;
        }
    }
}
