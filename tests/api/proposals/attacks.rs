//! What an attacker found in the routes of proposals and freezes.

use axum::http::Method;
use chrono::{Datelike, TimeDelta};
use serde_json::{Value, json};

use super::{
    COOLDOWN, PER_DAY, PROPOSALS, apply, approve, blocks,
    catalog::{GOES, ONE},
    due::{in_minutes, let_minutes_pass, schedule},
    edit, find, get, judge, post, proposal, propose, protected,
    write_paths::write_paths,
};
use crate::support::{TestApp, admin, delegated_admin, psql};

const SETTINGS: &str = "/admin/global-settings";

#[tokio::test]
async fn nobody_proposes_in_the_name_of_another_person() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let delegated = delegated_admin("dan", "ben");
    for query in ["", "?dry_run=true"] {
        let path = format!("{PROPOSALS}{query}");
        let call = app.instance.post(&path).bearer(&delegated);
        let proposed = call.json(&proposal(&[(COOLDOWN, json!(50), 1)])).send().await;
        let problem = proposed.problem(403, "delegated_token");
        assert!(problem["detail"].as_str().unwrap().contains("in person"), "{problem}");
        let path = format!("{PROPOSALS}/{number}{query}");
        let call = app.instance.call(Method::PUT, &path).bearer(&delegated);
        let call = call.header("if-match", "\"e1\"").json(&proposal(&[(COOLDOWN, json!(50), 1)]));
        call.send().await.problem(403, "delegated_token");
        let emergency =
            if query.is_empty() { "?emergency=true" } else { "?dry_run=true&emergency=true" };
        let path = format!("{PROPOSALS}/{number}/apply{emergency}");
        let call = app.instance.post(&path).bearer(&delegated);
        let call = call.json(&json!({"edition": 1, "reason": "on fire"}));
        call.send().await.problem(403, "delegated_token");
    }
    assert_eq!(find(&app.instance, number).await["edition"], 1);
    assert_eq!(psql::count(&app.db.admin(), "select count(*) from brune_proposal").await, 1);
    // An approved change is the approvers' decision, and a withdrawal permits nothing.
    approve(&app.instance, "ben", number).await.ok();
    let path = format!("{PROPOSALS}/{number}/apply");
    let call = app.instance.post(&path).bearer(&delegated).json(&json!({"edition": 1}));
    call.send().await.ok();
}

#[tokio::test]
async fn nobody_has_an_emergency_in_the_name_of_another_person() {
    let app = protected().await;
    app.instance.change(&[(PER_DAY, json!(5), 1)]).await.ok();
    let body =
        json!({"reason": "on fire", "changes": [{"key": COOLDOWN, "value": 45, "version": 1}]});
    let path = format!("{SETTINGS}?emergency=true");
    app.instance.patch(&path).bearer(&admin("ana")).json(&body).send().await.ok();
    let delegated = delegated_admin("dan", "ben");
    for (write, call) in write_paths(&app.instance, &delegated, "emergency=true").await {
        let reply = call.send().await;
        assert_eq!(reply.body["code"], "delegated_token", "{write}: {}", reply.text);
        reply.problem(403, "delegated_token");
    }
    for (write, call) in write_paths(&app.instance, &delegated, "emergency=true&dry_run=true").await
    {
        let reply = call.send().await;
        let refusal = if write.starts_with("import") {
            &reply.body["refusal"]["code"]
        } else {
            &reply.body["code"]
        };
        assert_eq!(refusal, "delegated_token", "{write}: {}", reply.text);
    }
    let emergencies = "select count(*) from brune_proposal where bypassed_by is not null";
    assert_eq!(psql::count(&app.db.admin(), emergencies).await, 1);
    // A plain write of a setting without protection needs nobody else.
    let body = json!({"reason": "a test", "changes": [{"key": PER_DAY, "value": 6, "version": 2}]});
    app.instance.patch(SETTINGS).bearer(&delegated).json(&body).send().await.ok();
}

#[tokio::test]
async fn a_time_exists_and_has_four_digits_of_a_year() {
    let app = protected().await;
    for time in ["2027-01-01T00:00:60Z", "2026-12-31T23:59:60Z", "9999-12-31T23:59:59-23:59"] {
        let mut body = proposal(&[(PER_DAY, json!(5), 1)]);
        body["plan"] = json!({"at": time});
        let problem = post(&app.instance, "ana", PROPOSALS, &body).await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["pointer"], "/plan/at", "{time}: {problem}");
        for member in ["starts_at", "ends_at"] {
            let mut freeze = json!({"reason": "holidays", "starts_at": in_minutes(5), "ends_at": in_minutes(60)});
            freeze[member] = json!(time);
            let problem = post(&app.instance, "ana", "/admin/freezes", &freeze).await;
            let problem = problem.problem(400, "malformed_request");
            let pointer = format!("/{member}");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{time}: {problem}");
        }
        for path in ["/admin/global-settings?at=", "/admin/global-settings/history?since="] {
            let reply = get(&app.instance, &format!("{path}{time}")).send().await;
            reply.problem(400, "malformed_request");
        }
    }
}

#[tokio::test]
async fn a_freeze_begins_within_a_year() {
    let app = protected().await;
    let day = 24 * 60;
    for (start, end, status) in [(367, 368, 400), (365, 366, 201), (365, 365 + 93, 400)] {
        let freeze = json!({"reason": "holidays", "starts_at": in_minutes(start * day), "ends_at": in_minutes(end * day)});
        let reply = post(&app.instance, "ana", "/admin/freezes", &freeze).await;
        assert_eq!(reply.status.as_u16(), status, "{start}: {}", reply.text);
        if start == 367 {
            assert_eq!(reply.body["errors"][0]["pointer"], "/starts_at", "{}", reply.text);
        }
    }
    let far = brune::clock::Clock::system().now() + TimeDelta::days(366);
    let freezes = get(&app.instance, "/admin/freezes").send().await.ok();
    for freeze in freezes["freezes"].as_array().unwrap() {
        let start = chrono::DateTime::parse_from_rfc3339(freeze["starts_at"].as_str().unwrap());
        assert!(start.unwrap().year() <= far.year(), "{freeze}");
    }
}

#[tokio::test]
async fn a_proposal_says_that_it_cannot_be_applied() {
    let number = |key: &str| GOES.replace("GOES", key);
    let names = ["TIGHT", "LOCKED", "GONE", "TEXT"].map(number).concat();
    let app = TestApp::with_catalog(&format!("{ONE}{names}")).await;
    let keys = ["TIGHT", "LOCKED", "GONE", "TEXT"];
    let mut numbers = Vec::new();
    for key in keys {
        let changes = [(key, json!(50), 1), ("STAYS", json!(3), 1)];
        numbers.push(propose(&app.instance, "ana", &changes).await);
    }
    for number in &numbers {
        assert_eq!(blocks(&find(&app.instance, *number).await), [""; 0]);
    }
    psql::delete(&app.db.admin(), "GONE").await;
    psql::delete(&app.db.admin(), "LOCKED").await;
    psql::delete(&app.db.admin(), "TEXT").await;
    let tight = format!("{}constraints = {{ max = 9 }}\n", number("TIGHT"));
    let text = number("TEXT").replace("\"number\"\ndefault = 1", "\"string\"\ndefault = \"a\"");
    let secret =
        "\n[[secret]]\nkey = \"LOCKED\"\ndescription = \"A secret.\"\nrequired = \"never\"\n";
    app.publish(&format!("{ONE}{tight}{text}{secret}")).await;
    // Under the lock the instance notices the declarations.
    let expected = [
        (400, "validation_failed", "TIGHT must be at most 9"),
        (403, "key_locked", "LOCKED is a secret"),
        (400, "validation_failed", "GONE is not a setting"),
        (400, "validation_failed", "TEXT must be a string"),
    ];
    for (number, (status, code, detail)) in numbers.into_iter().zip(expected) {
        apply(&app.instance, "ana", number).await.problem(status, code);
        let proposal = find(&app.instance, number).await;
        assert_eq!(blocks(&proposal), ["invalid"], "{proposal}");
        let found = proposal["blocks"][0]["detail"].as_str().unwrap();
        assert!(found.contains(detail), "{found}");
    }
}

#[tokio::test]
async fn a_block_tells_of_a_secret() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    let secret = format!("sk-proj-{}", "Ab3dEf6hIj9kLm2nOp5q".repeat(3));
    // An edition by `psql` was never scanned.
    let sql = format!(
        "set session_replication_role = replica;
         update brune_proposal_edition set edits = jsonb_build_object('BRUNE_PROMPT_VERSION',
           jsonb_build_object('value', '{secret}', 'version', 1));
         set session_replication_role = origin"
    );
    let mut connection = app.db.admin().acquire().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
    drop(connection);
    apply(&app.instance, "ana", number).await.problem(409, "not_approved");
    let proposal = find(&app.instance, number).await;
    assert_eq!(blocks(&proposal), ["not_approved", "invalid", "invalid"], "{proposal}");
    let detail = proposal["blocks"][1]["detail"].as_str().unwrap();
    assert!(detail.starts_with("BRUNE_PROMPT_VERSION looks like"), "{detail}");
}

#[tokio::test]
async fn a_version_of_a_shared_setting_is_the_current_one() {
    let app = protected().await;
    let first = propose(&app.instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    let follow = |version: Value| {
        let mut body = proposal(&[(PER_DAY, json!(6), 1)]);
        body["plan"] = json!({"after": first});
        body["changes"][0]["version"] = version;
        body
    };
    for version in [2, 7, 9_007_199_254_740_991_i64] {
        let reply = post(&app.instance, "ana", PROPOSALS, &follow(json!(version))).await;
        let problem = reply.problem(409, "version_conflict");
        assert_eq!(problem["conflicts"][0]["current_version"], 1, "{problem}");
    }
    let number =
        post(&app.instance, "ana", PROPOSALS, &follow(json!(1))).await.ok()["number"].clone();
    assert_eq!(blocks(&find(&app.instance, number.as_i64().unwrap()).await), ["predecessor"]);
    let edited = edit(&app.instance, "ana", number.as_i64().unwrap(), 1, &follow(json!(2))).await;
    edited.problem(409, "version_conflict");
    let mut unversioned = follow(json!(1));
    unversioned["changes"][0].as_object_mut().unwrap().remove("version");
    post(&app.instance, "ana", PROPOSALS, &unversioned).await.ok();
}

#[tokio::test]
async fn refusals_name_what_is_missing() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let path = format!("{PROPOSALS}/{number}/editions/2");
    let missing = get(&app.instance, &path).send().await.problem(404, "proposal_not_found");
    assert_eq!(missing["detail"], format!("proposal {number} has no edition 2"), "{missing}");
    let backwards = json!({"reason": "a\u{202E}bc", "ends_at": in_minutes(60)});
    let reply = post(&app.instance, "ana", "/admin/freezes", &backwards).await;
    let problem = reply.problem(400, "reason_required");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("the reason must not contain a character"), "{problem}");
    let acknowledgement = json!({"edition": 1, "verdict": "acknowledge"});
    let reply = judge(&app.instance, "ben", number, acknowledgement.clone()).await;
    let problem = reply.problem(400, "validation_failed");
    assert_eq!(problem["detail"], "only an emergency is acknowledged", "{problem}");
    assert_eq!(problem["errors"][0]["pointer"], "/verdict", "{problem}");
    approve(&app.instance, "ben", number).await.ok();
    apply(&app.instance, "ben", number).await.ok();
    let reply = judge(&app.instance, "cleo", number, acknowledgement).await;
    reply.problem(400, "validation_failed");
}

#[tokio::test]
async fn an_objection_says_what_has_to_change() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    for note in
        [Value::Null, json!(""), json!("  "), json!("no"), json!("\u{200B}\u{200B}\u{200B}")]
    {
        let body = json!({"edition": 1, "verdict": "object", "note": note});
        let problem = judge(&app.instance, "ben", number, body).await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["pointer"], "/note", "{problem}");
    }
    let body = json!({"edition": 1, "verdict": "object", "note": "why"});
    judge(&app.instance, "ben", number, body).await.ok();
    let body = json!({"edition": 1, "verdict": "approve", "note": ""});
    judge(&app.instance, "ben", number, body).await.ok();
}

#[tokio::test]
async fn a_proposal_lists_the_newest_verdicts_and_overlaps() {
    let app = protected().await;
    let first = propose(&app.instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    for _ in 0..52 {
        propose(&app.instance, "ben", &[(PER_DAY, json!(6), 1)]).await;
    }
    judge(&app.instance, "dan", first, json!({"edition": 1, "verdict": "object", "note": "first"}))
        .await
        .ok();
    let sql = "set session_replication_role = replica;
         insert into brune_proposal_verdict (proposal, edition, seq, given_by, verdict, digest, note, given_at)
         select id, 1, 1000 + n, 'cleo', 'approve', '', 'note ' || n, now()
         from brune_proposal, generate_series(1, 120) n where number = 1;
         set session_replication_role = origin";
    let mut connection = app.db.admin().acquire().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut *connection).await.unwrap();
    drop(connection);
    let proposal = find(&app.instance, first).await;
    let verdicts = proposal["verdicts"].as_array().unwrap();
    assert_eq!((verdicts.len(), &proposal["verdict_count"]), (100, &json!(121)));
    assert_eq!(
        (&verdicts[0]["note"], &verdicts[99]["note"]),
        (&json!("note 21"), &json!("note 120"))
    );
    assert_eq!(proposal["standing"]["objections"][0]["given_by"], "dan");
    let overlaps = proposal["overlaps"].as_array().unwrap();
    assert_eq!((overlaps.len(), &proposal["overlap_count"]), (50, &json!(52)));
    assert_eq!((&overlaps[0]["number"], &overlaps[49]["number"]), (&json!(4), &json!(53)));
}

#[tokio::test]
async fn proposals_that_wait_for_a_freeze_take_no_lock() {
    let app = protected().await;
    let plan = json!({"at": in_minutes(60)});
    let waiting = schedule(&app, PER_DAY, json!(9), plan.clone()).await;
    let unapproved = schedule(&app, COOLDOWN, json!(45), plan.clone()).await;
    let approved = schedule(&app, COOLDOWN, json!(50), plan.clone()).await;
    approve(&app.instance, "ben", approved).await.ok();
    let missed = schedule(&app, PER_DAY, json!(8), plan.clone()).await;
    let freeze = json!({"reason": "holidays", "ends_at": in_minutes(60)});
    post(&app.instance, "ben", "/admin/freezes", &freeze).await;
    for number in [waiting, unapproved, approved] {
        let_minutes_pass(&app, number, 61).await;
    }
    let_minutes_pass(&app, missed, 91).await;
    // Approvals and the grace period are checked in a freeze as well.
    let outcomes = app.instance.apply_due_proposals().await;
    let outcome = |(number, outcome): &(i64, _)| (*number, format!("{outcome:?}"));
    let outcomes: Vec<_> = outcomes.iter().map(outcome).collect();
    let expected = [
        (waiting, "Frozen"),
        (approved, "Frozen"),
        (missed, "Failed(Missed)"),
        (unapproved, "Failed(NotApproved)"),
    ];
    assert_eq!(outcomes, expected.map(|(number, outcome)| (number, outcome.to_owned())));
    // Another transaction holds the lock, for which a transaction of the service would wait.
    let mut locking = app.db.admin().begin().await.unwrap();
    sqlx::query("select from app_global_setting_head for update")
        .execute(&mut *locking)
        .await
        .unwrap();
    let outcomes = app.instance.apply_due_proposals().await;
    let outcomes: Vec<_> = outcomes.iter().map(outcome).collect();
    assert_eq!(outcomes, [(waiting, "Frozen".to_owned()), (approved, "Frozen".to_owned())]);
    locking.rollback().await.unwrap();
}
