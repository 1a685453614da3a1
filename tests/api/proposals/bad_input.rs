//! Requests that no proposal survives: each is refused with its reason, and nothing is stored.

use std::fmt::Write as _;

use axum::http::Method;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{
    COOLDOWN, PER_DAY, PROPOSALS, apply, approve,
    due::{in_minutes, schedule},
    edit, find, get, judge, post, proposal, propose, protected, withdraw,
};
use crate::support::{TestApp, admin, psql};

#[tokio::test]
async fn a_proposal_follows_only_an_earlier_one_that_can_be_applied() {
    let app = protected().await;
    let first = propose(&app.instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    let second = propose(&app.instance, "ana", &[(PER_DAY, json!(6), 1)]).await;
    let withdrawn = propose(&app.instance, "ana", &[(PER_DAY, json!(7), 1)]).await;
    withdraw(&app.instance, "ana", withdrawn).await.ok();
    let last = propose(&app.instance, "ana", &[(PER_DAY, json!(8), 1)]).await;
    for (number, after) in [(first, first), (first, second), (last, withdrawn), (last, 99)] {
        let mut body = proposal(&[(PER_DAY, json!(9), 1)]);
        body["plan"] = json!({"after": after});
        let problem = edit(&app.instance, "ana", number, 1, &body).await;
        let problem = problem.problem(400, "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], "/plan/after", "{number} after {after}");
    }
    let mut body = proposal(&[(PER_DAY, json!(9), 1)]);
    body["plan"] = json!({"after": first});
    edit(&app.instance, "ana", second, 1, &body).await.ok();
}

#[tokio::test]
async fn a_time_is_an_instant_within_a_year() {
    let app = protected().await;
    for (at, status) in [
        (json!(in_minutes(-1)), 400),
        (json!(in_minutes(60 * 24 * 30 * 13)), 400),
        (json!("2027-01-01T00:00:00"), 400),
        (json!("2027-01-01"), 400),
        (json!("+012027-01-01T00:00:00Z"), 400),
        (json!("tomorrow"), 400),
        (json!(1_800_000_000), 400),
        // The same as no time.
        (Value::Null, 201),
        (json!(in_minutes(60)), 201),
        (json!(in_minutes(60).replace('Z', "+00:00")), 201),
    ] {
        let mut body = proposal(&[(PER_DAY, json!(5), 1)]);
        body["plan"] = json!({"at": at});
        let reply = post(&app.instance, "ana", PROPOSALS, &body).await;
        assert_eq!(reply.status.as_u16(), status, "{at}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_grace_period_that_no_instance_can_keep_is_refused() {
    let app = protected().await;
    for (minutes, status) in [(-1, 400), (0, 400), (1, 201), (10_080, 201), (10_081, 400)] {
        let mut body = proposal(&[(PER_DAY, json!(5), 1)]);
        body["plan"] = json!({"at": in_minutes(60), "grace_minutes": minutes});
        let reply = post(&app.instance, "ana", PROPOSALS, &body).await;
        assert_eq!(reply.status.as_u16(), status, "{minutes}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_proposal_has_1_to_500_changes() {
    let mut catalog = "catalog = \"many\"\ndescription = \"Many settings.\"\n".to_owned();
    for number in 0..501 {
        write!(
            catalog,
            "\n[[setting]]\nkey = \"S_{number}\"\ncategory = \"many\"\ntype = \"number\"\ndefault = 1\n\
             applies = \"hot\"\ndescription = \"A number.\"\napprovals = 1\n"
        )
        .unwrap();
    }
    let app = TestApp::with_catalog(&catalog).await;
    let changes = |count: usize| {
        let change = |number| json!({"key": format!("S_{number}"), "value": 2, "version": 1});
        json!({"reason": "many at once", "changes": (0..count).map(change).collect::<Vec<_>>()})
    };
    for count in [0, 501] {
        let problem = post(&app.instance, "ana", PROPOSALS, &changes(count)).await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["pointer"], "/changes", "{problem}");
    }
    let mut twice = changes(1);
    twice["changes"] = json!([twice["changes"][0], twice["changes"][0]]);
    post(&app.instance, "ana", PROPOSALS, &twice).await.problem(400, "malformed_request");
    let most = post(&app.instance, "ana", PROPOSALS, &changes(500)).await;
    assert_eq!(most.status, 201, "{}", most.text);
    approve(&app.instance, "ben", 1).await.ok();
    let applied = apply(&app.instance, "ana", 1).await.ok();
    assert_eq!(applied["changed"].as_array().unwrap().len(), 500);
    assert_eq!(psql::count(&app.db.admin(), "select count(*) from brune_proposal").await, 1);
}

#[tokio::test]
async fn a_change_without_effect_is_refused() {
    let app = protected().await;
    let same = proposal(&[(COOLDOWN, json!(30), 1), (PER_DAY, json!(3), 1)]);
    let problem = post(&app.instance, "ana", PROPOSALS, &same).await;
    assert_eq!(problem.body["errors"][0]["code"], "nothing_changes", "{}", problem.text);
    // A value beside a change may be the current value.
    let number =
        propose(&app.instance, "ana", &[(COOLDOWN, json!(30), 1), (PER_DAY, json!(4), 1)]).await;
    assert_eq!(find(&app.instance, number).await["changes"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_note_is_short_plain_text_without_secrets() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let secret = format!("use sk-proj-{}", "Ab3dEf6hIj9kLm2nOp5q".repeat(3));
    for (note, status) in [
        (secret.as_str(), 400),
        ("two\nlines", 400),
        ("nul \0", 400),
        ("bell \u{7}", 400),
        ("reversed \u{202E}", 400),
        (&"x".repeat(501), 400),
        (&"ä".repeat(500), 200),
        ("", 400),
    ] {
        let verdict = json!({"edition": 1, "verdict": "object", "note": note});
        let reply = judge(&app.instance, "ben", number, verdict).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.text);
        assert!(!reply.text.contains("Ab3dEf6h"), "{}", reply.text);
    }
    let notes =
        "select count(*) from brune_proposal_verdict where note like '%sk-%' or length(note) > 500";
    assert_eq!(psql::count(&app.db.admin(), notes).await, 0);
    let proposed =
        json!({"reason": secret, "changes": [{"key": COOLDOWN, "value": 50, "version": 1}]});
    let reply = post(&app.instance, "ana", PROPOSALS, &proposed).await;
    assert_eq!(reply.body["code"], "secret_like_value", "{}", reply.text);
    let path = format!("{PROPOSALS}/{number}/withdraw");
    let reply = post(&app.instance, "ana", &path, &json!({"reason": secret})).await;
    assert_eq!(reply.body["code"], "secret_like_value", "{}", reply.text);
}

#[tokio::test]
async fn numbers_in_paths_and_filters_are_numbers() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    for text in ["0", "-1", "1.5", "01x", "9223372036854775807", "9223372036854775808", "1%20"] {
        let path = format!("{PROPOSALS}/{text}");
        get(&app.instance, &path).send().await.problem(404, "proposal_not_found");
        let edition = format!("{PROPOSALS}/{number}/editions/{text}");
        get(&app.instance, &edition).send().await.problem(404, "proposal_not_found");
        let apply =
            post(&app.instance, "ana", &format!("{path}/apply"), &json!({"edition": 1})).await;
        apply.problem(404, "proposal_not_found");
    }
    for edition in
        [json!(0), json!(-1), json!(2_147_483_648_i64), json!(1e30), json!("1"), json!(1.5)]
    {
        let path = format!("{PROPOSALS}/{number}/apply");
        let reply = post(&app.instance, "ana", &path, &json!({"edition": edition})).await;
        reply.problem(400, "malformed_request");
    }
    for query in ["by=%00", "key=%00", "state=gone", "limit=0", "cursor=x", "other=1", "by=a&by=b"]
    {
        let reply = get(&app.instance, &format!("{PROPOSALS}?{query}")).send().await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text);
    }
}

#[tokio::test]
async fn unknown_members_are_refused_in_every_body() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let path = format!("{PROPOSALS}/{number}");
    let verdict = json!({"edition": 1, "verdict": "approve"});
    let plan = json!({"publish": true});
    let mut planned = proposal(&[(PER_DAY, json!(5), 1)]);
    planned["plan"] = plan;
    let mut change = proposal(&[(PER_DAY, json!(5), 1)]);
    change["changes"][0]["force"] = json!(true);
    post(&app.instance, "ana", PROPOSALS, &planned).await.problem(400, "malformed_request");
    post(&app.instance, "ana", PROPOSALS, &change).await.problem(400, "malformed_request");
    let send = |method: &Method, path: &str, body: &Value| {
        let call = app.instance.call(method.clone(), path).bearer(&admin("ben")).json(body);
        // Only the edit has a precondition.
        let call = if *method == Method::PUT { call.header("if-match", "\"e1\"") } else { call };
        call.send()
    };
    for (method, path, body) in [
        (Method::POST, PROPOSALS.to_owned(), proposal(&[(PER_DAY, json!(5), 1)])),
        (Method::PUT, path.clone(), proposal(&[(PER_DAY, json!(5), 1)])),
        (Method::POST, format!("{path}/verdicts"), verdict),
        (Method::POST, format!("{path}/apply"), json!({"edition": 1})),
        (Method::POST, format!("{path}/withdraw"), json!({"reason": "not now"})),
        (Method::POST, format!("{path}/rollout"), json!({"action": "hold", "reason": "not now"})),
    ] {
        for member in ["keep_approvals", "force", "ignore_conflicts", "emergency", "publish"] {
            let mut body = body.clone();
            body[member] = json!(true);
            let problem = send(&method, &path, &body).await.problem(400, "malformed_request");
            assert_eq!(problem["errors"][0]["pointer"], format!("/{member}"), "{problem}");
        }
        send(&method, &format!("{path}?force=true"), &body).await.problem(400, "malformed_request");
    }
    assert_eq!(find(&app.instance, number).await["verdicts"], json!([]));
}

#[tokio::test]
async fn the_clock_of_an_instance_decides_nothing() {
    let app = protected().await;
    let number = schedule(&app, PER_DAY, json!(9), json!({"at": in_minutes(60)})).await;
    app.instance.shift.advance(TimeDelta::days(3));
    assert!(app.instance.apply_due_proposals().await.is_empty());
    // A token of the shifted instance would be expired.
    let second = app.another_instance().await;
    apply(&second, "ana", number).await.problem(409, "proposal_not_due");
    // The time is in the past of the shifted clock, and in the future of the database.
    app.instance.shift.advance(TimeDelta::days(-6));
    assert!(app.instance.apply_due_proposals().await.is_empty());
    assert_eq!(find(&second, number).await["state"], "open");
}
