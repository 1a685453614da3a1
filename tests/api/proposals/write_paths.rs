//! Every way to write a setting asks for the approvals of a protected one.

use axum::http::Method;
use serde_json::{Value, json};

use super::{COOLDOWN, PROPOSALS, due::in_minutes, get, post, protected, value};
use crate::support::{Call, Instance, Reply, TestApp, admin, psql};

const SETTINGS: &str = "/admin/global-settings";

/// Every way to write the cooldown over HTTP with `token`, by name. `parameters` are of the query.
pub(crate) async fn write_paths<'a>(
    instance: &'a Instance,
    token: &str,
    parameters: &str,
) -> Vec<(&'static str, Call<'a>)> {
    let (current, version) = value(instance, COOLDOWN).await;
    let new = current.as_i64().unwrap() + 1;
    let history = format!("{SETTINGS}/history?key={COOLDOWN}&action=update");
    let history = get(instance, &history).send().await.ok();
    let revision = get(instance, SETTINGS).send().await.ok()["revision"].clone();
    let call = |method: Method, path: &str| {
        let mark = match (path.contains('?'), parameters) {
            (_, "") => "",
            (true, _) => "&",
            (false, _) => "?",
        };
        instance.call(method, &format!("{path}{mark}{parameters}")).bearer(token)
    };
    let roll_back = |target: serde_json::Value| {
        let mut body = target;
        body["reason"] = json!("back again");
        call(Method::POST, &format!("{SETTINGS}/rollback")).json(&body)
    };
    let import = |media: &'static str, text: String| {
        let path = "/admin/config/import?reason=a+test&on_conflict=overwrite";
        call(Method::POST, path).raw(text).header("content-type", media)
    };
    let config = format!("/admin/config/{COOLDOWN}");
    let change = json!({"reason": "a test", "changes": [{"key": COOLDOWN, "value": new, "version": version}]});
    let put = json!({"reason": "a test", "value": new, "version": version});
    let reset = format!("{config}?reason=a+test&version={version}");
    let json_document = json!({"format_version": 1, "settings": {COOLDOWN: new}});
    vec![
        ("PATCH", call(Method::PATCH, SETTINGS).json(&change)),
        ("PUT", call(Method::PUT, &config).json(&put)),
        ("DELETE", call(Method::DELETE, &reset)),
        (
            "rollback to a version",
            roll_back(json!({"key": COOLDOWN, "to_version": 1, "version": version})),
        ),
        (
            "rollback of an entry",
            roll_back(json!({"audit_id": history["entries"][0]["id"], "version": version})),
        ),
        ("rollback to a revision", roll_back(json!({"to_revision": 1, "revision": revision}))),
        ("import of JSON", import("application/json", json_document.to_string())),
        (
            "import of YAML",
            import(
                "application/yaml",
                format!("format_version: 1\nsettings:\n  {COOLDOWN}: {new}\n"),
            ),
        ),
        ("import of .env", import("text/plain", format!("{COOLDOWN}={new}\n"))),
    ]
}

/// A protected cooldown of 45 minutes, whose earlier value was the default.
async fn changed_before() -> TestApp {
    let app = protected().await;
    let body =
        json!({"reason": "on fire", "changes": [{"key": COOLDOWN, "value": 45, "version": 1}]});
    let path = format!("{SETTINGS}?emergency=true");
    app.instance.patch(&path).bearer(&admin("ana")).json(&body).send().await.ok();
    app
}

#[tokio::test]
async fn no_route_writes_a_protected_setting_without_approvals() {
    let app = changed_before().await;
    for (write, call) in write_paths(&app.instance, &admin("ana"), "").await {
        let reply = call.send().await;
        assert_eq!(reply.status.as_u16(), 403, "{write}: {}", reply.text);
        let problem = reply.problem(403, "approval_required");
        assert_eq!(problem["keys"], json!([{"key": COOLDOWN, "needed": 1}]), "{write}");
        assert_eq!(problem["propose"], PROPOSALS, "{write}");
    }
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(45), 2));
}

#[tokio::test]
async fn every_route_has_the_same_emergency() {
    let app = changed_before().await;
    let count = write_paths(&app.instance, &admin("ana"), "").await.len();
    for index in 0..count {
        let (_, version) = value(&app.instance, COOLDOWN).await;
        if value(&app.instance, COOLDOWN).await.0 == json!(30) {
            // A reset or rollback needs another value than the default.
            let body = json!({"reason": "on fire", "changes": [{"key": COOLDOWN, "value": 45, "version": version}]});
            let path = format!("{SETTINGS}?emergency=true");
            app.instance.patch(&path).bearer(&admin("ana")).json(&body).send().await.ok();
        }
        let before = psql::count(&app.db.admin(), "select count(*) from brune_proposal").await;
        let (_, version) = value(&app.instance, COOLDOWN).await;
        let (write, call) =
            write_paths(&app.instance, &admin("ana"), "emergency=true").await.swap_remove(index);
        let reply = call.send().await;
        assert!(reply.status.is_success(), "{write}: {} {}", reply.status, reply.text);
        assert_eq!(value(&app.instance, COOLDOWN).await.1, version + 1, "{write}");
        let recorded = "select count(*) from brune_proposal where bypassed_by = 'ana'";
        assert_eq!(psql::count(&app.db.admin(), recorded).await, before + 1, "{write}");
    }
}

/// The code of the refusal of a rehearsed write. The plan of an import contains the refusal.
pub(crate) fn refusal(write: &str, reply: Reply) -> Value {
    if write.starts_with("import") {
        return reply.ok()["refusal"]["code"].clone();
    }
    let is_refused = reply.status.is_client_error();
    if is_refused { reply.body["code"].clone() } else { reply.ok()["code"].clone() }
}

#[tokio::test]
async fn every_rehearsal_is_refused_as_the_write() {
    let app = changed_before().await;
    let refusals = async |parameters: &str| {
        let mut refusals = Vec::new();
        for (write, call) in write_paths(&app.instance, &admin("ana"), parameters).await {
            refusals.push((write, refusal(write, call.send().await)));
        }
        refusals
    };
    let entries = "select count(*) from app_global_setting_audit";
    let before = psql::count(&app.db.admin(), entries).await;
    for (write, refusal) in refusals("dry_run=true").await {
        assert_eq!(refusal, "approval_required", "{write}");
    }
    for (write, refusal) in refusals("dry_run=true&emergency=true").await {
        assert_eq!(refusal, Value::Null, "{write}");
    }
    let freeze = json!({"reason": "holidays", "ends_at": in_minutes(60)});
    let frozen = post(&app.instance, "ben", "/admin/freezes", &freeze).await;
    assert_eq!(frozen.status, 201, "{}", frozen.text);
    for (write, refusal) in refusals("dry_run=true").await {
        assert_eq!(refusal, "change_frozen", "{write}");
    }
    for (write, refusal) in refusals("dry_run=true&emergency=true").await {
        assert_eq!(refusal, Value::Null, "{write}");
    }
    // The freeze is the only entry.
    assert_eq!(psql::count(&app.db.admin(), entries).await, before + 1);
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(45), 2));
}

/// A new route has to be added to the list above, or to the writes that change no setting.
#[tokio::test]
async fn the_write_paths_are_all_routes_that_write_settings() {
    let app = TestApp::new().await;
    let document = app.instance.get("/openapi.json").send().await.ok();
    let writes_settings = [
        "delete /admin/config/{key}",
        "patch /admin/global-settings",
        "post /admin/config/import",
        "post /admin/global-settings/rollback",
        // Needs an edition instead; `people.rs` and `repeats.rs` have its tests.
        "post /admin/proposals/{number}/apply",
        "put /admin/config/{key}",
    ];
    let writes_something_else = [
        "post /admin/freezes",
        "post /admin/freezes/{id}/end",
        "post /admin/outbox/{id}/retry",
        "post /admin/proposals",
        // Ends or promotes a rollout; `rollouts/` has its tests.
        "post /admin/proposals/{number}/rollout",
        "post /admin/proposals/{number}/rollout/end-sessions",
        "post /admin/proposals/{number}/verdicts",
        "post /admin/proposals/{number}/withdraw",
        "post /admin/releases",
        "post /admin/releases/{name}/archive",
        "post /admin/secrets/cleanup",
        "post /admin/sessions/{id}/end",
        "post /admin/sign-in",
        "post /admin/sign-out",
        "post /admin/starts/resume",
        "post /admin/starts/stop",
        // Stores nothing.
        "post /admin/what-if",
        "put /admin/proposals/{number}",
    ];
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if method == "get" || !path.starts_with("/admin/") {
                continue;
            }
            let name = format!("{method} {path}");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let has_emergency =
                parameters.map(|parameter| &parameter["name"]).any(|name| name == "emergency");
            assert_eq!(has_emergency, writes_settings.contains(&name.as_str()), "{name}");
            all.push(name);
        }
    }
    all.sort();
    let mut known = [&writes_settings[..], &writes_something_else].concat();
    known.sort_unstable();
    assert_eq!(all, known);
}

#[tokio::test]
async fn sql_writes_no_protected_setting_without_approvals() {
    let app = changed_before().await;
    let mut transaction = app.db.pool().begin().await.unwrap();
    psql::set(&mut *transaction, COOLDOWN, "50").await;
    let refused = transaction.commit().await.unwrap_err().to_string();
    assert!(refused.contains("needs 1 approvals"), "{refused}");
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(45), 2));
}
