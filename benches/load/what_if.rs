//! A what-if over the greatest number of attempts: duration, memory of the program, and starts and changes beside it.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use brune::{
    clock::Clock,
    settings::{BRUN_E, Catalog},
};
use hyper::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    client::Client,
    expiry::starts,
    program::Program,
    table::{Times, figure, line, median},
    world::{World, admin},
};

const BAR_SECONDS: f64 = 5.0;
/// Starts during what-ifs, of the starts before. A what-if uses one processor and a backend of Postgres another.
const BAR: f64 = 0.5;
/// The median latency of a change during what-ifs, of the one before.
const WRITE_BAR: f64 = 2.0;
/// The pause between two changes.
const WRITE_PAUSE: Duration = Duration::from_millis(10);
/// The growth of the program's memory by the first what-if, in megabytes.
const BAR_MEGABYTES: f64 = 64.0;
/// Users, each with three sessions and one refusal; fewer in a debug build, which measures nothing.
const USERS: i64 = if cfg!(debug_assertions) { 5_000 } else { 50_000 };
/// How long starts are counted without what-ifs.
const ALONE: Duration = Duration::from_secs(5);
const TURNS: usize = 3;
/// The setting that is changed; the replay does not read the setting.
const KEY: &str = "BRUNE_PROMPT_VERSION";

pub(crate) async fn run(world: &mut World) {
    let name = "what_if";
    world.database(name, &Catalog::parse(BRUN_E).unwrap()).await.close().await;
    let owner = PgPool::connect_lazy_with(world.server.owner_options().database(name));
    insert_attempts(&owner).await;
    // Without the starts of the measurement, so that every what-if has the same attempts.
    let until = Clock::system().now().to_rfc3339();
    let program = Program::start_without_provider(&world.url(name)).await;
    // The first starts open connections and prepare statements, and do not count.
    starts(&[program.address], &mut Times::new(), tokio::time::sleep(ALONE)).await;
    let memory = || program.peak().unwrap_or_default();
    let before = memory();
    let mut seconds = vec![ask(&program, &until).await];
    let growth = memory() - before;
    let mut ratios = Vec::new();
    let mut times = [Times::new(), Times::new()];
    let mut writes = [Times::new(), Times::new()];
    let mut writer = Writer::of(&program).await;
    for _ in 0..TURNS {
        let alone = writer.write_during(tokio::time::sleep(ALONE), &mut writes[0]);
        let alone = starts(&[program.address], &mut times[0], alone).await;
        let questions = async {
            // As long as starts were counted alone.
            let started_at = Instant::now();
            while started_at.elapsed() < ALONE {
                seconds.push(ask(&program, &until).await);
            }
        };
        let during = writer.write_during(questions, &mut writes[1]);
        let during = starts(&[program.address], &mut times[1], during).await;
        ratios.push(during / alone);
    }
    let slowest = seconds.iter().copied().fold(0.0, f64::max);
    let details = format!("{} attempts; median {:.2} s", USERS * 4, median(&seconds));
    figure("what-if, the slowest", slowest, BAR_SECONDS, "s", &details);
    figure(
        "what-if, memory of the program",
        growth,
        BAR_MEGABYTES,
        "MB",
        &format!("from {before:.0} MB"),
    );
    let figures = format!("{} before, {} during", times[0], times[1]);
    line("starts during what-ifs, of before", median(&ratios), BAR, true, &figures);
    let [before, during] = &writes;
    let ratio = during.median() / before.median();
    let figures = format!("{before} before, {during} during");
    line("a change during what-ifs, of before", ratio, WRITE_BAR, false, &figures);
    program.stop().await;
    owner.close().await;
}

/// A client that changes a setting.
struct Writer {
    client: Client,
    token: String,
    version: i64,
}

impl Writer {
    async fn of(program: &Program) -> Self {
        Self { client: Client::of(program.address).await, token: admin(), version: 1 }
    }

    /// Changes the setting again and again until `background` has ended, and records the durations.
    async fn write_during(&mut self, background: impl Future<Output = ()>, times: &mut Times) {
        let is_over = Cell::new(false);
        let background = async {
            background.await;
            is_over.set(true);
        };
        let writes = async {
            while !is_over.get() {
                let started_at = Instant::now();
                self.write().await;
                times.add(started_at.elapsed());
                tokio::time::sleep(WRITE_PAUSE).await;
            }
        };
        tokio::join!(background, writes);
    }

    async fn write(&mut self) {
        let value = format!("v{}", self.version + 1);
        let change = json!({"key": KEY, "value": value, "version": self.version});
        let body = json!({"reason": "measuring", "changes": [change]}).to_string();
        let path = "/admin/global-settings";
        self.client.expect(Method::PATCH, path, &self.token, body).await;
        self.version += 1;
    }
}

/// Asks about a longer cooldown. Returns the seconds.
async fn ask(program: &Program, until: &str) -> f64 {
    let mut client = Client::of(program.address).await;
    let body =
        json!({"changes": [{"key": "BRUNE_COOLDOWN_MINUTES", "value": 120}], "until": until});
    let started_at = Instant::now();
    let answer = client.expect(Method::POST, "/admin/what-if", &admin(), body.to_string()).await;
    let seconds = started_at.elapsed().as_secs_f64();
    let report: Value = serde_json::from_slice(&answer).unwrap();
    println!(
        "  {:.2} s: {} attempts, reproduced {}, newly refused {}, limits {}",
        seconds,
        report["attempts"],
        report["reproduced"],
        report["newly_refused"]["attempts"]["least"],
        report["limits_reached"],
    );
    seconds
}

/// Inserts sessions and refusals of the last day that the default settings explain, in the order of time.
async fn insert_attempts(owner: &PgPool) {
    // Three sessions of a user are 2 hours apart, and a refusal is 20 minutes after the first began.
    let sessions = "insert into brune_session (id, user_id, status, plan, level, started_at, expires_at, ended_at,
          settings_revision, prompt_id, prompt_version, model, session_max_minutes)
        select gen_random_uuid(), 'user-' || user_number, 'ended', 'pro', 'senior', at, at + interval '30 minutes',
          at + interval '15 minutes', 1, 'pmpt_brune_default', '1', 'gpt-realtime', 30
        from (select user_number, now() - interval '6 hours' + session * interval '2 hours'
            + (user_number % 3600) * interval '1 second' as at
          from generate_series(1, $1) user_number, generate_series(0, 2) session) attempts order by at";
    sqlx::query(sessions).bind(USERS).execute(owner).await.unwrap();
    let refusals = "insert into brune_start_refused (at, minute, user_id, plan, level, codes, revision)
        select started_at + interval '20 minutes', started_at + interval '20 minutes', user_id, plan, level,
          '{cooldown}'::text[], 1
        from (select distinct on (user_id) * from brune_session order by user_id, started_at) first order by started_at";
    sqlx::query(refusals).execute(owner).await.unwrap();
    // As in a database that has had the rows for some time.
    sqlx::query("vacuum analyze brune_session, brune_start_refused").execute(owner).await.unwrap();
}
