//! Rollouts by SQL under the service's role, as steps of another instance.

use brune::rollouts;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::support::{INTERNAL_KEY, Instance, Reply, psql};

/// A proposal with a plan of stages.
pub(super) struct Rolling {
    pool: PgPool,
    pub(super) number: i64,
    id: Uuid,
    edits: Vec<(String, Value)>,
    /// The shares of the stages, in percent.
    shares: Vec<i32>,
}

impl Rolling {
    /// Writes a proposal that sets `edits`, with a stage for each of `shares`.
    pub(super) async fn propose(pool: &PgPool, edits: &[(&str, Value)], shares: &[i32]) -> Self {
        let id = Uuid::new_v4();
        let stages: Vec<_> =
            shares.iter().map(|share| json!({"share": share, "users": 1, "minutes": 0})).collect();
        let plan = json!({"rollout": {"stages": stages, "guards": ["start_failed"], "then": "hold", "max_hours": 1}});
        let edits: Vec<_> =
            edits.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let mut transaction = pool.begin().await.unwrap();
        let insert = "insert into brune_proposal (id, created_by, created_at, number) values ($1, 'ada', now(), 0)
            returning number";
        let insert = sqlx::query_scalar(insert).bind(id);
        let number = insert.fetch_one(&mut *transaction).await.unwrap();
        let insert = "insert into brune_proposal_edition
              (proposal, edition, written_by, reason, edits, plan, digest, written_at)
            select $1, 1, 'ada', 'reads better', jsonb_object_agg(edit.key, jsonb_build_object(
              'value', edit.value, 'version', s.version)), $3, '', now()
            from jsonb_each($2) edit left join app_global_settings s on s.key = edit.key";
        let object: Value = edits.iter().cloned().collect::<serde_json::Map<_, _>>().into();
        let insert = sqlx::query(insert).bind(id).bind(object).bind(plan);
        insert.execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        Self { pool: pool.clone(), number, id, edits, shares: shares.to_vec() }
    }

    /// Begins the stage `stage`, from 1.
    pub(super) async fn begin(&self, stage: usize) {
        let share_bp = self.shares[stage - 1] * 100;
        self.update(&format!(
            "state = 'rolling', stage = {stage}, share_bp = {share_bp}, step_by = 'ben', step_reason = 'go on'"
        ))
        .await;
    }

    pub(super) async fn revert(&self) {
        self.update(
            "state = 'reverted', revert_cause = 'person', ended_by = 'cleo', end_reason = 'too many complaints'",
        )
        .await;
    }

    async fn update(&self, assignments: &str) {
        let sql = format!("update brune_proposal set {assignments} where id = $1");
        let update = sqlx::query(AssertSqlSafe(sql)).bind(self.id).execute(&self.pool);
        assert_eq!(update.await.unwrap().rows_affected(), 1);
    }

    /// Applies the change for everybody.
    pub(super) async fn promote(&self) {
        let mut transaction = self.pool.begin().await.unwrap();
        for (key, value) in &self.edits {
            psql::set(&mut *transaction, key, &value.to_string()).await;
        }
        let sql = "update brune_proposal set state = 'applied', ended_by = 'ben', end_reason = 'it is fine',
              applied_revision = (select revision from app_global_setting_head) where id = $1";
        sqlx::query(sql).bind(self.id).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }

    pub(super) async fn salt(&self) -> Vec<u8> {
        let sql = "select salt from brune_proposal where id = $1";
        sqlx::query_scalar(sql).bind(self.id).fetch_one(&self.pool).await.unwrap()
    }

    /// Returns `count` new users whose buckets are in `percents`.
    pub(super) async fn users(&self, percents: std::ops::Range<u16>, count: usize) -> Vec<String> {
        let salt = self.salt().await;
        let buckets = percents.start * 100..percents.end * 100;
        let users = std::iter::repeat_with(|| format!("user-{}", Uuid::new_v4().simple()));
        users.filter(|user| buckets.contains(&rollouts::bucket(&salt, user))).take(count).collect()
    }
}

/// Starts a session of `user` on plan `pro`, as a trusted service.
pub(super) async fn start(instance: &Instance, user: &str) -> Reply {
    start_as(instance, user, Some("pro")).await
}

/// The same on `plan`. Repeats a start that a busy machine refuses: nothing was stored.
pub(super) async fn start_as(instance: &Instance, user: &str, plan: Option<&str>) -> Reply {
    loop {
        let call = instance.post("/brun-e/start").header("x-internal-api-key", INTERNAL_KEY);
        let reply = call.json(&json!({"user_id": user, "plan": plan})).send().await;
        if !reply.text.contains(r#""code":"unavailable""#) {
            return reply;
        }
    }
}
