//! `/admin/global-settings`.

use serde_json::json;

use crate::support::{TestApp, admin};

const PATH: &str = "/admin/global-settings";

#[tokio::test]
async fn a_change_is_stored_told_and_taken_on_by_another_instance() {
    let app = TestApp::new().await;
    let other = app.another().await;
    let changed = app.instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(45), 1)]).await.ok();
    assert_eq!(
        changed,
        json!({"revision": 2, "dry_run": false, "unchanged": [], "ignored": [], "changed": [
            {"key": "BRUNE_COOLDOWN_MINUTES", "old_value": 30, "new_value": 45, "version": 2}]})
    );
    other.reaches(2).await;
    assert_eq!(other.settings.current().get_integer("BRUNE_COOLDOWN_MINUTES"), Ok(45));
    let one = format!("{PATH}/BRUNE_COOLDOWN_MINUTES");
    let one = other.get(&one).bearer(&admin("a")).send().await.ok();
    assert_eq!((&one["value"], &one["version"]), (&json!(45), &json!(2)));
}
