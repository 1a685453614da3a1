//! `/ofrep/v1`: settings as flags, by the protocol's own rules.

use std::time::Duration;

use brune::http::Limits;
use serde_json::{Value, json};

use crate::support::{
    Call, INTERNAL_KEY, Instance, ORIGIN, Reply, SECRET, TestApp, admin,
    proxy::Proxy,
    psql,
    sse::Served,
    user,
    wait::{no_hang, wait_until},
};

pub(crate) const FLAGS: &str = "/ofrep/v1/evaluate/flags";

pub(crate) fn of<'a>(instance: &'a Instance, key: &str) -> Call<'a> {
    instance.post(&format!("{FLAGS}/{key}")).header("x-api-key", INTERNAL_KEY)
}

async fn one(instance: &Instance, key: &str) -> Value {
    of(instance, key).json(&json!({"context": {"targetingKey": "test"}})).send().await.ok()
}

fn all(instance: &Instance) -> Call<'_> {
    instance.post(FLAGS).bearer(&user("ana"))
}

/// Holds the answer to be a refusal in the protocol's form; returns its details.
#[track_caller]
pub(crate) fn refused(reply: &Reply, status: u16, key: Option<&str>, code: &str) -> String {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_ne!(reply.header("x-request-id"), "");
    let details = reply.body["errorDetails"].as_str().expect("details").to_owned();
    let mut expected = json!({"errorCode": code, "errorDetails": details});
    if let Some(key) = key {
        expected["key"] = json!(key);
    }
    assert_eq!(reply.body, expected);
    details
}

/// Where the page says that events come from.
fn events_at(page: &Value) -> &str {
    page["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap()
}

#[tokio::test]
async fn a_flag_of_each_type_has_its_stored_value() {
    let app = TestApp::new().await;
    psql::set(&app.db.pool(), "BRUNE_COOLDOWN_MINUTES", "7.0").await;
    app.instance.wait_for_revision(2).await;
    let number = one(&app.instance, "BRUNE_COOLDOWN_MINUTES").await;
    assert_eq!(
        number,
        json!({"key": "BRUNE_COOLDOWN_MINUTES", "value": 7, "reason": "STATIC", "variant": "v2",
               "metadata": {"version": 2, "valueType": "number", "revision": 2, "stale": false}})
    );
    for (key, value, kind) in [
        ("BRUNE_ELIGIBILITY_REQUIRE_PLAN", json!(true), "boolean"),
        ("BRUNE_PROMPT_ID", json!("pmpt_brune_default"), "string"),
        ("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", json!([]), "string_array"),
    ] {
        let flag = one(&app.instance, key).await;
        assert_eq!((&flag["value"], &flag["metadata"]["valueType"]), (&value, &json!(kind)));
    }
    let list =
        of(&app.instance, "BRUNE_ELIGIBILITY_ALLOWED_LEVELS").header("x-brune-lists", "items");
    assert_eq!(list.send().await.ok()["value"], json!({"items": []}));
    let other = of(&app.instance, "BRUNE_PROMPT_ID").header("x-brune-lists", "items");
    assert_eq!(other.send().await.ok()["value"], "pmpt_brune_default");
}

#[tokio::test]
async fn unknown_locked_and_secret_keys_have_equal_responses() {
    let app = TestApp::new().await;
    let mut results = Vec::new();
    for key in ["NOPE", "JWT_SECRET", "BRUNE_OUTBOX_MAX_RETRIES", "POSTGRES_HOST"] {
        results.push(refused(
            &of(&app.instance, key).send().await,
            404,
            Some(key),
            "FLAG_NOT_FOUND",
        ));
    }
    assert!(results.iter().all(|answer| *answer == results[0]), "{results:?}");
    let page = all(&app.instance).send().await.ok();
    let keys: Vec<_> = page["flags"].as_array().unwrap().iter().map(|flag| &flag["key"]).collect();
    assert_eq!(keys.len(), 9);
    assert!(keys.is_sorted_by_key(|key| key.as_str()), "{keys:?}");
    let odd = of(&app.instance, "%00").send().await;
    refused(&odd, 404, Some("\0"), "FLAG_NOT_FOUND");
    let odd = of(&app.instance, "a%2Fb").send().await;
    refused(&odd, 404, Some("a/b"), "FLAG_NOT_FOUND");
}

#[tokio::test]
async fn an_evaluation_context_is_validated_and_has_no_effect() {
    let app = TestApp::new().await;
    let key = "BRUNE_PROMPT_ID";
    let ask = |body: &str| of(&app.instance, key).text(body.to_owned()).send();
    of(&app.instance, key).send().await.ok();
    let great = "x".repeat((1 << 20) - 100);
    for fine in [
        "{}",
        r#"{"context":{}}"#,
        r#"{"context":null}"#,
        r#"{"context":{"targetingKey":"a","lines":"a\nb","deep":[[{"a":null}]]},"more":1}"#,
        &format!(r#"{{"context":{{"targetingKey":"{great}"}}}}"#),
    ] {
        assert_eq!(ask(fine).await.ok()["value"], "pmpt_brune_default");
    }
    for wrong in [
        " ",
        "[]",
        "[null]",
        "7",
        "null",
        "{",
        r#"{"context":{}"#,
        r#"{"context":{},"context":{}}"#,
    ] {
        refused(&ask(wrong).await, 400, Some(key), "PARSE_ERROR");
    }
    for wrong in [r#"{"context":["a"]}"#, r#"{"context":"a"}"#, r#"{"context":{"targetingKey":7}}"#]
    {
        let details = refused(&ask(wrong).await, 400, Some(key), "INVALID_CONTEXT");
        assert!(details.starts_with("/context "), "{details}");
        let reply = all(&app.instance).text(wrong).send().await;
        refused(&reply, 400, None, "INVALID_CONTEXT");
    }
    let huge = format!(r#"{{"context":{{"a":"{}"}}}}"#, "x".repeat(1 << 20));
    refused(&ask(&huge).await, 413, Some(key), "GENERAL");
    let text = of(&app.instance, key).raw("{}").header("content-type", "text/plain").send().await;
    refused(&text, 415, Some(key), "PARSE_ERROR");
    let query = app.instance.post(&format!("{FLAGS}?all=1")).bearer(&user("ana")).send().await;
    refused(&query, 400, None, "PARSE_ERROR");
    let method = app.instance.get(FLAGS).bearer(&user("ana")).send().await;
    refused(&method, 405, None, "GENERAL");
    let gone = app.instance.get("/ofrep/v1/configuration").send().await;
    refused(&gone, 404, None, "GENERAL");
}

#[tokio::test]
async fn flags_require_a_token_or_the_internal_key() {
    let app = TestApp::new().await;
    let path = format!("{FLAGS}/BRUNE_PROMPT_ID");
    for call in [app.instance.post(FLAGS), app.instance.post(&path)] {
        let reply = call.send().await;
        assert!(reply.header("www-authenticate").starts_with("Bearer"));
        let key = reply.body["key"].as_str().map(str::to_owned);
        refused(&reply, 401, key.as_deref(), "GENERAL");
    }
    let post = || app.instance.post(FLAGS);
    for wrong in [
        post().header("x-api-key", "wrong"),
        post().header("x-api-key", INTERNAL_KEY).header("x-api-key", INTERNAL_KEY),
        post().bearer("wrong"),
        // A token counts before a key.
        post().bearer("wrong").header("x-api-key", INTERNAL_KEY),
    ] {
        refused(&wrong.send().await, 401, None, "GENERAL");
    }
    for right in [
        post().header("x-api-key", INTERNAL_KEY),
        post().header("x-internal-api-key", INTERNAL_KEY),
        post().bearer(&user("ana")).header("x-api-key", "whatever"),
        post().bearer(&admin("ada")),
    ] {
        right.send().await.ok();
    }
}

#[tokio::test]
async fn an_unchanged_page_is_answered_with_304() {
    let app = TestApp::new().await;
    let first = all(&app.instance).send().await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("\"r1-") && tag.ends_with('"'), "{tag}");
    let repeat = all(&app.instance).header("if-none-match", &tag).send().await;
    assert_eq!((repeat.status.as_u16(), repeat.header("etag"), &*repeat.text), (304, &*tag, ""));
    let page = first.ok();
    assert_eq!(page["metadata"], json!({"revision": 1, "stale": false}));
    let flag = json!({"key": "BRUNE_PROMPT_VERSION", "value": "1", "reason": "STATIC", "variant": "v1",
                      "metadata": {"version": 1, "valueType": "string"}});
    assert!(page["flags"].as_array().unwrap().contains(&flag), "{page}");
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    app.instance.wait_for_revision(2).await;
    let change_reply = all(&app.instance).header("if-none-match", &tag).send().await;
    assert_ne!(change_reply.header("etag"), tag);
    let change_reply = change_reply.ok();
    // Only what was changed looks changed.
    let flags = |page: &Value| page["flags"].as_array().unwrap().clone();
    let other = flags(&page)
        .into_iter()
        .zip(flags(&change_reply))
        .filter(|(before, after)| before != after);
    assert_eq!(other.count(), 1);
    // A token that runs out must not be held for good.
    let etag = all(&app.instance).send().await.header("etag").to_owned();
    app.instance.shift.advance(chrono::TimeDelta::minutes(31));
    let later = all(&app.instance).header("if-none-match", &etag).send().await;
    assert_ne!(events_at(&later.ok()), events_at(&change_reply));
}

#[tokio::test]
async fn a_page_announced_by_another_instance_is_waited_for_briefly() {
    let app = TestApp::new().await;
    let mut behind = Instance::builder(app.db.pool()).without_listener().start().await;
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    app.instance.wait_for_revision(2).await;
    let etag = all(&app.instance).send().await.header("etag").replace('"', "%22");
    let path = format!("{FLAGS}?flagConfigEtag={etag}&flagConfigLastModified=1795321909");
    let token = user("ana");
    let asking = behind.router.clone();
    let request = axum::http::Request::post(&path)
        .header("host", "a")
        .header("authorization", format!("Bearer {token}"))
        .body(axum::body::Body::empty())
        .unwrap();
    let actual_request = tower::ServiceExt::oneshot(asking, request);
    let (reply, ()) = tokio::join!(actual_request, behind.start_listening());
    let body = http_body_util::BodyExt::collect(reply.unwrap().into_body()).await.unwrap();
    let page: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
    assert_eq!(page["metadata"]["revision"], 2);
    // One that was made up is not waited for longer.
    for made_up in ["%22r9-00%22", "nonsense", "%22r%22", "%22r99999999999999999999%22"] {
        let path = format!("{FLAGS}?flagConfigEtag={made_up}");
        let reply = app.instance.post(&path).bearer(&token).send().await;
        assert_eq!(reply.ok()["metadata"]["revision"], 2);
    }
}

#[tokio::test]
async fn flags_are_served_as_stale_during_an_outage() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance =
        Instance::builder(proxy.pool(5).await).poll_every(Duration::from_millis(100)).start().await;
    let fresh = all(&instance).send().await;
    let tag = fresh.header("etag").to_owned();
    proxy.take_away().await;
    let stale = async || one(&instance, "BRUNE_PROMPT_VERSION").await["metadata"]["stale"] == true;
    wait_until("a flag says so", stale).await;
    let page = all(&instance).header("if-none-match", &tag).send().await.ok();
    assert_eq!(page["metadata"], json!({"revision": 1, "stale": true}));
    assert_eq!(page["flags"], fresh.body["flags"]);
    proxy.bring_back().await;
    wait_until("it is fresh again", async || !stale().await).await;
    let repeat = all(&instance).header("if-none-match", &tag).send().await;
    assert_eq!(repeat.status.as_u16(), 304);
}

#[tokio::test]
async fn flags_are_stale_while_the_settings_are_invalid() {
    let app = TestApp::new().await;
    psql::set(&app.db.pool(), "BRUNE_COOLDOWN_MINUTES", "9999").await;
    let metadata = async || all(&app.instance).send().await.ok()["metadata"].take();
    let is_reported = async || metadata().await == json!({"revision": 1, "stale": true});
    wait_until("the page says so", is_reported).await;
    assert_eq!(one(&app.instance, "BRUNE_COOLDOWN_MINUTES").await["value"], 30);
}

#[tokio::test]
async fn cors_allows_the_configured_origins_only() {
    let app = TestApp::new().await;
    let preflight = |path: &str, origin: &str| {
        let call = app.instance.call(axum::http::Method::OPTIONS, path).header("origin", origin);
        call.header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,if-none-match,x-api-key",
            )
            .send()
    };
    for path in [FLAGS, "/ofrep/v1/evaluate/flags/ANY"] {
        let reply = preflight(path, ORIGIN).await;
        assert_eq!(reply.status.as_u16(), 200);
        assert_eq!(reply.header("access-control-allow-origin"), ORIGIN);
        assert!(reply.header("access-control-allow-methods").contains("POST"));
        let allowed = reply.header("access-control-allow-headers").to_owned();
        for name in ["authorization", "content-type", "if-none-match", "x-api-key"] {
            assert!(allowed.contains(name), "{name}: {allowed}");
        }
        let other = preflight(path, "https://evil.test").await;
        assert_eq!(other.header("access-control-allow-origin"), "");
    }
    let actual_reply = all(&app.instance).header("origin", ORIGIN).send().await;
    assert_eq!(actual_reply.header("access-control-allow-origin"), ORIGIN);
    assert!(actual_reply.header("access-control-expose-headers").contains("etag"));
    let refusal = app.instance.post(FLAGS).header("origin", ORIGIN).send().await;
    assert_eq!(refusal.header("access-control-allow-origin"), ORIGIN);
    refused(&refusal, 401, None, "GENERAL");
    // The routes of administrators are for no page of another origin.
    let admins = preflight("/admin/global-settings", ORIGIN).await;
    assert_eq!(admins.header("access-control-allow-origin"), "");
    let read = app.instance.get("/admin/global-settings").bearer(&admin("ada"));
    assert_eq!(
        read.header("origin", ORIGIN).send().await.header("access-control-allow-origin"),
        ""
    );
}

#[tokio::test]
async fn events_announce_a_refetch() {
    let app = TestApp::new().await;
    let served = Served::of(&app.instance, Limits::default()).await;
    let page = all(&app.instance).send().await.ok();
    let at = events_at(&page).to_owned();
    let mut stream = served.stream(&at, &[]).await;
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    let event = stream.event().await;
    let tag = all(&app.instance).send().await.header("etag").to_owned();
    assert_eq!((event.id, &*event.name), (2, "message"));
    assert_eq!(
        (&event.data["type"], &event.data["etag"]),
        (&json!("refetchEvaluation"), &json!(tag))
    );
    assert!(event.data["lastModified"].as_i64().unwrap() > 1_700_000_000);
    // Who missed it is told at once, and who did not only of what comes next.
    let missed = served.stream(&at, &[]).await.event().await;
    assert_eq!(missed, event);
    let restore = served.stream(&at, &[("last-event-id", "1")]).await.event().await;
    assert_eq!(restore, event);
    let mut current = served.stream(&at, &[("last-event-id", "2")]).await;
    // With an id to come back with, also when nothing has been told yet.
    assert!(current.head.ends_with("\nid: 2"), "{}", current.head);
    let key = [("x-api-key", INTERNAL_KEY)];
    let mut by_key = served.stream("/ofrep/v1/events?since=2", &key).await;
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("3"), 2)]).await.ok();
    assert_eq!((current.event().await.id, by_key.event().await.id), (3, 3));
}

#[tokio::test]
async fn an_event_stream_token_opens_nothing_else_and_expires() {
    let app = TestApp::new().await;
    let now = || brune::clock::Clock::system().now().timestamp();
    let before = now();
    let page = all(&app.instance).send().await.ok();
    let after = now();
    let pass = events_at(&page).split("token=").nth(1).unwrap().to_owned();
    let reply = app.instance.post(FLAGS).bearer(&pass).send().await;
    refused(&reply, 401, None, "GENERAL");
    for wrong in [user("ana"), admin("ada"), format!("{pass}x"), "x".repeat(9_000), String::new()] {
        let path = format!("/ofrep/v1/events?token={wrong}");
        // What is let in is answered without an end.
        let reply = no_hang("the pass is refused", app.instance.get(&path).send()).await;
        let status = reply.status.as_u16();
        assert!(matches!(status, 400 | 401), "{status} {wrong}");
    }
    let nobody = app.instance.get("/ofrep/v1/events").send().await;
    refused(&nobody, 401, None, "GENERAL");
    assert_eq!(app.instance.streams.open(), 0);
    let made = |exp: i64| {
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes()).unwrap();
        let claims = json!({"aud": "brune:ofrep:events", "exp": exp});
        let pass = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
        format!("/ofrep/v1/events?token={pass}")
    };
    let path = made(now() - 10);
    let expired = no_hang("the pass is refused", app.instance.get(&path).send()).await;
    refused(&expired, 401, None, "GENERAL");
    let served = Served::of(&app.instance, Limits::default()).await;
    drop(served.stream(&made(now() + 60), &[]).await);
    // The middle part of a JWT: it is good for half an hour at least, and for less than an hour more.
    let claims = base64::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        pass.split('.').nth(1).unwrap(),
    );
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    let expiry = claims["exp"].as_i64().unwrap();
    assert!((before + 1_800..=after + 3_600).contains(&expiry), "{expiry}, made after {before}");
}
