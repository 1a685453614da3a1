//! Signing in with a browser: the token in a cookie, which opens the routes of administrators and nothing else.

use axum::http::{HeaderValue, Method, header::SET_COOKIE};
use brune::{
    config::Alerts,
    http::{Grant, SUPER_ADMIN},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::support::{Call, FAST_PACE, Instance, Reply, TestApp, admin, token, user};

const SETTINGS: &str = "/admin/global-settings";
const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";

/// As a page of the service asks.
fn from_our_page(call: Call<'_>) -> Call<'_> {
    call.header("sec-fetch-site", "same-origin")
}

async fn sign_in(instance: &Instance, token: &str) -> Reply {
    from_our_page(instance.post("/admin/sign-in")).json(&json!({"token": token})).send().await
}

fn with_cookie<'a>(call: Call<'a>, token: &str) -> Call<'a> {
    call.header("cookie", &format!("theme=dark; brune={token}"))
}

fn change(value: i64, version: i64) -> Value {
    json!({"reason": "a test", "changes": [{"key": COOLDOWN, "value": value, "version": version}]})
}

async fn cooldown(app: &TestApp) -> Value {
    let path = format!("{SETTINGS}/{COOLDOWN}");
    app.instance.get(&path).bearer(&admin("root")).send().await.ok()["value"].clone()
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_sign_in_sets_a_cookie_that_opens_the_administration() {
    let app = TestApp::new().await;
    let ada = admin("ada");
    let reply = sign_in(&app.instance, &ada).await;
    let cookie = reply.header("set-cookie").to_owned();
    let (stored, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(stored, format!("brune={ada}"));
    let (attributes, seconds) = attributes.split_once("; Max-Age=").unwrap();
    assert_eq!(attributes, "HttpOnly; SameSite=Strict");
    let elsewhere = |(name, value): &(_, &HeaderValue)| {
        *name != SET_COOKIE && value.to_str().unwrap().contains(&ada)
    };
    assert_eq!(reply.headers.iter().find(elsewhere), None);
    let signed_in = reply.ok();
    assert!(!signed_in.to_string().contains(&ada));
    assert_eq!((&signed_in["subject"], &signed_in["catalog"]), (&json!("ada"), &json!("brun-e")));
    let remaining = time(&signed_in["expires_at"]) - time(&signed_in["now"]);
    assert_eq!(remaining.num_seconds(), seconds.parse::<i64>().unwrap());
    assert!(remaining.num_seconds() <= 3600, "{remaining}");

    let me = with_cookie(app.instance.get("/admin/me"), &ada).send().await.ok();
    assert_eq!(me["subject"], "ada");
    assert_eq!(me["expires_at"], signed_in["expires_at"]);
    let by_bearer = app.instance.get("/admin/me").bearer(&admin("eva")).send().await.ok();
    assert_eq!(by_bearer["subject"], "eva");
    with_cookie(app.instance.get(SETTINGS), &ada).send().await.ok();
    let call = with_cookie(app.instance.patch(SETTINGS), &ada).json(&change(45, 1));
    from_our_page(call).send().await.ok();
    let history = with_cookie(app.instance.get("/admin/global-settings/history"), &ada);
    assert_eq!(history.send().await.ok()["entries"][0]["changed_by"], "ada");
}

#[tokio::test]
async fn the_cookie_is_bound_to_the_host_over_https() {
    let app = TestApp::new().await;
    let public_url = Some("https://settings.test".to_owned());
    let pool = app.db.own_pool().await;
    let instance = Instance::builder(pool)
        .alerts(&Alerts { public_url, ..Alerts::default() })
        .pace(FAST_PACE)
        .start()
        .await;
    let ada = admin("ada");
    let reply = sign_in(&instance, &ada).await;
    let start = format!("__Host-brune={ada}; HttpOnly; SameSite=Strict; Path=/; Secure; Max-Age=");
    assert!(reply.header("set-cookie").starts_with(&start), "{}", reply.header("set-cookie"));
    let me =
        |name: &str| instance.get("/admin/me").header("cookie", &format!("{name}={ada}")).send();
    me("__Host-brune").await.ok();
    // Any page of any host of the same domain may have set that one.
    me("brune").await.problem(401, "unauthorized");
    let out = from_our_page(instance.post("/admin/sign-out")).send().await;
    let cleared = "__Host-brune=; HttpOnly; SameSite=Strict; Path=/; Secure; Max-Age=0";
    assert_eq!((out.status.as_u16(), out.header("set-cookie")), (204, cleared));
}

#[tokio::test]
async fn an_unauthorized_sign_in_sets_no_cookie() {
    let app = TestApp::new().await;
    let long = token(&Grant {
        sub: "ada".to_owned(),
        role: Some(SUPER_ADMIN.to_owned()),
        plan: Some("x".repeat(3_000)),
        ..Grant::default()
    });
    app.instance.get("/admin/me").bearer(&long).send().await.ok();
    for (sent, status, code) in [
        (json!({"token": "a.b.c"}), 401, "unauthorized"),
        (json!({"token": ""}), 401, "unauthorized"),
        (json!({"token": format!("{}x", admin("ada"))}), 401, "unauthorized"),
        (json!({"token": user("ana")}), 403, "forbidden"),
        (json!({"token": long}), 400, "malformed_request"),
        (json!({"token": 7}), 400, "malformed_request"),
        (json!({}), 400, "malformed_request"),
        (json!([admin("ada")]), 400, "malformed_request"),
        (json!({"token": admin("ada"), "remember": true}), 400, "malformed_request"),
    ] {
        let call = from_our_page(app.instance.post("/admin/sign-in")).json(&sent);
        let reply = call.send().await;
        assert!(!reply.headers.contains_key("set-cookie"), "{sent}");
        // As every token begins.
        assert!(!reply.text.contains("eyJ"), "{}", reply.text);
        let problem = reply.problem(status, code);
        if status == 400 && sent["token"] == long.as_str() {
            assert_eq!(problem["errors"][0]["code"], "too_long");
            assert!(problem["detail"].as_str().unwrap().contains("Authorization: Bearer"));
        }
    }
}

#[tokio::test]
async fn an_invalid_cookie_is_rejected_like_a_token() {
    let app = TestApp::new().await;
    let me = |cookie: String| app.instance.get("/admin/me").header("cookie", &cookie).send();
    let ada = admin("ada");
    for cookie in [
        "brune=".to_owned(),
        "brune=a.b.c".to_owned(),
        "theme=dark".to_owned(),
        format!("brune={ada}; brune={ada}"),
        format!("brune={ada}; brune=other"),
        format!("Brune={ada}"),
        format!("__Host-brune={ada}"),
        format!("xbrune={ada}"),
        ada.clone(),
    ] {
        me(cookie).await.problem(401, "unauthorized");
    }
    me(format!("brune={}", user("ana"))).await.problem(403, "forbidden");
    let twice = app.instance.get("/admin/me").header("cookie", &format!("brune={ada}"));
    let twice = twice.header("cookie", &format!("brune={ada}")).send().await;
    twice.problem(401, "unauthorized");
    // A header is meant, and a cookie may only have come along.
    let both = with_cookie(app.instance.get("/admin/me").bearer("a.b.c"), &ada).send().await;
    both.problem(401, "unauthorized");
    let both = with_cookie(app.instance.get("/admin/me").bearer(&admin("eva")), &ada).send().await;
    assert_eq!(both.ok()["subject"], "eva");
    me(format!("a=b;brune={ada} ;c")).await.ok();
}

#[tokio::test]
async fn the_cookie_opens_no_other_route() {
    let app = TestApp::new().await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    let session = format!("/brun-e/sessions/{}", session["session_id"].as_str().unwrap());
    let end = format!("{session}/end");
    for token in [admin("ada"), user("ana")] {
        for (method, path) in [
            (Method::POST, "/brun-e/start"),
            (Method::GET, &session),
            (Method::POST, &end),
            (Method::POST, "/ofrep/v1/evaluate/flags"),
            (Method::POST, "/ofrep/v1/evaluate/flags/BRUNE_COOLDOWN_MINUTES"),
        ] {
            let call = app.instance.call(method.clone(), path).json(&json!({}));
            let reply = from_our_page(with_cookie(call, &token)).send().await;
            assert_eq!(reply.status, 401, "{method} {path}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_foreign_origin_cannot_write_or_sign_in() {
    let app = TestApp::new().await;
    let ada = admin("ada");
    // The host that every call here is for is brune.test.
    for foreign in [
        &[][..],
        &[("origin", "https://evil.test")],
        &[("origin", "https://brune.test:8443")],
        &[("origin", "https://brune.test.evil.test")],
        &[("origin", "null")],
        &[("origin", "brune.test")],
        &[("origin", "https://brune.test"), ("origin", "https://evil.test")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "Same-Origin")],
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-origin")],
        // What the browser says of the page counts more than a name that a page may share.
        &[("sec-fetch-site", "cross-site"), ("origin", "https://brune.test")],
    ] {
        let headed = |call| {
            foreign.iter().fold(call, |call: Call<'_>, (name, value)| call.header(name, value))
        };
        let write = with_cookie(app.instance.patch(SETTINGS), &ada).json(&change(45, 1));
        headed(write).send().await.problem(403, "cross_origin");
        let write = with_cookie(app.instance.post("/admin/secrets/cleanup"), &ada);
        headed(write.json(&json!({"reason": "a test"}))).send().await.problem(403, "cross_origin");
        let entry = app.instance.post("/admin/sign-in").json(&json!({"token": ada}));
        let entered = headed(entry).send().await;
        assert!(!entered.headers.contains_key("set-cookie"), "{foreign:?}");
        entered.problem(403, "cross_origin");
        let out = headed(with_cookie(app.instance.post("/admin/sign-out"), &ada)).send().await;
        assert!(!out.headers.contains_key("set-cookie"), "{foreign:?}");
        out.problem(403, "cross_origin");
    }
    assert_eq!(cooldown(&app).await, 30);
    // Of a token that a program sends nobody is asked where it comes from.
    let call = app.instance.patch(SETTINGS).bearer(&ada).header("origin", "https://evil.test");
    call.json(&change(45, 1)).send().await.ok();
    for (name, value) in [
        ("origin", "https://brune.test"),
        ("origin", "http://BRUNE.test"),
        ("sec-fetch-site", "same-origin"),
    ] {
        let call = with_cookie(app.instance.patch(SETTINGS), &ada).header(name, value);
        call.json(&change(45, 2)).send().await.ok();
    }
    let page = app.instance.get("/problems/cross-origin").send().await;
    assert!(page.text.starts_with("cross_origin (403)"), "{}", page.text);
}

#[tokio::test]
async fn a_sign_out_removes_any_cookie() {
    let app = TestApp::new().await;
    for cookie in [None, Some(admin("ada")), Some("a.b.c".to_owned())] {
        let call = from_our_page(app.instance.post("/admin/sign-out"));
        let call = match &cookie {
            Some(token) => with_cookie(call, token),
            None => call,
        };
        let reply = call.send().await;
        let cleared = "brune=; HttpOnly; SameSite=Strict; Max-Age=0";
        assert_eq!((reply.status.as_u16(), reply.header("set-cookie")), (204, cleared));
        assert_eq!(reply.text, "");
    }
}

#[tokio::test]
async fn a_page_of_one_person_never_acts_under_the_cookie_of_another_person() {
    let app = TestApp::new().await;
    let ben = admin("bén %41");
    let write = |subject: &'static str| {
        let call = with_cookie(app.instance.patch(SETTINGS), &ben);
        call.header("sec-fetch-site", "same-origin").header("x-brune-subject", subject)
    };
    for subject in ["ada", "", "bén %41", "b%C3%A9n A"] {
        write(subject).json(&change(45, 1)).send().await.problem(403, "subject_mismatch");
    }
    let twice = write("b%C3%A9n%20%2541").header("x-brune-subject", "b%C3%A9n%20%2541");
    twice.json(&change(45, 1)).send().await.problem(403, "subject_mismatch");
    let read = with_cookie(app.instance.get(SETTINGS), &ben).header("x-brune-subject", "ada");
    read.send().await.problem(403, "subject_mismatch");
    assert_eq!(cooldown(&app).await, 30);
    write("b%C3%A9n%20%2541").json(&change(45, 1)).send().await.ok();
    // A program chooses its token for each request, so the header is of cookies only.
    let call = app.instance.patch(SETTINGS).bearer(&ben).header("x-brune-subject", "ada");
    call.json(&change(46, 2)).send().await.ok();
}
