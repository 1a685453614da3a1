//! Who may: a valid token of a super administrator, on every route, and nobody else.

use axum::http::Method;
use brune::http::SUPER_ADMIN;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{COOLDOWN, HISTORY, PATH, ROLLBACK, stored};
use crate::support::{Call, Reply, SECRET, TestApp, admin};

fn signed(claims: &Value, secret: &str, algorithm: Algorithm) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes()).unwrap();
    encode(&Header::new(algorithm), claims, &key).unwrap()
}

/// The claims of an administrator, with `claims` over them; null takes one away.
fn claiming(claims: &Value) -> String {
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).unwrap();
    let mut all = json!({"sub": "admin-1", "exp": now + 600, "role": SUPER_ADMIN});
    for (name, value) in claims.as_object().unwrap() {
        let value = match value.as_str().and_then(|it| it.strip_prefix("now")) {
            Some(offset) => json!(now + offset.parse::<i64>().unwrap()),
            None => value.clone(),
        };
        all[name] = value;
    }
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    signed(&all, SECRET, Algorithm::HS256)
}

/// Every route, with a request that would pass.
fn calls(app: &TestApp) -> Vec<Call<'_>> {
    let change =
        json!({"reason": "a test", "changes": [{"key": COOLDOWN, "value": 45, "version": 1}]});
    let back = json!({"reason": "a test", "key": COOLDOWN, "to_version": 1, "version": 1});
    let one = format!("{PATH}/{COOLDOWN}");
    vec![
        app.instance.get(PATH),
        app.instance.get(&one),
        app.instance.get(HISTORY),
        app.instance.patch(PATH).json(&change),
        app.instance.call(Method::POST, ROLLBACK).json(&back),
    ]
}

async fn hold(app: &TestApp, name: &str, token: &str, check: impl Fn(Reply)) {
    let before = stored(app).await;
    for call in calls(app) {
        let reply = call.bearer(token).send().await;
        assert!(reply.status.is_client_error(), "{name}: {} {}", reply.status, reply.text);
        assert!(!reply.text.contains(token), "{name}");
        check(reply);
    }
    assert_eq!(stored(app).await, before, "{name}");
}

#[tokio::test]
async fn a_request_without_a_token_is_challenged() {
    let app = TestApp::new().await;
    for call in calls(&app) {
        let reply = call.send().await;
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"brune\"");
        reply.problem(401, "unauthorized");
    }
    for header in ["", "Bearer", "Bearer ", "Basic YTpi", "Token abc"] {
        let reply = app.instance.get(PATH).header("authorization", header).send().await;
        reply.problem(401, "unauthorized");
    }
    let twice = app.instance.get(PATH).bearer(&admin("a")).bearer(&admin("a")).send().await;
    twice.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused_on_every_route() {
    let app = TestApp::new().await;
    // Base64 of {"alg":"none"}: unsigned, with the claims of a token that would pass.
    let good = claiming(&json!({}));
    let claims = good.split('.').nth(1).unwrap();
    let (unsigned, stripped) = (
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        good.rsplit_once('.').unwrap().0.to_owned() + ".",
    );
    let in_an_hour = jsonwebtoken::get_current_timestamp() + 3600;
    let whole = json!({"sub": "admin-1", "exp": in_an_hour, "role": SUPER_ADMIN});
    for (name, token) in [
        ("alg none", unsigned),
        ("no signature", stripped),
        ("another key", signed(&whole, "another secret, long enough as well", Algorithm::HS256)),
        ("another algorithm", signed(&whole, SECRET, Algorithm::HS512)),
        ("expired", claiming(&json!({"exp": "now-60"}))),
        ("not yet valid", claiming(&json!({"nbf": "now+60"}))),
        ("made in the future", claiming(&json!({"iat": "now+60"}))),
        ("no exp", claiming(&json!({"exp": null}))),
        ("exp as text", claiming(&json!({"exp": "tomorrow"}))),
        ("no sub", claiming(&json!({"sub": null}))),
        ("empty sub", claiming(&json!({"sub": ""}))),
        ("blank sub", claiming(&json!({"sub": "  "}))),
        ("sub with a NUL", claiming(&json!({"sub": "a\0b"}))),
        ("sub as number", claiming(&json!({"sub": 7}))),
        ("long", claiming(&json!({"note": "x".repeat(9000)}))),
        ("not a token", "abc.def.ghi".to_owned()),
        ("altered", good.replacen('.', "A.", 1)),
    ] {
        hold(&app, name, &token, |reply| {
            assert_eq!(reply.status, 401, "{name}: {}", reply.text);
            let challenge = reply.header("www-authenticate");
            assert_eq!(challenge, "Bearer realm=\"brune\", error=\"invalid_token\"", "{name}");
            let problem = reply.problem(401, "unauthorized");
            // The same words whatever was wrong.
            assert_eq!(problem["detail"], "valid credentials are needed");
        })
        .await;
    }
}

#[tokio::test]
async fn a_token_of_a_hundred_kilobytes_is_refused_before_it_is_looked_at() {
    let app = TestApp::new().await;
    let token = claiming(&json!({"note": "x".repeat(100_000)}));
    hold(&app, "huge", &token, |reply| drop(reply.problem(431, "headers_too_large"))).await;
}

#[tokio::test]
async fn another_role_is_not_enough_and_neither_is_half_of_the_name() {
    let app = TestApp::new().await;
    for claims in [
        json!({"role": null}),
        json!({"role": "ADMIN"}),
        json!({"role": "SUPER_ADMIN_2"}),
        json!({"role": "NOT_SUPER_ADMIN"}),
        json!({"role": "super_admin"}),
        json!({"role": " SUPER_ADMIN"}),
        json!({"role": "USER SUPER_ADMIN"}),
        json!({"role": ["SUPER_ADMIN"]}),
        json!({"role": {"SUPER_ADMIN": true}}),
        json!({"role": null, "roles": "SUPER_ADMIN"}),
        json!({"role": null, "roles": ["USER", "SUPER_ADMINS"]}),
        json!({"role": null, "roles": [["SUPER_ADMIN"]]}),
        json!({"role": null, "scope": "SUPER_ADMIN"}),
    ] {
        let name = claims.to_string();
        hold(&app, &name, &claiming(&claims), |reply| {
            assert_eq!(reply.header("www-authenticate"), "");
            assert_eq!(reply.status, 403, "{name}");
            reply.problem(403, "forbidden");
        })
        .await;
    }
}

#[tokio::test]
async fn either_way_of_naming_the_role_is_taken() {
    let app = TestApp::new().await;
    for claims in [
        json!({}),
        json!({"role": null, "roles": ["USER", "SUPER_ADMIN"]}),
        json!({"role": "USER", "roles": ["SUPER_ADMIN"]}),
        json!({"exp": "now-2", "nbf": "now+2"}),
    ] {
        let reply = app.instance.get(PATH).bearer(&claiming(&claims)).send().await;
        assert_eq!(reply.status, 200, "{claims}: {}", reply.text);
    }
    let scheme = format!("bearer {}", claiming(&json!({})));
    app.instance.get(PATH).header("authorization", &scheme).send().await.ok();
}
