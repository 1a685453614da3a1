//! Tokens: what `brune token` makes, how long the service accepts them, and what the log says of those it refuses.

use reqwest::Method;
use serde_json::Value;

use crate::support::{
    TestApp,
    binary::{Home, Outcome},
};

const PATH: &str = "/admin/global-settings";
const SECRET: &str = "a secret of this test, of 32 bytes and more";

fn home(app: &TestApp) -> Home {
    let home = Home::on(&app.db).with("LOG_FORMAT", "json").with("LOG_LEVEL", "debug");
    home.with("JWT_SECRET", SECRET)
}

fn lines(home: &Home, message: &str) -> Vec<Value> {
    let lines = home
        .log()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect::<Vec<Value>>();
    lines.into_iter().filter(|line| line["message"] == message).collect()
}

/// Holds a command to have been called wrongly, as `words` say.
#[track_caller]
fn misused(outcome: &Outcome, words: &str) {
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(2), ""), "{}", outcome.err);
    assert!(outcome.err.contains(words), "{words} is not in: {}", outcome.err);
}

#[test]
fn a_token_for_an_invalid_subject_is_refused() {
    let home = Home::new();
    for (arguments, words) in [
        (["--sub", "brune:migrate"], "must not begin with `brune:`"),
        (["--sub", "ada\u{202E}"], "--sub must not contain"),
        (["--sub", " ada"], "--sub must not begin or end with white space"),
        (["--plan", "pro\u{200B}"], "--plan must not contain an invisible character"),
        (["--level", "b\u{7}"], "--level must not contain a control character"),
        (
            ["--minutes", "721"],
            "--minutes must be an integer between 1 and 720 (JWT_MAX_LIFE is 43200 seconds)",
        ),
    ] {
        misused(&home.run(&[&["token"], &arguments[..]].concat()), words);
    }
    home.run(&["token", "--sub", "René", "--minutes", "720"]).ok();
}

#[tokio::test]
async fn the_maximum_token_lifetime_is_configurable() {
    let app = TestApp::new().await;
    let home = home(&app).with("JWT_MAX_LIFE", "172800");
    let token = home.run(&["token", "--role", "SUPER_ADMIN", "--minutes", "2880"]).ok();
    let service = home.serve().with_token(token.trim());
    assert_eq!(service.call(Method::GET, PATH).send().await.unwrap().status(), 200);
    service.stop().await;
    let home = home.with("JWT_MAX_LIFE", "600");
    misused(&home.run(&["token", "--minutes", "11"]), "JWT_MAX_LIFE is 600 seconds");
    let short = home.run(&["token", "--role", "SUPER_ADMIN"]).ok();
    let service = home.serve();
    let long = service.anonymous(Method::GET, PATH).bearer_auth(token.trim()).send().await.unwrap();
    assert_eq!(long.status(), 401);
    let challenge = long.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("600 seconds after `iat`"), "{challenge}");
    let service = service.with_token(short.trim());
    assert_eq!(service.call(Method::GET, PATH).send().await.unwrap().status(), 200);
    service.stop().await;
    for wrong in ["59", "604801", "12h", "-1", "1e3"] {
        let home = Home::new().with("JWT_MAX_LIFE", wrong);
        home.run(&["token"]).refused(&["JWT_MAX_LIFE", "604800"]);
    }
}

#[tokio::test]
async fn the_log_names_the_failed_check_with_a_limit_and_nothing_of_the_token() {
    let app = TestApp::new().await;
    let home = home(&app);
    let token = home.run(&["token", "--role", "SUPER_ADMIN"]).ok().trim().to_owned();
    let service = home.serve();
    let altered = format!("{}AAAA", &token[..token.len() - 4]);
    for _ in 0..100 {
        let refusal =
            service.anonymous(Method::GET, PATH).bearer_auth(&altered).send().await.unwrap();
        assert_eq!(refusal.status(), 401);
    }
    assert_eq!(service.anonymous(Method::GET, PATH).send().await.unwrap().status(), 401);
    // As somebody does who mistakes one header for the other.
    for part in [&*token, &token[..100], &token[..40]] {
        let call =
            service.anonymous(Method::GET, PATH).bearer_auth(&token).header("x-request-id", part);
        let answer = call.send().await.unwrap();
        assert_eq!(answer.headers()["x-request-id"].len(), 36);
        assert_eq!(answer.status(), 200);
    }
    service.stop().await;
    let actual = lines(&home, "authentication failed");
    let of = |reason: &str| actual.iter().filter(|line| line["reason"] == reason).count();
    let wrong = of("the token's signature does not match");
    assert!((30..60).contains(&wrong), "{wrong}");
    assert_eq!(of("missing credentials: send `Authorization: Bearer` and a token"), 1);
    assert!(
        actual.iter().all(|line| line["suppressed"].is_u64() && line["request_id"].is_string()
            || line["span"]["request_id"].is_string()),
        "{actual:?}"
    );
    let log = home.log();
    for part in token.split('.').chain([&token[..40]]) {
        assert!(!log.contains(part), "{part} is in the log");
    }
}
