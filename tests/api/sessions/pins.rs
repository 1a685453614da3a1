//! `GET /admin/sessions/pins`: how far a change has drained.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{end, time};
use crate::support::{Instance, TestApp, admin, user};

async fn pins(instance: &Instance) -> Value {
    instance.get("/admin/sessions/pins").bearer(&admin("root")).send().await.ok()
}

/// Revisions with the sessions that hold them.
fn held(pins: &Value) -> Vec<(i64, i64)> {
    let number = |it: &Value| it.as_i64().unwrap();
    let pins = pins["pins"].as_array().unwrap().iter();
    pins.map(|it| (number(&it["revision"]), number(&it["sessions"]))).collect()
}

#[tokio::test]
async fn a_change_is_seen_to_drain() {
    let app = TestApp::new().await;
    assert_eq!(pins(&app.instance).await, json!({"revision": 1, "total": 0, "pins": []}));
    let ana = app.instance.start(&user("ana")).await.ok();
    let ben = app.instance.start(&user("ben")).await.ok();
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    app.instance.start(&user("eva")).await.ok();
    let found = pins(&app.instance).await;
    assert_eq!((&found["revision"], &found["total"]), (&json!(2), &json!(3)));
    assert_eq!(held(&found), [(2, 1), (1, 2)]);
    assert_eq!(found["pins"][1]["drained_by"], ben["expires_at"]);

    end(&app.instance, &ben, &user("ben")).await.ok();
    let found = pins(&app.instance).await;
    assert_eq!(held(&found), [(2, 1), (1, 1)]);
    assert_eq!(found["pins"][1]["drained_by"], ana["expires_at"]);
    end(&app.instance, &ana, &user("ana")).await.ok();
    assert_eq!(held(&pins(&app.instance).await), [(2, 1)]);
}

#[tokio::test]
async fn what_runs_is_decided_by_the_databases_clock() {
    let app = TestApp::new().await;
    app.instance.shift.advance(TimeDelta::hours(-2));
    // Running for the instance, and over for everybody else; nobody has marked it.
    let ana = app.instance.start(&user("ana")).await.ok();
    assert_eq!(ana["status"], "active");
    app.instance.shift.advance(TimeDelta::hours(2));
    let eva = app.instance.start(&user("eva")).await.ok();
    assert!(time(&ana["expires_at"]) < time(&eva["started_at"]));
    let found = pins(&app.instance).await;
    assert_eq!((held(&found), &found["total"]), (vec![(1, 1)], &json!(1)));
}

#[tokio::test]
async fn pins_are_for_administrators() {
    let app = TestApp::new().await;
    let asked = app.instance.get("/admin/sessions/pins").bearer(&user("ana")).send().await;
    asked.problem(403, "forbidden");
    let asked = app.instance.get("/admin/sessions/pins?limit=1").bearer(&admin("root")).send();
    asked.await.problem(400, "malformed_request");
}
