//! Emergencies revert a rollout and write in one transaction.

use serde_json::{Value, json};

use super::http::{ALLOWLIST, MINI, MODEL, begin, epoch, propose, state};
use crate::{
    proposals::{PROMPT, PROPOSALS, find, protected, value, write_paths::write_paths},
    settings::{COOLDOWN, PER_DAY},
    support::{Instance, TestApp, admin, psql},
};

const SETTINGS: &str = "/admin/global-settings";

async fn write(instance: &Instance, query: &str, key: &str, new: Value, version: i64) -> Value {
    let body =
        json!({"reason": "on fire", "changes": [{"key": key, "value": new, "version": version}]});
    let call = instance.patch(&format!("{SETTINGS}?emergency=true{query}")).bearer(&admin("eve"));
    call.json(&body).send().await.ok()
}

#[tokio::test]
async fn an_emergency_reverts_the_rollout_of_its_setting() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT, json!("2"), 1)]).await;
    let rehearsed = write(&app.instance, "&dry_run=true", PROMPT, json!("3"), 1).await;
    assert_eq!(rehearsed["reverted"], number, "{rehearsed}");
    assert_eq!(state(&app.instance, number).await, "rolling");
    let changed = write(&app.instance, "", PROMPT, json!("3"), 1).await;
    assert_eq!(changed["reverted"], number, "{changed}");
    assert_eq!(changed["proposal"], number + 1, "{changed}");
    assert_eq!(value(&app.instance, PROMPT).await, (json!("3"), 2));
    let reverted = find(&app.instance, number).await;
    assert_eq!(
        super::http::members(&reverted, &["state", "ended_by", "end_reason"]),
        [&json!("reverted"), &json!("eve"), &json!("on fire")]
    );
    let caused = "select count(*) from brune_proposal where revert_cause = 'emergency'";
    assert_eq!(psql::count(&app.db.admin(), caused).await, 1);
    assert_eq!(epoch(&app).await, 2);
}

#[tokio::test]
async fn an_emergency_elsewhere_leaves_the_rollout_alone() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(MODEL, json!(MINI), 1)]).await;
    let changed = write(&app.instance, "", PER_DAY, json!(5), 1).await;
    assert_eq!(changed["reverted"], Value::Null, "{changed}");
    assert_eq!(state(&app.instance, number).await, "rolling");
    // A conflict with the rollout is no reason to wait, either.
    let changed = write(&app.instance, "", ALLOWLIST, json!(["gpt-realtime-2.1"]), 1).await;
    assert_eq!(changed["reverted"], number, "{changed}");
    assert_eq!(state(&app.instance, number).await, "reverted");
}

#[tokio::test]
async fn every_route_has_the_same_emergency() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    let count = write_paths(&app.instance, &admin("eve"), "").await.len();
    for index in 0..count {
        let (current, mut version) = value(&app.instance, COOLDOWN).await;
        if current == json!(30) {
            // A reset or rollback needs another value than the default.
            app.instance.change(&[(COOLDOWN, json!(45), version)]).await.ok();
            version += 1;
        }
        let number = begin(&app.instance, &[(COOLDOWN, json!(200), version)]).await;
        let (write, call) =
            write_paths(&app.instance, &admin("eve"), "emergency=true").await.swap_remove(index);
        let changed = call.send().await;
        assert!(changed.status.is_success(), "{write}: {}", changed.text);
        assert_eq!(changed.body["reverted"], number, "{write}: {}", changed.text);
        assert_eq!(value(&app.instance, COOLDOWN).await.1, version + 1, "{write}");
        assert_eq!(state(&app.instance, number).await, "reverted", "{write}");
    }
}

#[tokio::test]
async fn an_emergency_applies_a_proposal_to_everybody_at_once() {
    let app = protected().await;
    let rolling = begin(&app.instance, &[(MODEL, json!(MINI), 1)]).await;
    let number = propose(&app.instance, &[(COOLDOWN, json!(45), 1), (MODEL, json!(MINI), 1)]).await;
    let path = format!("{PROPOSALS}/{number}/apply?emergency=true");
    let call = app.instance.post(&path).bearer(&admin("eve"));
    let applied = call.json(&json!({"edition": 1, "reason": "on fire"})).send().await.ok();
    assert_eq!(
        super::http::members(&applied, &["proposal", "rollout", "reverted"]),
        [&json!(number), &Value::Null, &json!(rolling)]
    );
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(45), 2));
    assert_eq!(value(&app.instance, MODEL).await, (json!(MINI), 2));
    let applied = find(&app.instance, number).await;
    assert_eq!(
        super::http::members(&applied, &["state", "bypassed_by"]),
        [&json!("applied"), &json!("eve")]
    );
    assert_eq!(state(&app.instance, rolling).await, "reverted");
}
