//! Who may: a valid token of a super administrator, on every route, and nobody else.

use axum::http::Method;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL};
use brune::http::SUPER_ADMIN;
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto::sign, encode};
use serde_json::{Value, json};

use super::{COOLDOWN, HISTORY, PATH, ROLLBACK, stored};
use crate::support::{Call, Reply, SECRET, TestApp, admin};

fn signed(claims: &Value, secret: &str, algorithm: Algorithm) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes()).unwrap();
    encode(&Header::new(algorithm), claims, &key).unwrap()
}

/// The claims of an administrator, with `claims` over them; null takes one away.
pub(super) fn claiming(claims: &Value) -> String {
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).unwrap();
    let mut all = json!({"sub": "admin-1", "exp": now + 600, "role": SUPER_ADMIN});
    for (name, value) in claims.as_object().unwrap() {
        let value = match value.as_str().and_then(|value| value.strip_prefix("now")) {
            Some(offset) => json!(now + offset.parse::<i64>().unwrap()),
            None => value.clone(),
        };
        all[name] = value;
    }
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    signed(&all, SECRET, Algorithm::HS256)
}

/// A token of `header` and `claims` as they are written, signed with our secret.
fn raw(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", BASE64_URL.encode(header), BASE64_URL.encode(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes()).unwrap();
    let signature = sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// The claims of an administrator, as they are written.
fn written() -> String {
    let exp = jsonwebtoken::get_current_timestamp() + 600;
    json!({"sub": "admin-1", "exp": exp, "role": SUPER_ADMIN}).to_string()
}

/// Every route, with a request that would pass.
fn calls(app: &TestApp) -> Vec<Call<'_>> {
    let change =
        json!({"reason": "a test", "changes": [{"key": COOLDOWN, "value": 45, "version": 1}]});
    let rollback = json!({"reason": "a test", "key": COOLDOWN, "to_version": 1, "version": 1});
    let one = format!("{PATH}/{COOLDOWN}");
    vec![
        app.instance.get(PATH),
        app.instance.get(&one),
        app.instance.get(HISTORY),
        app.instance.patch(PATH).json(&change),
        app.instance.call(Method::POST, ROLLBACK).json(&rollback),
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
async fn a_request_without_a_token_is_answered_with_a_challenge() {
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
async fn an_invalid_token_is_rejected_on_every_route() {
    let app = TestApp::new().await;
    // Base64 of {"alg":"none"}: unsigned, with the claims of a token that would pass.
    let good = claiming(&json!({}));
    let claims = good.split('.').nth(1).unwrap();
    let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let stripped = good.rsplit_once('.').unwrap().0.to_owned() + ".";
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
            let start = "Bearer realm=\"brune\", error=\"invalid_token\", error_description=\"";
            assert!(challenge.starts_with(start), "{name}: {challenge}");
            reply.problem(401, "unauthorized");
        })
        .await;
    }
}

#[tokio::test]
async fn a_token_of_a_hundred_kilobytes_is_rejected_unread() {
    let app = TestApp::new().await;
    let token = claiming(&json!({"note": "x".repeat(100_000)}));
    hold(&app, "huge", &token, |reply| drop(reply.problem(431, "headers_too_large"))).await;
}

#[tokio::test]
async fn another_role_or_part_of_its_name_is_rejected() {
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
async fn both_claims_for_the_role_are_accepted() {
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

#[tokio::test]
async fn a_rejection_names_the_failed_check_and_nothing_of_the_token() {
    let app = TestApp::new().await;
    let header = r#"{"alg":"HS256"}"#;
    let twice = format!(r#"{{"sub":"someone-else",{}"#, &written()[1..]);
    for (token, words) in [
        ("abc".to_owned(), "not a JWT"),
        ("a.b.c".to_owned(), "header"),
        (raw(r#"{"alg":"none"}"#, &written()), "must be HS256"),
        (raw(r#"{"alg":"HS512"}"#, &written()), "must be HS256"),
        (claiming(&json!({})) + "x", "signature does not match"),
        (claiming(&json!({"note": "x".repeat(9000)})), "8192 bytes"),
        (raw(header, "[]"), "the claims are not a JSON object"),
        (raw(header, &twice), "the claims are not a JSON object"),
        (claiming(&json!({"sub": null})), "`sub` is missing"),
        (claiming(&json!({"sub": 42})), "`sub` must be a string"),
        (claiming(&json!({"sub": ""})), "`sub` must have at least one visible character"),
        (
            claiming(&json!({"sub": "a\u{202E}b"})),
            "`sub` must not contain a character that changes",
        ),
        (claiming(&json!({"exp": null})), "`exp` is missing"),
        (claiming(&json!({"exp": "1799999999"})), "`exp` must be a number"),
        (claiming(&json!({"exp": -1})), "`exp` must be a positive number"),
        (claiming(&json!({"exp": "now-60"})), "expired"),
        (claiming(&json!({"nbf": "soon"})), "`nbf` must be a number"),
        (claiming(&json!({"nbf": "now+60"})), "`nbf` is in the future"),
        (claiming(&json!({"iat": [1]})), "`iat` must be a number"),
        (claiming(&json!({"iat": "now+60"})), "`iat` is in the future"),
        (claiming(&json!({"iss": ["us"]})), "`iss` must be a string"),
        (claiming(&json!({"plan": 7})), "`plan` must be a string"),
        (
            claiming(&json!({"level": "b\u{200B}2"})),
            "`level` must not contain an invisible character",
        ),
    ] {
        let reply = app.instance.get(PATH).bearer(&token).send().await;
        let challenge = reply.header("www-authenticate").to_owned();
        let start = "Bearer realm=\"brune\", error=\"invalid_token\", error_description=\"";
        let described = challenge.strip_prefix(start).and_then(|rest| rest.strip_suffix('"'));
        let described = described.unwrap_or_else(|| panic!("{words}: {challenge}")).to_owned();
        assert!(described.contains(words), "{words}: {described}");
        // RFC 6750, 3: what stands in it without being escaped.
        let plain = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        assert!(described.chars().all(plain), "{described}");
        let problem = reply.problem(401, "unauthorized");
        assert_eq!(problem["detail"], described.as_str());
    }
    for (header, words) in
        [("Basic YTpi", "must be `Bearer` and a token"), ("Bearer", "must be `Bearer` and a token")]
    {
        let reply = app.instance.get(PATH).header("authorization", header).send().await;
        let problem = reply.problem(401, "unauthorized");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    let none = app.instance.get(PATH).send().await.problem(401, "unauthorized");
    assert!(none["detail"].as_str().unwrap().contains("missing credentials"), "{none}");
}

#[tokio::test]
async fn a_token_lives_half_a_day_at_most_with_or_without_iat() {
    let app = TestApp::new().await;
    let status = async |claims: Value| {
        let reply = app.instance.get(PATH).bearer(&claiming(&claims)).send().await;
        let detail = reply.body["detail"].as_str().unwrap_or_default().to_owned();
        (reply.status.as_u16(), detail)
    };
    for claims in [
        json!({"exp": "now+43200"}),
        json!({"exp": "now+43200", "iat": "now+0"}),
        json!({"exp": "now+600", "iat": "now-3600"}),
        json!({"exp": in_seconds(600.5)}),
    ] {
        assert_eq!(status(claims.clone()).await.0, 200, "{claims}");
    }
    for (claims, words) in [
        (json!({"exp": "now+86400"}), "43200 seconds"),
        (json!({"exp": "now+86400", "iat": "now+0"}), "43200 seconds"),
        (json!({"exp": "now+60", "iat": "now-86400"}), "43200 seconds"),
        (json!({"exp": in_seconds(315_360_000.0)}), "43200 seconds"),
        (json!({"exp": in_seconds(600.0) * 1000.0}), "milliseconds"),
        (json!({"exp": 9_223_372_036_854_775_808_u64}), "milliseconds"),
        (json!({"exp": u64::MAX}), "milliseconds"),
        (json!({"exp": 1e300}), "milliseconds"),
        (json!({"exp": "now+60", "iat": -1}), "`iat` must be a positive number"),
        (json!({"exp": "NaN"}), "`exp` must be a number"),
    ] {
        let (status, detail) = status(claims.clone()).await;
        assert_eq!(status, 401, "{claims}");
        assert!(detail.contains(words), "{claims}: {detail}");
    }
    // JSON has no NaN and no infinity.
    for exp in ["NaN", "Infinity", "1e999"] {
        let token = raw(r#"{"alg":"HS256"}"#, &format!(r#"{{"sub":"admin-1","exp":{exp}}}"#));
        app.instance.get(PATH).bearer(&token).send().await.problem(401, "unauthorized");
    }
}

fn in_seconds(offset: f64) -> f64 {
    let now = u32::try_from(jsonwebtoken::get_current_timestamp()).unwrap();
    f64::from(now) + offset
}

#[tokio::test]
async fn a_token_with_an_unsupported_header_is_rejected() {
    let app = TestApp::new().await;
    for header in [
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","B64":false}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","Zip":"DEF"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":true}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","CRIT":["exp"]}"#,
        r#"{"alg":"HS256","enc":"A128GCM"}"#,
        r#"{"alg":"HS256","Alg":"none"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256","x":{"y":1,"y":2}}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":["HS256"]}"#,
        r"{}",
        r#"["HS256"]"#,
    ] {
        let reply = app.instance.get(PATH).bearer(&raw(header, &written())).send().await;
        assert_eq!(reply.status, 401, "{header}: {}", reply.text);
        reply.problem(401, "unauthorized");
    }
    for header in
        [r#"{"alg":"HS256"}"#, r#"{"typ":"JWT","alg":"HS256","kid":"k","jku":"https://x.test"}"#]
    {
        app.instance.get(PATH).bearer(&raw(header, &written())).send().await.ok();
    }
}

#[tokio::test]
async fn an_invalid_key_or_cookie_gets_a_specific_error() {
    let app = TestApp::new().await;
    let start = |key: &str| {
        app.instance.call(Method::POST, "/brun-e/start").header("x-internal-api-key", key)
    };
    let wrong = start("a key of somebody else").send().await;
    assert_eq!(
        wrong.header("www-authenticate"),
        "Bearer realm=\"brune\", error=\"invalid_token\", error_description=\"X-Internal-Api-Key does not match\""
    );
    wrong.problem(401, "unauthorized");
    let twice = start("a").header("x-internal-api-key", "b").send().await;
    let twice = twice.problem(401, "unauthorized");
    assert!(twice["detail"].as_str().unwrap().contains("more than once"), "{twice}");
    let cookie = format!("brune={}", claiming(&json!({"exp": "now-60"})));
    let expired = app.instance.get("/admin/me").header("cookie", &cookie).send().await;
    let expired = expired.problem(401, "unauthorized");
    assert!(expired["detail"].as_str().unwrap().contains("expired"), "{expired}");
    let flags =
        app.instance.call(Method::POST, "/ofrep/v1/evaluate/flags").header("x-api-key", "wrong");
    let flags = flags.send().await;
    assert_eq!(flags.status, 401);
    assert!(flags.header("www-authenticate").contains("X-API-Key does not match"));
}
