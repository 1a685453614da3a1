//! `/brun-e`.

use serde_json::json;

use crate::support::{TestApp, user};

#[tokio::test]
async fn a_session_keeps_the_settings_it_started_with() {
    let app = TestApp::new().await;
    let session = app.instance.start(&user("ana")).await.ok();
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    let path = format!("/brun-e/sessions/{}", session["session_id"].as_str().unwrap());
    let kept = app.instance.get(&path).bearer(&user("ana")).send().await.ok();
    assert_eq!(kept["config"]["prompt_version"], "1");
    let next = app.instance.start(&user("bob")).await.ok();
    assert_eq!(next["config"]["prompt_version"], "2");
}
