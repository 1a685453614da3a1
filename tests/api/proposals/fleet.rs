//! While an instance of an older release runs, nothing is written that its history could not show, unless it is urgent.

use serde_json::json;

use super::{COOLDOWN, PROPOSALS, post, proposal, protected};
use crate::support::{admin, psql};

#[tokio::test]
async fn planned_decisions_wait_until_no_older_instance_runs() {
    let app = protected().await;
    // The row of a release that does not know the column of the level.
    let row = "insert into brune_instance (id, host, version, started_at, applied_revision, seen_at)
        values (gen_random_uuid(), 'older.example', '0.1.0', now(), 1, clock_timestamp() + interval '1 hour')";
    psql::run(&app.db.pool(), row).await;

    let freeze = json!({"reason": "the holidays", "ends_at": "2027-01-04T08:00:00Z"});
    let release = json!({"name": "winter", "note": "before the holidays"});
    let planned = |version| {
        let change = proposal(&[(COOLDOWN, json!(50), version)]);
        [
            (PROPOSALS, change),
            ("/admin/freezes", freeze.clone()),
            ("/admin/releases", release.clone()),
        ]
    };
    for (path, body) in planned(1) {
        let refused = post(&app.instance, "ada", path, &body).await;
        let refused = refused.problem(409, "fleet_outdated");
        assert_eq!(refused["instances"][0]["host"], "older.example", "{path}");
    }
    let change =
        json!({"reason": "all fail", "changes": [{"key": COOLDOWN, "value": 45, "version": 1}]});
    let urgent = app.instance.patch("/admin/global-settings?emergency=true");
    urgent.bearer(&admin("ada")).json(&change).send().await.ok();
    let stop = json!({"reason": "all fail", "minutes": 5});
    post(&app.instance, "ada", "/admin/starts/stop", &stop).await.ok();

    psql::run(&app.db.pool(), "delete from brune_instance where host = 'older.example'").await;
    for (path, body) in planned(2) {
        let reply = post(&app.instance, "ada", path, &body).await;
        assert_eq!(reply.status, 201, "{path}: {}", reply.text);
    }
}
