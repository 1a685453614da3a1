//! The trail as it is read: filters, pages, bounds.

use serde_json::{Value, json};

use super::{COOLDOWN, HISTORY, PER_DAY, at, entries, faults, patch, read};
use crate::support::{TestApp, admin, psql};

/// Four change sets after the seed, of three people, and one refused attempt.
async fn lived_in() -> TestApp {
    let app = TestApp::new().await;
    let change = |who: &str, request: &str, key: &str, value: i64, version: i64| {
        let body = json!({"reason": format!("by {who}"), "changes": [
            {"key": key, "value": value, "version": version}]});
        let call = app.instance.patch(super::PATH).bearer(&admin(who));
        call.header("x-request-id", request).json(&body).send()
    };
    change("ana", "r-1", COOLDOWN, 45, 1).await.ok();
    change("bob", "r-2", COOLDOWN, 50, 2).await.ok();
    change("ana", "r-3", PER_DAY, 5, 1).await.ok();
    change("eve", "r-4", "JWT_SECRET", 5, 1).await.problem(403, "key_locked");
    let rollback = json!({"reason": "back again", "key": COOLDOWN, "to_version": 1, "version": 3});
    let call = app.instance.post(super::ROLLBACK).bearer(&admin("ana"));
    call.header("x-request-id", "r-5").json(&rollback).send().await.ok();
    app
}

/// The requests of the entries that fit `query`.
async fn requests(app: &TestApp, query: &str) -> Vec<String> {
    let actual = entries(&app.instance, query).await;
    actual.iter().map(|entry| entry["request_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_history_of_an_unknown_key_is_404_and_of_an_unchanged_key_empty() {
    let app = lived_in().await;
    read(&app.instance, &format!("{HISTORY}?key=%25")).await.problem(404, "unknown_key");
    for path in [HISTORY.to_owned(), format!("{HISTORY}/timeline"), "/admin/config/audit".into()] {
        let problem = read(&app.instance, &format!("{path}?key=BRUNE_COOLDOWN_MINUTE")).await;
        let problem = problem.problem(404, "unknown_key");
        assert!(problem["detail"].as_str().unwrap().contains("BRUNE_COOLDOWN_MINUTE"), "{problem}");
        read(&app.instance, &format!("{path}?key={PER_DAY}&changed_by=nobody")).await.ok();
        // Declared, and never written.
        read(&app.instance, &format!("{path}?key=LOG_LEVEL")).await.ok();
    }
    // A key that a newer catalog forgot has its history.
    psql::delete(&app.db.pool(), COOLDOWN).await;
    app.publish(&brune::settings::BRUN_E.replace(COOLDOWN, "BRUNE_PAUSE_MINUTES")).await;
    read(&app.instance, super::PATH).await.ok();
    let remaining = entries(&app.instance, &format!("key={COOLDOWN}")).await;
    assert!(remaining.len() > 3, "{remaining:?}");
    // What looks like a secret is not repeated.
    let key = format!("sk-proj-{}", "a1B2".repeat(8));
    let reply = read(&app.instance, &format!("{HISTORY}?key={key}")).await;
    assert!(!reply.text.contains("a1B2a1B2"), "{}", reply.text);
    reply.problem(404, "unknown_key");
}

#[tokio::test]
async fn the_history_is_newest_first_down_to_the_seed() {
    let app = lived_in().await;
    let all = entries(&app.instance, "").await;
    assert_eq!(all.len(), 14);
    insta::assert_json_snapshot!(
        [&all[0], &all[1], &all[13]],
        {"[].id" => "[id]", "[].changed_at" => "[time]", "[2].request_id" => "[request]"},
        @r#"
    [
      {
        "action": "rollback",
        "changed_at": "[time]",
        "changed_by": "ana",
        "id": "[id]",
        "key": "BRUNE_COOLDOWN_MINUTES",
        "new_value": 30,
        "old_value": 50,
        "reason": "back again",
        "request_id": "r-5",
        "revision": 5,
        "version": 4
      },
      {
        "action": "refused",
        "changed_at": "[time]",
        "changed_by": "eve",
        "id": "[id]",
        "key": "JWT_SECRET",
        "new_value": null,
        "old_value": null,
        "reason": "by eve",
        "request_id": "r-4",
        "revision": null,
        "version": null
      },
      {
        "action": "seed",
        "changed_at": "[time]",
        "changed_by": "brune:migrate",
        "id": "[id]",
        "key": "BRUNE_COOLDOWN_MINUTES",
        "new_value": 30,
        "old_value": null,
        "reason": "initial value, from the catalog default",
        "request_id": "[request]",
        "revision": 1,
        "version": 1
      }
    ]
    "#
    );
    let ids: std::collections::HashSet<_> = all.iter().map(|entry| entry["id"].as_str()).collect();
    assert_eq!(ids.len(), 14);
}

#[tokio::test]
async fn each_filter_selects_its_entries() {
    let app = lived_in().await;
    for (query, expected) in [
        ("key=BRUNE_MAX_SESSIONS_PER_DAY&changed_by=ana", &["r-3"][..]),
        ("changed_by=bob", &["r-2"]),
        ("changed_by=ana", &["r-5", "r-3", "r-1"]),
        ("action=update", &["r-3", "r-2", "r-1"]),
        ("action=rollback", &["r-5"]),
        ("action=refused", &["r-4"]),
        ("request_id=r-2", &["r-2"]),
        ("action=update&changed_by=ana&key=BRUNE_COOLDOWN_MINUTES", &["r-1"]),
        ("revision=3", &["r-2"]),
        ("revision=5&key=BRUNE_COOLDOWN_MINUTES", &["r-5"]),
        ("revision=5&changed_by=bob", &[]),
        ("revision=99", &[]),
        ("action=import", &[]),
        ("action=reset", &[]),
        ("action=secret_cleanup", &[]),
        ("changed_by=an", &[]),
        ("changed_by=' or true --", &[]),
    ] {
        let query_sent = query.replace(' ', "+");
        assert_eq!(requests(&app, &query_sent).await, expected, "{query}");
    }
    assert_eq!(entries(&app.instance, "action=seed").await.len(), 9);
    assert_eq!(entries(&app.instance, "revision=1").await.len(), 9);
    let of_config = read(&app.instance, "/admin/config/audit?revision=2").await.ok();
    assert_eq!(of_config["entries"][0]["request_id"], "r-1");
    assert_eq!(of_config["entries"].as_array().unwrap().len(), 1);
    assert_eq!(entries(&app.instance, "key=BRUNE_COOLDOWN_MINUTES").await.len(), 4);
}

#[tokio::test]
async fn time_bounds_are_inclusive() {
    let app = lived_in().await;
    let all = entries(&app.instance, "").await;
    let time = |at: usize| all[at]["changed_at"].as_str().unwrap().to_owned();
    let newest = time(0);
    let second = time(3);
    assert_eq!(requests(&app, &format!("since={newest}")).await, ["r-5"]);
    assert_eq!(requests(&app, &format!("since={second}")).await, ["r-5", "r-4", "r-3", "r-2"]);
    assert_eq!(requests(&app, &format!("since={second}&until={second}")).await, ["r-2"]);
    assert_eq!(entries(&app.instance, &format!("until={second}")).await.len(), 11);
    assert_eq!(requests(&app, &format!("since={newest}&until={second}")).await, [""; 0]);
    assert_eq!(requests(&app, "since=2999-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(requests(&app, "until=2000-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(entries(&app.instance, "since=2000-01-01T00:00:00Z").await.len(), 14);
    assert_eq!(entries(&app.instance, "until=2999-01-01T00:00:00Z").await.len(), 14);
}

#[tokio::test]
async fn an_entry_is_found_by_its_id() {
    let app = lived_in().await;
    for entry in entries(&app.instance, "").await {
        let path = format!("{HISTORY}/{}", entry["id"].as_str().unwrap());
        assert_eq!(read(&app.instance, &path).await.ok(), entry);
    }
    for id in ["00000000-0000-0000-0000-000000000000", "7", "r-1", "timelines"] {
        read(&app.instance, &format!("{HISTORY}/{id}")).await.problem(404, "not_found");
    }
    let path = format!("{HISTORY}/timeline/?x=1");
    assert_eq!(read(&app.instance, &path).await.status, 404);
}

#[tokio::test]
async fn an_entry_with_an_action_of_a_newer_release_is_listed_and_verified() {
    let app = lived_in().await;
    // What a migration of a newer release does, while instances of this release still run.
    let newer = "alter table app_global_setting_audit drop constraint app_global_setting_audit_action_check;
        alter table app_global_setting_audit disable trigger app_global_setting_audit_is_true;
        insert into app_global_setting_audit (key, action, changed_by, reason)
        values ('(other)', 'ceremony', 'ada', 'of a newer release')";
    sqlx::raw_sql(newer).execute(&app.db.admin()).await.unwrap();
    let newest = entries(&app.instance, "").await.remove(0);
    assert_eq!((&newest["action"], &newest["key"]), (&json!("ceremony"), &json!("(other)")));
    let path = format!("{HISTORY}/{}", newest["id"].as_str().unwrap());
    assert_eq!(read(&app.instance, &path).await.ok(), newest);
    read(&app.instance, &format!("{HISTORY}/timeline")).await.ok();
    app.instance.change(&[(PER_DAY, json!(6), 2)]).await.ok();
    let verified = read(&app.instance, "/admin/audit/verify").await.ok();
    assert_eq!(verified["breaks"], json!([]), "{verified}");
}

async fn page(app: &TestApp, query: &str) -> (Vec<Value>, Option<String>) {
    let page = read(&app.instance, &format!("{HISTORY}?{query}")).await.ok();
    let cursor = page["next_cursor"].as_str().map(str::to_owned);
    (page["entries"].as_array().unwrap().clone(), cursor)
}

async fn change_often(app: &TestApp, versions: std::ops::RangeInclusive<i64>) {
    for version in versions {
        let change = json!([{"key": COOLDOWN, "value": version, "version": version}]);
        patch(&app.instance, &change).send().await.ok();
    }
}

#[tokio::test]
async fn pages_are_contiguous_while_entries_are_added() {
    let app = TestApp::new().await;
    change_often(&app, 1..=110).await;
    let expected: Vec<i64> = (1..=111).rev().collect();
    for (limit, filter) in [("", 50), ("&limit=7", 7), ("&limit=1", 1)].map(|(it, n)| (n, it)) {
        let query = format!("key={COOLDOWN}{filter}");
        let mut results = Vec::new();
        let mut cursor = None::<String>;
        let mut grown = 0;
        loop {
            let next = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let (entries, following) = page(&app, &format!("{query}{next}")).await;
            assert!(entries.len() <= limit);
            results.extend(entries.iter().map(|entry| entry["version"].as_i64().unwrap()));
            let Some(following) = following else { break };
            assert_eq!(entries.len(), limit);
            cursor = Some(following);
            if grown < 3 {
                grown += 1;
                let change_reply = super::value_of(&app, COOLDOWN).await.1;
                change_often(&app, change_reply..=change_reply).await;
            }
        }
        let newest = results[0];
        assert_eq!(results, (1..=newest).rev().collect::<Vec<_>>());
        assert!(results.ends_with(&expected));
    }
}

#[tokio::test]
async fn a_full_last_page_has_no_cursor() {
    let app = TestApp::new().await;
    assert_eq!(page(&app, "limit=9").await.1, None);
    let (eight, cursor) = page(&app, "limit=8").await;
    assert_eq!(eight.len(), 8);
    let (last, none) = page(&app, &format!("limit=8&cursor={}", cursor.unwrap())).await;
    assert_eq!((last.len(), none), (1, None));
}

#[tokio::test]
async fn a_page_has_fifty_entries_by_default() {
    let app = TestApp::new().await;
    change_often(&app, 1..=195).await;
    assert_eq!(page(&app, "").await.0.len(), 50);
    assert_eq!(page(&app, "limit=1").await.0.len(), 1);
    let (entries, cursor) = page(&app, "limit=200").await;
    assert_eq!((entries.len(), cursor.is_some()), (200, true));
}

#[tokio::test]
async fn a_cursor_of_other_filters_is_rejected() {
    let app = TestApp::new().await;
    let cursor = page(&app, "limit=2&action=seed").await.1.unwrap();
    page(&app, &format!("limit=5&action=seed&cursor={cursor}")).await;
    let made_up = ["AAAA", "1", "AAAAAAAAAAUAAAAAAAA", "not-a-cursor", "%20", "9007199254740991"];
    let tampered = format!("{}A", &cursor[..cursor.len() - 1]);
    let mut queries = made_up.map(|cursor| format!("cursor={cursor}")).to_vec();
    queries.extend([
        format!("cursor={cursor}"),
        format!("action=update&cursor={cursor}"),
        format!("action=seed&key={COOLDOWN}&cursor={cursor}"),
        format!("action=seed&since=2000-01-01T00:00:00Z&cursor={cursor}"),
    ]);
    if tampered != cursor {
        queries.push(format!("action=seed&cursor={tampered}"));
    }
    for query in queries {
        let problem = read(&app.instance, &format!("{HISTORY}?{query}")).await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(faults(&problem), at([("?cursor", "not_a_cursor")]), "{query}");
    }
}

#[tokio::test]
async fn invalid_filters_are_all_reported() {
    let app = TestApp::new().await;
    for (query, place, code) in [
        ("limit=0", "?limit", "out_of_range"),
        ("limit=201", "?limit", "out_of_range"),
        ("limit=-1", "?limit", "out_of_range"),
        ("limit=ten", "?limit", "out_of_range"),
        ("action=delete", "?action", "not_a_choice"),
        ("since=2026-02-30T00:00:00Z", "?since", "not_a_time"),
        ("until=today", "?until", "not_a_time"),
        ("key=", "?key", "empty"),
        ("key=a%00b", "?key", "forbidden_character"),
        ("cursor=a%0Ab", "?cursor", "forbidden_character"),
        ("user=ana", "?user", "unknown_parameter"),
        ("revision=0", "?revision", "out_of_range"),
        ("revision=r7", "?revision", "out_of_range"),
        ("key=A&key=B", "?key", "repeated"),
    ] {
        let problem = read(&app.instance, &format!("{HISTORY}?{query}")).await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(faults(&problem), at([(place, code)]), "{query}");
    }
    let all = "limit=0&action=x&since=y&until=z&cursor=c&nope=1";
    let problem = read(&app.instance, &format!("{HISTORY}?{all}")).await;
    assert_eq!(faults(&problem.problem(400, "malformed_request")).len(), 6);
}
