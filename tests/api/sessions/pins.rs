//! `GET /admin/sessions/pins`: how far a change has drained.

use brune::settings::BRUN_E;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{end, time};
use crate::support::{Instance, TestApp, admin, user};

async fn pins(instance: &Instance) -> Value {
    instance.get("/admin/sessions/pins").bearer(&admin("root")).send().await.ok()
}

/// Revisions with the sessions that hold them.
fn held(pins: &Value) -> Vec<(i64, i64)> {
    let number = |value: &Value| value.as_i64().unwrap();
    let pins = pins["pins"].as_array().unwrap().iter();
    pins.map(|pin| (number(&pin["revision"]), number(&pin["sessions"]))).collect()
}

#[tokio::test]
async fn pins_of_an_old_revision_drain() {
    let app = TestApp::new().await;
    assert_eq!(
        pins(&app.instance).await,
        json!({"revision": 1, "total": 0, "pins": [], "settings": []})
    );
    let ana = app.instance.start_session(&user("ana")).await.ok();
    let ben = app.instance.start_session(&user("ben")).await.ok();
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    app.instance.start_session(&user("eva")).await.ok();
    let actual = pins(&app.instance).await;
    assert_eq!((&actual["revision"], &actual["total"]), (&json!(2), &json!(3)));
    assert_eq!(held(&actual), [(2, 1), (1, 2)]);
    assert_eq!(actual["pins"][1]["drained_by"], ben["expires_at"]);

    end(&app.instance, &ben, &user("ben")).await.ok();
    let actual = pins(&app.instance).await;
    assert_eq!(held(&actual), [(2, 1), (1, 1)]);
    assert_eq!(actual["pins"][1]["drained_by"], ana["expires_at"]);
    end(&app.instance, &ana, &user("ana")).await.ok();
    assert_eq!(held(&pins(&app.instance).await), [(2, 1)]);
}

#[tokio::test]
async fn pins_count_the_sessions_per_older_value() {
    let app = TestApp::new().await;
    let version = "BRUNE_PROMPT_VERSION";
    let minutes = "BRUNE_SESSION_MAX_MINUTES";
    let before = app.instance.get(&format!("/admin/global-settings/{version}"));
    let before = before.bearer(&admin("root")).send().await.ok()["value"].clone();
    for user_id in ["ana", "ben"] {
        app.instance.start_session(&user(user_id)).await.ok();
    }
    app.instance.change(&[(version, json!("2"), 1), (minutes, json!(25), 1)]).await.ok();
    app.instance.start_session(&user("eva")).await.ok();
    // Of what changes without them, and back again, they hold what stands.
    app.instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(45), 1)]).await.ok();
    app.instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(30), 2)]).await.ok();
    app.instance.change(&[(version, json!("3"), 2)]).await.ok();
    let kim = app.instance.start_session(&user("kim")).await.ok();
    assert_eq!(kim["config"]["prompt_version"], "3");
    let of_before = json!({"version": 1, "proposal": null, "value": 30, "sessions": 2});
    let expected = json!([
        {"key": version, "version": 3, "value": "3", "sessions": 3, "held": [
            {"version": 2, "proposal": null, "value": "2", "sessions": 1},
            {"version": 1, "proposal": null, "value": before, "sessions": 2},
        ]},
        {"key": minutes, "version": 2, "value": 25, "sessions": 2, "held": [of_before]},
    ]);
    assert_eq!(pins(&app.instance).await["settings"], expected);

    // Back to the value of the oldest: now it is those in between, and the newest, who hold another.
    app.instance.change(&[(version, before.clone(), 3)]).await.ok();
    let actual = pins(&app.instance).await["settings"][0].clone();
    assert_eq!(
        (&actual["version"], &actual["value"], &actual["sessions"]),
        (&json!(4), &before, &json!(2))
    );
    let values: Vec<_> =
        actual["held"].as_array().unwrap().iter().map(|setting| &setting["value"]).collect();
    assert_eq!(values, [&json!("3"), &json!("2")]);
}

#[tokio::test]
async fn hot_settings_are_not_pinned() {
    let (before, after) = BRUN_E.split_once("key = \"BRUNE_COOLDOWN_MINUTES\"").unwrap();
    let after = after.replacen("\"new_sessions\"", "\"hot\"", 1);
    let catalog = format!("{before}key = \"BRUNE_COOLDOWN_MINUTES\"{after}");
    let app = TestApp::with_catalog(&catalog).await;
    app.instance.start_session(&user("ana")).await.ok();
    app.instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(45), 1)]).await.ok();
    assert_eq!(pins(&app.instance).await["settings"], json!([]));
}

#[tokio::test]
async fn running_sessions_are_determined_by_the_database_clock() {
    let app = TestApp::new().await;
    app.instance.shift.advance(TimeDelta::hours(-2));
    // Running for the instance, and over for everybody else; nobody has marked it.
    let ana = app.instance.start_session(&user("ana")).await.ok();
    assert_eq!(ana["status"], "active");
    app.instance.shift.advance(TimeDelta::hours(2));
    let eva = app.instance.start_session(&user("eva")).await.ok();
    assert!(time(&ana["expires_at"]) < time(&eva["started_at"]));
    let actual = pins(&app.instance).await;
    assert_eq!((held(&actual), &actual["total"]), (vec![(1, 1)], &json!(1)));
}

#[tokio::test]
async fn pins_require_an_administrator() {
    let app = TestApp::new().await;
    let reply = app.instance.get("/admin/sessions/pins").bearer(&user("ana")).send().await;
    reply.problem(403, "forbidden");
    let reply = app.instance.get("/admin/sessions/pins?limit=1").bearer(&admin("root")).send();
    reply.await.problem(400, "malformed_request");
}
