//! Each form that is known, on every way in.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    Dump, LEVELS, core, refused,
    samples::{FORMS, Form, MORE},
    tells_nothing_of,
};
use crate::{
    config::{CONFIG, IMPORT},
    settings::{COOLDOWN, PATH, ROLLBACK, one, rollback, stored},
    support::{Call, Instance, Reply, TestApp, admin, psql},
};

/// One way to send a text to where settings are kept.
struct Way {
    name: &'static str,
    status: u16,
    /// Where the answer says the fault is.
    pointer: Option<&'static str>,
    /// The key that the trail names.
    key: &'static str,
    call: for<'a> fn(&'a Instance, &str) -> Call<'a>,
}

fn asked<'a>(instance: &'a Instance, method: Method, path: &str) -> Call<'a> {
    instance.call(method, path).bearer(&admin("admin-1"))
}

fn in_query(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn document(media: &'static str, text: String) -> impl Fn(&Instance) -> Call<'_> {
    move |instance| {
        let path = format!("{IMPORT}?reason=a+test");
        asked(instance, Method::POST, &path).raw(text.clone()).header("content-type", media)
    }
}

const WAYS: [Way; 11] = [
    Way {
        name: "a batch",
        status: 400,
        pointer: Some("/changes/1/value"),
        key: LEVELS,
        call: |instance, text| {
            let changes = json!([{"key": COOLDOWN, "value": 45, "version": 1},
                {"key": LEVELS, "value": ["mid", text], "version": 1}]);
            let body = json!({"reason": "a test", "changes": changes});
            asked(instance, Method::PATCH, PATH).json(&body)
        },
    },
    Way {
        name: "a batch that is lenient, and a repeat",
        status: 400,
        pointer: Some("/changes/0/value"),
        key: LEVELS,
        call: |instance, text| {
            let changes = json!([{"key": LEVELS, "value": ["mid", text], "version": 1}]);
            let call = asked(instance, Method::PATCH, PATH)
                .json(&json!({"reason": "a test", "changes": changes}));
            call.header("prefer", "handling=lenient").header("idempotency-key", "once")
        },
    },
    Way {
        name: "one key",
        status: 422,
        pointer: Some("/value"),
        key: LEVELS,
        call: |instance, text| {
            let body = json!({"reason": "a test", "value": [text], "version": 1});
            asked(instance, Method::PUT, &format!("{CONFIG}/{LEVELS}")).json(&body)
        },
    },
    Way {
        name: "a JSON document",
        status: 400,
        pointer: None,
        key: LEVELS,
        call: |instance, text| {
            let settings = json!({COOLDOWN: 45, LEVELS: [text, "mid"]});
            let text = json!({"format_version": 1, "settings": settings}).to_string();
            document("application/json", text)(instance)
        },
    },
    Way {
        name: "a YAML document",
        status: 400,
        pointer: None,
        key: LEVELS,
        call: |instance, text| {
            let text =
                format!("format_version: 1\nsettings:\n  {LEVELS}:\n    - {}\n", json!(text));
            document("application/yaml", text)(instance)
        },
    },
    Way {
        name: "an .env document",
        status: 400,
        pointer: None,
        key: LEVELS,
        call: |instance, text| {
            document("text/plain", format!("{COOLDOWN}=45\n{LEVELS}='{}'\n", json!([text])))(
                instance,
            )
        },
    },
    Way {
        name: "the reason of a batch",
        status: 400,
        pointer: Some("/reason"),
        key: COOLDOWN,
        call: |instance, text| {
            let changes = json!([{"key": COOLDOWN, "value": 45, "version": 1}]);
            let body = json!({"reason": format!("see {text}"), "changes": changes});
            asked(instance, Method::PATCH, PATH).json(&body)
        },
    },
    Way {
        name: "the reason of one key",
        status: 400,
        pointer: Some("/reason"),
        key: COOLDOWN,
        call: |instance, text| {
            let body = json!({"reason": text, "value": 45, "version": 1});
            asked(instance, Method::PUT, &format!("{CONFIG}/{COOLDOWN}")).json(&body)
        },
    },
    Way {
        name: "the reason of a reset",
        status: 400,
        pointer: Some("/reason"),
        key: COOLDOWN,
        call: |instance, text| {
            let path = format!("{CONFIG}/{COOLDOWN}?version=1&reason={}", in_query(text));
            asked(instance, Method::DELETE, &path)
        },
    },
    Way {
        name: "the reason of an import",
        status: 400,
        pointer: Some("/reason"),
        key: COOLDOWN,
        call: |instance, text| {
            let path = format!("{IMPORT}?reason={}", in_query(text));
            let document = json!({"format_version": 1, "settings": {COOLDOWN: 45}});
            asked(instance, Method::POST, &path).json(&document)
        },
    },
    Way {
        name: "the reason of a rollback",
        status: 400,
        pointer: Some("/reason"),
        key: COOLDOWN,
        call: |instance, text| {
            let body = json!({"key": COOLDOWN, "to_version": 1, "version": 1, "reason": text});
            asked(instance, Method::POST, ROLLBACK).json(&body)
        },
    },
];

fn all() -> impl Iterator<Item = &'static Form> {
    FORMS.iter().chain(&MORE)
}

#[track_caller]
fn is_refused(reply: Reply, way: &Way, form: &Form) {
    let what = format!("{} as {}", form.name, way.name);
    assert_eq!(reply.status.as_u16(), way.status, "{what}: {}", reply.text);
    let problem = reply.problem(way.status, "secret_like_value");
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{what}: {problem}");
    assert_eq!(
        (&errors[0]["code"], &errors[0]["pointer"]),
        (&json!("secret_like_value"), &json!(way.pointer))
    );
    for told in [&errors[0]["detail"], &problem["detail"]] {
        let looks = format!("looks like {}; secrets are never stored", form.name);
        assert!(told.as_str().unwrap().contains(&looks), "{what}: {problem}");
    }
}

#[tokio::test]
async fn each_secret_format_is_refused_by_every_write_route_and_only_audited() {
    let app = TestApp::new().await;
    let before = settings(&app).await;
    let mut requests = Vec::new();
    for (form, way) in all().flat_map(|form| WAYS.iter().map(move |way| (form, way))) {
        // The same core in both cases, since some forms want capitals.
        let core = core();
        let reply = (way.call)(&app.instance, &form.of(&core)).send().await;
        let short = &core[..16];
        tells_nothing_of(&reply, short);
        tells_nothing_of(&reply, &short.to_uppercase());
        is_refused(reply, way, form);
        requests.push((way, form, core));
        let trace = &refused(&app.instance).await[0];
        assert_eq!(trace["key"], way.key, "{} as {}", form.name, way.name);
        let withheld = trace["reason"] == "(withheld: the reason looked like a secret)";
        assert_eq!(withheld, way.name.starts_with("the reason"), "{trace}");
        for nothing in ["old_value", "new_value", "version", "revision"] {
            assert_eq!(trace[nothing], Value::Null, "{nothing}");
        }
    }
    let sql = "select count(*) from app_global_setting_audit where action = 'refused'";
    let traces: i64 = sqlx::query_scalar(sql).fetch_one(&app.db.pool()).await.unwrap();
    assert_eq!(usize::try_from(traces).unwrap(), requests.len());
    let dump = Dump::of(&app.db.pool()).await;
    for (way, form, core) in requests {
        for word in [core[..16].to_owned(), core[..16].to_uppercase()] {
            let places = dump.places(&word);
            assert!(places.is_empty(), "{} as {}: {places:?}", form.name, way.name);
        }
    }
    assert_eq!(settings(&app).await, before);
}

/// Every setting with its version, and the revision.
async fn settings(app: &TestApp) -> Value {
    crate::settings::read(&app.instance, PATH).await.ok()
}

#[tokio::test]
async fn a_secret_inserted_by_sql_is_not_returned() {
    for form in all() {
        let app = TestApp::new().await;
        let pool = app.db.pool();
        let secret = form.of(&core());
        psql::set(&pool, LEVELS, &json!([secret]).to_string()).await;
        psql::set(&pool, LEVELS, "[]").await;
        app.instance.wait_for_revision(3).await;
        let newest = crate::settings::entries(&app.instance, &format!("key={LEVELS}")).await;
        for target in [
            json!({"key": LEVELS, "to_version": 2, "version": 3}),
            json!({"audit_id": newest[0]["id"], "version": 3}),
            json!({"to_revision": 2, "revision": 3}),
        ] {
            let before = refused(&app.instance).await.len();
            let dry = rollback(&app.instance, &format!("{ROLLBACK}?dry_run=true"), target.clone());
            let plan = dry.send().await;
            tells_nothing_of(&plan, &secret);
            assert_eq!(plan.body["refused"][0]["code"], "secret_like_value", "{}", plan.text);
            assert_eq!(refused(&app.instance).await.len(), before, "a dry run leaves no trace");
            let reply = rollback(&app.instance, ROLLBACK, target).send().await;
            tells_nothing_of(&reply, &secret);
            reply.problem(400, "secret_like_value");
            let trace = refused(&app.instance).await;
            assert_eq!((trace.len(), &trace[0]["key"]), (before + 1, &json!(LEVELS)));
        }
        assert_eq!(one(&app.instance, LEVELS).await["value"], json!([]));
    }
}

#[tokio::test]
async fn a_plan_reports_a_secret_as_invalid_without_showing_it() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    for (form, media) in
        all().flat_map(|form| crate::config::FORMATS.map(|(_, media)| (form, media)))
    {
        let core = core();
        let secret = form.of(&core);
        let text = match media {
            "text/plain" => format!("{LEVELS}='{}'\nNO_SUCH_KEY='{secret}'\n", json!([secret])),
            _ => json!({"format_version": 1, "settings": {LEVELS: [secret], "NO_SUCH_KEY": {"a": secret}}})
                .to_string(),
        };
        let call = asked(&app.instance, Method::POST, &format!("{IMPORT}?dry_run=true")).raw(text);
        let reply = call.header("content-type", media).send().await;
        tells_nothing_of(&reply, &core[..16]);
        let plan = reply.ok();
        assert_eq!(plan["counts"], json!({"invalid": 2}), "{}: {plan}", form.name);
        for entry in plan["entries"].as_array().unwrap() {
            assert_eq!(entry["imported"], Value::Null);
            assert!(entry["detail"].as_str().unwrap().contains(form.name), "{plan}");
        }
    }
    assert_eq!(stored(&app).await, before);
}
