//! No secret anywhere: a marker of its own as the value of every secret, everything that can be done done, at
//! the most talkative level, and then every place looked through.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::{
    TestApp, admin_signed_with,
    binary::{Home, Service},
    psql,
    realtime_stub::Stub,
};

/// A marker that nothing else has in it, at least 32 bytes long.
fn marker(of: &str) -> String {
    format!("canary-{of}-{}", uuid::Uuid::new_v4().simple())
}

/// What was said and where, of which nothing may hold a marker.
struct Heard {
    markers: Vec<String>,
    said: Vec<(String, String)>,
}

impl Heard {
    fn add(&mut self, place: &str, text: impl Into<String>) {
        self.said.push((place.to_owned(), text.into()));
    }

    /// A request, and everything that is answered.
    async fn ask(&mut self, call: reqwest::RequestBuilder, what: &str) -> u16 {
        let reply = call.send().await.unwrap();
        let status = reply.status().as_u16();
        let headers = format!("{:?}", reply.headers());
        let text = reply.text().await.unwrap();
        self.add(what, format!("{headers} {text}"));
        status
    }

    fn none_is_found(&self) {
        for (place, text) in &self.said {
            for marker in &self.markers {
                // A part of it would be as bad.
                let part = &marker[..marker.len() - 8];
                assert!(!text.contains(part), "{place} holds {marker}: {text}");
            }
        }
    }
}

/// Every row of every table, as text.
async fn dump(pool: &PgPool) -> String {
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
            .fetch_all(pool)
            .await
            .unwrap();
    assert!(tables.len() > 4, "{tables:?}");
    let mut dump = String::new();
    for table in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("select t::text from {table} t")))
                .fetch_all(pool)
                .await
                .unwrap();
        dump += &rows.join("\n");
    }
    dump
}

/// Every GET of the OpenAPI document, with something in the place of each parameter.
async fn read_everything(service: &Service, heard: &mut Heard) {
    let document = service.get("/openapi.json").await;
    let mut requests = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if methods.get("get").is_none() || path.contains("stream") || path.contains("events") {
            continue;
        }
        let path = path.replace("{key}", "OPENAI_API_KEY").replace("{id}", &marker("no-id")[..8]);
        heard.ask(service.call(Method::GET, &path), &path).await;
        requests += 1;
    }
    assert!(requests > 15, "{requests}");
    for path in ["/admin/config/export?format=yaml", "/admin/config/export?format=env"] {
        assert_eq!(heard.ask(service.call(Method::GET, path), path).await, 200);
    }
}

/// Every way in, with a secret of the process where a value, a reason, a key or a credential belongs.
async fn write_everything(service: &Service, heard: &mut Heard, secret: &str, internal: &str) {
    let settings = "/admin/global-settings";
    let changes = |key: &str, value: Value| json!([{"key": key, "value": value, "version": 1}]);
    let bodies = [
        json!({"reason": "a test", "changes": changes("BRUNE_PROMPT_ID", json!(secret))}),
        json!({"reason": "a test", "changes": changes(secret, json!("x"))}),
        json!({"reason": "a test", "changes": changes("OPENAI_API_KEY", json!(secret))}),
        json!({"reason": secret, "changes": changes("BRUNE_COOLDOWN_MINUTES", json!(31))}),
        json!({"reason": "a test", "changes": changes("BRUNE_COOLDOWN_MINUTES", json!(secret))}),
        json!({"reason": "a test", secret: true}),
    ];
    for body in bodies {
        let status = heard.ask(service.call(Method::PATCH, settings).json(&body), "PATCH").await;
        assert!((400..500).contains(&status), "{status}: {body}");
    }
    for (media, text) in [
        (
            "application/json",
            json!({"settings": {"BRUNE_PROMPT_ID": secret, "OPENAI_API_KEY": secret}}).to_string(),
        ),
        (
            "application/yaml",
            format!("settings:\n  BRUNE_PROMPT_ID: {secret}\n  JWT_SECRET: {secret}\n"),
        ),
        ("text/plain", format!("BRUNE_PROMPT_ID={secret}\nJWT_SECRET={secret}\n")),
        ("text/plain", format!("{secret}\n")),
    ] {
        for query in ["dry_run=true", "reason=a%20test", "reason=a%20test&on_conflict=skip"] {
            let path = format!("/admin/config/import?{query}");
            let call = service.call(Method::POST, &path).header("content-type", media);
            heard.ask(call.body(text.clone()), &path).await;
        }
    }
    let cleanup = json!({"reason": secret, "names": [secret]});
    heard.ask(service.call(Method::POST, "/admin/secrets/cleanup").json(&cleanup), "cleanup").await;
    // In the places of credentials: right, nearly right, and in the query.
    let user = uuid::Uuid::new_v4().to_string();
    let start = |call: reqwest::RequestBuilder| call.json(&json!({"user_id": user, "plan": "pro"}));
    let call =
        service.anonymous(Method::POST, "/brun-e/start").header("x-internal-api-key", internal);
    assert_eq!(heard.ask(start(call), "start").await, 201);
    for key in [format!("{internal}x"), format!("{secret}y")] {
        let call =
            service.anonymous(Method::POST, "/brun-e/start").header("x-internal-api-key", &key);
        assert_eq!(heard.ask(start(call), "start").await, 401);
        let call = service.anonymous(Method::GET, settings).bearer_auth(&key);
        assert_eq!(heard.ask(call, "a bearer").await, 401);
        let call = service.anonymous(Method::GET, &format!("{settings}?access_token={key}"));
        assert_eq!(heard.ask(call, "a query").await, 401);
    }
}

/// A browser's way: the token in a cookie, right and wrong. Only the one answer that hands it out has it.
async fn sign_in(service: &Service, heard: &mut Heard) {
    let token = &service.token;
    let signature = token.rsplit_once('.').unwrap().1.to_owned();
    heard.markers.push(signature);
    let ours = |method, path: &str| {
        service.anonymous(method, path).header("sec-fetch-site", "same-origin")
    };
    let entered = ours(Method::POST, "/admin/sign-in").json(&json!({"token": token}));
    let entered = entered.send().await.unwrap();
    assert!(entered.headers()["set-cookie"].to_str().unwrap().contains(token.as_str()));
    heard.add("a sign-in", entered.text().await.unwrap());
    for body in [json!({"token": token, "other": 1}), json!({"token": [token]}), json!(token)] {
        let call = ours(Method::POST, "/admin/sign-in").json(&body);
        assert_eq!(heard.ask(call, "a sign-in that is wrong").await, 400);
    }
    for (cookie, status) in [(format!("brune={token}"), 200), (format!("brune={token}x"), 401)] {
        let call = ours(Method::GET, "/admin/me").header("cookie", &cookie);
        assert_eq!(heard.ask(call, "a cookie").await, status);
        let call = ours(Method::POST, "/admin/sign-out").header("cookie", &cookie);
        assert_eq!(heard.ask(call, "a sign-out").await, 204);
    }
}

/// A client secret that is handed out, and a provider that repeats the key in its refusal.
async fn start_with_provider(service: &Service, heard: &mut Heard, stub: &Stub, internal: &str) {
    assert!(!stub.calls().is_empty());
    let key = "BRUNE_OPENAI_REALTIME_MODEL";
    let changes = json!([
        {"key": format!("{key}_ALLOWLIST"), "value": ["stub-401"], "version": 1},
        {"key": key, "value": "stub-401", "version": 1}]);
    let body = json!({"reason": "a test", "changes": changes});
    let call = service.call(Method::PATCH, "/admin/global-settings").json(&body);
    assert_eq!(heard.ask(call, "a change of the model").await, 200);
    let call =
        service.anonymous(Method::POST, "/brun-e/start").header("x-internal-api-key", internal);
    let call = call.json(&json!({"user_id": "eva", "plan": "pro"}));
    assert_eq!(heard.ask(call, "a start that is refused").await, 502);
}

#[tokio::test]
async fn no_secret_appears_in_any_output() {
    let app = TestApp::new().await;
    let names = [
        "jwt",
        "jwt-before",
        "internal",
        "provider",
        "webhook",
        "database",
        "redis",
        "alert",
        "residue",
    ];
    let markers = names.map(marker);
    let [jwt, before, internal, provider, webhook, password, redis, alert, residue] =
        markers.clone();
    psql::leave_secret(&app.db.pool(), "POSTGRES_PASSWORD", &residue).await;
    let (scheme, rest) =
        app.db.url().split_once("://").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (user, rest) = rest.split_once('@').unwrap();
    let url = format!("{scheme}://{user}:{password}@{rest}");
    let stub = Stub::new().await;
    let mut home = Home::new()
        .with("BRUNE_OPENAI_BASE_URL", &stub.url())
        .with("DATABASE_URL", &url)
        .with("NODE_ENV", "production")
        .with("JWT_SECRET", &format!("{jwt}\n{before}"))
        .with("INTERNAL_API_KEY", &internal)
        .with("OPENAI_API_KEY", &provider)
        .with("BRUNE_RELOAD", "redis")
        .with("REDIS_URL", &format!("redis://ada:{redis}@127.0.0.1:1/0"))
        .with("ALERT_WEBHOOK_URL", &format!("http://ada:{alert}@127.0.0.1:1/{alert}"))
        .with("ALERT_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .with("ALERT_ALLOW_PRIVATE", "true")
        .with("DISCORD_WEBHOOK_URL", &format!("https://discord.test/api/webhooks/1/{webhook}"));
    let mut events = Heard { markers: markers.to_vec(), said: Vec::new() };
    let service = home.serve().with_token(&admin_signed_with(&jwt));
    let token = service.token.clone();
    read_everything(&service, &mut events).await;
    sign_in(&service, &mut events).await;
    for secret in [&jwt, &before, &internal, &provider, &webhook, &password, &redis, &alert] {
        write_everything(&service, &mut events, secret, &internal).await;
        events.ask(service.call(Method::POST, "/brun-e/start"), "a start by token").await;
    }
    let change_reply = service.change("BRUNE_COOLDOWN_MINUTES", &json!(45), 1);
    assert_eq!(events.ask(change_reply, "a change").await, 200);
    start_with_provider(&service, &mut events, &stub, &internal).await;
    // The driver's own errors: connections that break, and a database that lets nobody in.
    for _ in 0..3 {
        psql::end_sessions(&app.db.pool(), "application_name = 'brune'").await;
        events
            .ask(service.call(Method::GET, "/admin/global-settings"), "a broken connection")
            .await;
    }
    home.set("BRUNE_URL", &format!("http://{}", service.address()));
    home.set("BRUNE_TOKEN", &token);
    for arguments in [
        &["config", "list"][..],
        &["config", "get", "OPENAI_API_KEY"],
        &["config", "set", "BRUNE_PROMPT_ID", &provider, "-r", "a test"],
        &["config", "set", "OPENAI_API_KEY", &provider, "-r", "a test"],
        &["config", "history"],
        &["config", "export"],
        &["secrets", "status", "-o", "json"],
        &["doctor"],
        &["migrate"],
        &["migrate", "--plan"],
        &["token"],
    ] {
        let outcome = home.run(arguments);
        events.add(&format!("{arguments:?}"), outcome.out + &outcome.err);
    }
    service.stop().await;
    // What ends a start: a database that is not there, and an address that cannot be one.
    for url in [
        format!("postgres://brune:{password}@127.0.0.1:1/brune"),
        format!("postgres://{password}"),
        password,
    ] {
        home.set("DATABASE_URL", &url);
        let outcome = home.run(&["serve"]);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        events.add("a failed start", outcome.out + &outcome.err);
    }
    let log = home.log();
    let tables = dump(&app.db.pool()).await;
    for (place, text) in [("the log", &log), ("a table", &tables)] {
        assert!(!text.contains("ek_stub_"), "{place} holds a client secret: {text}");
    }
    assert!(tables.contains("sess_stub_"), "no session was made");
    events.add("the log", log);
    assert!(tables.contains(&residue), "the dump shows nothing");
    events.add("a table", tables.replace(&residue, "what an older release left"));
    events.none_is_found();
}
