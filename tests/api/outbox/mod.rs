//! Messages to other services: what is stored with what happens, and how it arrives.

mod enqueued;
mod failures;
mod payloads;
mod routes;
mod worker_crashes;

use brune::config::Alerts;
use serde_json::{Value, json};

use crate::support::{FAST_PACE, Instance, TestApp, admin};

const KEY: &str = "BRUNE_COOLDOWN_MINUTES";

/// An instance over `app`'s database that leaves word where `alerts` says.
pub(crate) async fn alerting(app: &TestApp, alerts: &Alerts) -> Instance {
    Instance::builder(app.db.pool()).alerts(alerts).pace(FAST_PACE).start().await
}

/// What `/admin/outbox` answers to `query`.
async fn outbox(instance: &Instance, query: &str) -> Value {
    let path = format!("/admin/outbox{query}");
    instance.get(&path).bearer(&admin("root")).send().await.ok()
}

/// The messages in what `/admin/outbox` answers.
pub(crate) async fn messages(instance: &Instance, query: &str) -> Vec<Value> {
    outbox(instance, query).await["messages"].as_array().unwrap().clone()
}

/// Changes the one setting from `version` on to as many values.
async fn change(instance: &Instance, versions: std::ops::Range<i64>) {
    for version in versions {
        instance.change(&[(KEY, json!(100 + version), version)]).await.ok();
    }
}
