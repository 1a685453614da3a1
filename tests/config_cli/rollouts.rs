//! `brune rollout`, and `--rollout` of the commands that propose.

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    proposals::brune,
    service::{Run, Service, lines},
    support::{admin, user, wait::receive},
};

const VERSION: &str = "BRUNE_PROMPT_VERSION";

/// Proposes version 7 of the prompt as Ada, with `options`.
fn propose(service: &Service, options: &[&str]) -> Run {
    let set = ["config", "set", VERSION, "7", "-r", "prompt 7 reads better", "--propose"];
    brune(service, "ada", &[&set, options].concat())
}

/// Runs `brune rollout` as Ada.
fn rollout(service: &Service, arguments: &[&str]) -> Run {
    brune(service, "ada", &[&["rollout"], arguments].concat())
}

/// Takes a step of the rollout of proposal 1.
fn step(service: &Service, action: &str) -> Run {
    rollout(service, &[action, "1", "-r", "to see what happens"])
}

/// Applies proposal 1, whose rollout begins.
fn apply(service: &Service, options: &[&str]) -> Run {
    let apply = ["proposal", "apply", "1", "--edition", "1"];
    brune(service, "ada", &[&apply, options].concat())
}

#[tokio::test]
async fn a_rollout_is_previewed_begun_held_widened_and_reverted() {
    let service = Service::start().await;
    propose(&service, &["--rollout"])
        .ends(0, "no approvals needed, 0 objections; rollout to 10 %, 50 % of the users, then everybody\n")
        .ends(0, "next: brune proposal apply 1 --edition 1");
    rollout(&service, &["status", "1"]).ends(1, "brune proposal show");
    rollout(&service, &["preview", "1"])
        .ends(0, "stage 1\tnever ends: too few users\n")
        .ends(0, "unknown: no session was started in the last week");
    apply(&service, &["--dry-run"]).ends(0, "the rollout of proposal 1 would begin\n");
    apply(&service, &[]).ends(0, "the rollout of proposal 1 began: brune rollout status 1\n");
    brune(&service, "ada", &["proposal", "list", "--state", "rolling"])
        .ends(0, "1\trolling: 10 %\t");
    brune(&service, "ada", &["proposal", "show", "1"]).ends(0, "next\tbrune rollout status 1\n");

    let status = rollout(&service, &["status", "1"]);
    for row in [
        "proposal\t1, edition 1\n",
        "share\t10 % of the users, stage 1 of 2\n",
        "stage\t50 % of the users, until 200 candidate users and 30 minutes\n",
        "then\tpromote; at most 72 hours\n",
        "users\tcandidate 0 (0 count for the stage), control 0\n",
        "guard\tstart_failed: fine; failing users: candidate 0, control 0; evidence 1.00, reverts at 300\n",
        "assignment\tevidence 1.00, holds at 1000\n",
        "running\tno session has the settings of the rollout\n",
    ] {
        assert!(status.out.contains(row), "{row}: {status:#?}");
    }
    assert!(status.out.contains("progress\twaits for 50 candidate users, "), "{status:#?}");
    assert_eq!(rollout(&service, &["status", "1", "-o", "json"]).json()["share"], 10);

    // The setting rolls out, and other settings do not.
    service.config(&["set", VERSION, "8", "-r", "prompt 8"]).ends(1, "brune rollout status");
    service.config(&["set", "BRUNE_COOLDOWN_MINUTES", "45", "-r", "calmer"]).ends(0, "is 45");

    step(&service, "hold")
        .ends(0, "the rollout of proposal 1 is held at 10 % of the users (stage 1 of 2): person by ada since ")
        .ends(0, ": to see what happens\n")
        .ends(0, "next: brune rollout resume 1 --reason TEXT, or brune rollout revert 1 --reason TEXT\n");
    brune(&service, "ada", &["proposal", "list"]).ends(0, "rolling: 10 %, held: person");
    rollout(&service, &["advance", "1", "-r", "to see what happens", "--dry-run"])
        .ends(0, "would advance");
    step(&service, "resume")
        .ends(0, "proposal 1 rolls out to 10 % of the users (stage 1 of 2), waits for ");
    step(&service, "advance").ends(0, "proposal 1 rolls out to 50 % of the users (stage 2 of 2)");
    step(&service, "advance").ends(1, "brune rollout status");
    // Decided for an earlier stage: somebody was faster.
    rollout(&service, &["advance", "1", "-r", "to see what happens", "--stage", "1"])
        .ends(4, "somebody has moved the rollout");
    step(&service, "revert")
        .ends(0, "the rollout of proposal 1 is reverted by ada at ")
        .ends(0, "(person): to see");
    // Somebody was faster.
    step(&service, "revert").ends(4, "brune rollout status");
    rollout(&service, &["end-sessions", "1", "-r", "to see what happens"])
        .ends(0, "ended 0 sessions with the settings of proposal 1\n");
    brune(&service, "ada", &["proposal", "show", "1"])
        .ends(0, "proposal 1 is reverted by ada: to see what happens\n");
    assert_eq!(service.config(&["get", VERSION]).out, "1\n");
}

#[tokio::test]
async fn a_promotion_applies_the_change_for_everybody() {
    let service = Service::start().await;
    propose(&service, &["--rollout"]).ends(0, "");
    apply(&service, &[]).ends(0, "began");
    step(&service, "promote").ends(0, "is promoted by ada at ").ends(0, ", revision 2\n");
    assert_eq!(service.config(&["get", VERSION]).out, "7\n");
    rollout(&service, &["status", "1"]).ends(0, "state\tpromoted by ada at ");
}

#[tokio::test]
async fn an_emergency_skips_the_rollout() {
    let service = Service::start().await;
    propose(&service, &["--rollout"]).ends(0, "");
    apply(&service, &["--emergency", "-r", "users cannot start"])
        .ends(0, "proposal 1 is applied, revision 2\n");
    assert_eq!(service.config(&["get", VERSION]).out, "7\n");
}

#[tokio::test]
async fn sessions_with_a_reverted_change_are_counted_and_ended() {
    let service = Service::start().await;
    let plan = r#"{"stages": [{"share": 100, "users": 1000, "minutes": 60}], "guards": ["start_failed"], "then": "hold"}"#;
    propose(&service, &["--rollout-plan", plan])
        .ends(0, "; rollout to 100 % of the users, until a person decides\n");
    apply(&service, &[]).ends(0, "began");
    let start = reqwest::Client::new().post(format!("http://{}/brun-e/start", service.address));
    let start = start.bearer_auth(user("ana")).send().await.unwrap();
    assert_eq!(start.status(), StatusCode::CREATED);
    rollout(&service, &["status", "1"])
        .ends(0, "running\t1 session has the settings of the rollout, until ")
        .ends(0, "users\tcandidate 1 (0 count for the stage), control 0\n")
        .ends(0, "guard\trefused: does not judge; failing users: candidate 0");
    step(&service, "revert").ends(0, "next: brune rollout end-sessions 1 --reason TEXT\n");
    rollout(&service, &["status", "1"])
        .ends(0, "next\tbrune rollout end-sessions 1 --reason TEXT\n");
    let end = rollout(&service, &["end-sessions", "1", "-r", "a broken prompt", "-o", "json"]);
    assert_eq!(end.json(), json!({"ended": 1}));
    rollout(&service, &["status", "1"]).ends(0, "no session has the settings");
}

#[tokio::test]
async fn a_watch_ends_with_the_rollout() {
    let service = Service::start().await;
    propose(&service, &["--rollout"]).ends(0, "");
    apply(&service, &[]).ends(0, "began");
    let mut watches = [&["rollout", "status", "1", "--watch"][..], &["proposal", "watch", "1"]]
        .map(|arguments| {
            let mut command = service.room.command(arguments);
            command.env("BRUNE_URL", format!("http://{}", service.address));
            command.env("BRUNE_TOKEN", admin("ben")).stdout(std::process::Stdio::piped());
            let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
            let lines = lines(&mut child);
            (child, lines)
        });
    let first = watches.each_ref().map(|(_, lines)| receive("the first line", lines).unwrap());
    assert!(first[0].starts_with("proposal 1 rolls out to 10 % of the users"), "{first:?}");
    assert_eq!(first[1], "proposal 1 is rolling out");
    step(&service, "revert").ends(0, "");
    for (child, lines) in &mut watches {
        let last = std::iter::from_fn(|| receive("the end of the rollout", lines)).last().unwrap();
        assert!(last.contains("reverted by ada"), "{last}");
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}

#[tokio::test]
async fn an_edit_repeats_the_plan_of_the_rollout() {
    let service = Service::start().await;
    let plan = r#"{"stages":[{"share":5,"users":10,"minutes":0}],"guards":["refused"],"then":"hold","max_hours":5}"#;
    propose(&service, &["--rollout-plan", plan]).ends(0, "");
    let objection = ["proposal", "object", "1", "--edition", "1", "--note", "too soon"];
    let next =
        brune(&service, "ben", &objection).ends(0, "to answer the objection: brune proposal edit");
    let (_, option) = next.out.split_once("--rollout-plan '").unwrap();
    let (repeated, _) = option.split_once('\'').unwrap();
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parse(repeated), parse(plan));
    let edit = ["proposal", "edit", "1", "--edition", "1", "-r", "later"];
    let change = format!("{VERSION}=8");
    let edit = [&edit, &["--rollout-plan", repeated, &change][..]].concat();
    brune(&service, "ada", &edit)
        .ends(0, "edition 2: no approvals needed, 0 objections; rollout to 5 %");
    let shown = brune(&service, "ada", &["proposal", "show", "1", "-o", "json"]).json();
    assert_eq!(shown["plan"]["rollout"], parse(plan));
}

#[tokio::test]
async fn bad_input_is_refused() {
    let service = Service::start().await;
    let set = ["set", VERSION, "7", "-r", "prompt 7 reads better"];
    for option in [&["--rollout"][..], &["--rollout-plan", "{}"]] {
        service.config(&[&set, option].concat()).ends(2, "--rollout-plan require --propose");
    }
    propose(&service, &["--rollout", "--rollout-plan", "{}"]).ends(2, "cannot be used with");
    for (plan, words) in [
        ("", "--rollout-plan"),
        ("{", "--rollout-plan"),
        ("[]", "must be a JSON object, not an array"),
        (r#"{"max_hours": 1, "max_hours": 2}"#, "--rollout-plan"),
    ] {
        propose(&service, &["--rollout-plan", plan]).ends(2, words);
    }
    for (plan, words) in [
        (
            r#"{"stages": [{"share": 50, "users": 1, "minutes": 0}, {"share": 10, "users": 1, "minutes": 0}]}"#,
            "/plan/rollout/stages/1/share must be greater",
        ),
        (
            r#"{"stages": [{"share": 101, "users": 0, "minutes": 0}]}"#,
            "stages/0/share must be an integer from 1 to 100\n",
        ),
        (r#"{"guards": ["latency"]}"#, "/plan/rollout/guards"),
        (r#"{"speed": 1}"#, "/plan/rollout/speed"),
    ] {
        propose(&service, &["--rollout-plan", plan]).ends(1, words);
    }
    rollout(&service, &["status", "0"]).ends(2, "invalid value");
    rollout(&service, &["revert", "1"]).ends(2, "--reason");
    rollout(&service, &["status", "1", "--every", "5"]).ends(2, "--watch");
    rollout(&service, &["status", "7"]).ends(1, "brune proposal list");
    propose(&service, &[]).ends(0, "");
    for command in ["status", "preview"] {
        rollout(&service, &[command, "1"]).ends(1, "brune proposal show");
    }
    step(&service, "revert").ends(4, "brune rollout status");
    rollout(&service, &["end-sessions", "1", "-r", "a broken prompt"])
        .ends(1, "brune proposal show");
}
