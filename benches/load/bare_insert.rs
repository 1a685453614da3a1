//! The bare handler that session starts are compared with: one insert of the same row, with axum and sqlx.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use chrono::{TimeDelta, Utc};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{net::TcpListener, task::JoinSet};
use uuid::Uuid;

use crate::world::POOL;

/// Serves the handler over as many connections as the service of `pool` has, in the driver's own pool: no
/// credentials, no rules, no log.
pub(crate) async fn serve(pool: &PgPool, tasks: &mut JoinSet<()>) -> SocketAddr {
    let options = pool.connect_options().as_ref().clone();
    let pool = PgPoolOptions::new().max_connections(POOL).test_before_acquire(false);
    let pool = pool.connect_lazy_with(options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/least/{user}", post(insert)).with_state(pool);
    tasks.spawn(async move {
        axum::serve(listener, router).await.unwrap();
    });
    address
}

async fn insert(
    State(pool): State<PgPool>,
    Path(user): Path<String>,
) -> Result<(StatusCode, String), StatusCode> {
    #[expect(clippy::disallowed_methods, reason = "the least a handler could do")]
    let now = Utc::now();
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into brune_session (id, user_id, plan, level, started_at, expires_at, settings_revision,
           prompt_id, prompt_version, model, session_max_minutes)
         values ($1, $2, 'pro', 'senior', $3, $4, 1, 'pmpt_brune_default', '1', 'gpt-realtime', 30)",
    )
    .bind(id)
    .bind(user)
    .bind(now)
    .bind(now + TimeDelta::minutes(30))
    .execute(&pool)
    .await
    .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok((StatusCode::CREATED, format!("{{\"session_id\":\"{id}\"}}")))
}
