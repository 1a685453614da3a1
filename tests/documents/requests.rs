//! Runs the requests of `docs/proposals.md` and of `docs/rollouts.md`, in their order.

use axum::http::Method;
use brune::clock::Clock;
use chrono::{SecondsFormat, TimeDelta};
use serde_json::Value;

use crate::{
    blocks,
    support::{Call, Reply, TestApp, admin, user},
};

const PROPOSALS: &str = include_str!("../../docs/proposals.md");
const ROLLOUTS: &str = include_str!("../../docs/rollouts.md");
const PROTECTED: &str = "key = \"BRUNE_COOLDOWN_MINUTES\"";
const ANY_FREEZE: &str = "01a20245-9692-737c-b998-0151f71dadde";

/// A `curl` command of the page.
#[derive(Debug)]
struct Request {
    method: Method,
    person: &'static str,
    if_match: Option<String>,
    path: String,
    body: Option<Value>,
}

/// Splits a command into words, as a shell does with quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in command.chars() {
        let word = words.last_mut().unwrap();
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, ' ' | '\n' | '\\') => words.push(String::new()),
            _ => word.push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn request(command: &str) -> Request {
    let words = words(command);
    let mut request = Request {
        method: Method::GET,
        person: "",
        if_match: None,
        path: String::new(),
        body: None,
    };
    let mut words = words.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-s" => (),
            "-X" => request.method = words.next().unwrap().parse().unwrap(),
            "-H" => match words.next().unwrap() {
                "$ADA" => request.person = "ada",
                "$CLEO" => request.person = "cleo",
                "$ANA" => request.person = "ana",
                header => {
                    let tag = header.strip_prefix("If-Match: ").unwrap();
                    request.if_match = Some(tag.to_owned());
                }
            },
            "--json" => {
                request.body = Some(serde_json::from_str(words.next().unwrap()).unwrap());
                if request.method == Method::GET {
                    request.method = Method::POST;
                }
            }
            url => request.path = String::from(url.strip_prefix("$BRUNE").unwrap()),
        }
    }
    request
}

/// Returns the requests of `page`, with times of this year.
fn requests(page: &str) -> Vec<Request> {
    let in_hours = |hours| {
        (Clock::system().now() + TimeDelta::hours(hours)).to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    let page = page.replace("2026-12-24T18:00:00+01:00", &in_hours(24));
    let page = page.replace("2027-01-04T08:00:00+01:00", &in_hours(48));
    let mut requests = Vec::new();
    for (_, block) in blocks(&page).into_iter().filter(|(kind, _)| *kind == "sh") {
        let block = format!("\n{block}");
        requests
            .extend(block.split("\ncurl ").skip(1).map(|words| request(&format!("curl {words}"))));
    }
    requests
}

/// Sends `request` to `path`.
async fn send(app: &TestApp, request: &Request, path: &str) -> Reply {
    let token = if request.person == "ana" { user("ana") } else { admin(request.person) };
    let call = app.instance.call(request.method.clone(), path).bearer(&token);
    let call = request.body.iter().fold(call, Call::json);
    let call = request.if_match.iter().fold(call, |call, tag| call.header("if-match", tag));
    let reply = call.send().await;
    assert!(reply.status.is_success(), "{request:?}: {}", reply.text);
    reply
}

#[tokio::test]
async fn every_request_about_proposals_succeeds() {
    assert!(brune::settings::BRUN_E.contains(PROTECTED));
    let protected = format!("{PROTECTED}\napprovals = 1");
    let app = TestApp::with_catalog(&brune::settings::BRUN_E.replace(PROTECTED, &protected)).await;
    let requests = requests(PROPOSALS);
    assert!(requests.len() > 12, "{requests:?}");
    let mut freeze = String::new();
    for request in requests {
        let path = request.path.replace(ANY_FREEZE, &freeze);
        let reply = send(&app, &request, &path).await;
        if path == "/admin/freezes" && request.method == Method::POST {
            freeze = reply.body["id"].as_str().unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn every_request_about_rollouts_succeeds() {
    let app = TestApp::new().await;
    let requests = requests(ROLLOUTS);
    assert!(requests.len() > 8, "{requests:?}");
    let mut events = Vec::new();
    for request in requests {
        let mut path = request.path.clone();
        if path.contains("$SESSION") {
            let session = app.instance.start_session(&user("ana")).await.ok();
            path = path.replace("$SESSION", session["session_id"].as_str().unwrap());
        }
        let reply = send(&app, &request, &path).await;
        events.extend(request.body.and_then(|body| body["action"].as_str().map(str::to_owned)));
        if path.ends_with("/end") {
            assert_eq!(reply.body["outcome"], "failed");
        }
    }
    assert_eq!(events, ["hold", "resume", "advance", "revert"]);
    let rollout = app.instance.get("/admin/proposals/1/rollout").bearer(&admin("ada"));
    assert_eq!(rollout.send().await.ok()["ended"]["outcome"], "reverted");
}

#[test]
fn a_command_is_split_into_words() {
    assert_eq!(
        words("curl -H \"$ADA\" \\\n  --json '{\"a b\": 1}'"),
        ["curl", "-H", "$ADA", "--json", "{\"a b\": 1}"]
    );
}
