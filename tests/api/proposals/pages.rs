//! The list of many proposals.

use serde_json::{Value, json};

use super::{COOLDOWN, PROPOSALS, get, protected};
use crate::support::{Instance, TestApp, admin, psql, wait::wait_until};

/// Inserts 10,000 proposals, of which the newest 100 are open. Triggers would take minutes.
async fn fill(app: &TestApp) {
    let sql = format!(
        "insert into brune_proposal (id, number, state, edition, created_by, created_at, ended_by, end_reason, ended_at)
         select md5(n::text)::uuid, n, case when n > 9900 then 'open' else 'withdrawn' end, 1,
           'author-' || n % 50, now(), case when n <= 9900 then 'ana' end, case when n <= 9900 then 'over' end,
           case when n <= 9900 then now() end
         from generate_series(1, 10000) n;
         insert into brune_proposal_edition (proposal, edition, written_by, reason, edits, plan, digest, written_at)
         select id, 1, created_by, 'reads better',
           jsonb_build_object(case when number = 7 then 'RARE' else '{COOLDOWN}' end,
             jsonb_build_object('value', number % 200, 'version', 1)), '{{}}', '', now()
         from brune_proposal"
    );
    change_rows(app, &sql).await;
}

/// Runs `sql` without triggers.
async fn change_rows(app: &TestApp, sql: &str) {
    // Without the last statement, the rows read here would be reported later, and counted as those of a request.
    let sql = format!(
        "set session_replication_role = replica; {sql}; set session_replication_role = origin; analyze;
         select pg_stat_force_next_flush()"
    );
    let mut connection = app.db.admin().acquire().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
}

/// Rows and index entries of the tables of proposals that all sessions have read so far.
const READS: &str = "select (sum(seq_tup_read) + sum(coalesce(idx_tup_fetch, 0)))::bigint
    from pg_stat_user_tables where relname like 'brune_proposal%'";

#[tokio::test]
async fn a_page_of_many_proposals_reads_few_rows() {
    let app = protected().await;
    fill(&app).await;
    let numbers = |page: &Value| {
        let proposals = page["proposals"].as_array().unwrap();
        proposals.iter().map(|proposal| proposal["number"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    for (query, first, count) in [
        ("", Some(10_000), 50),
        ("state=open", Some(10_000), 50),
        ("state=applied", None, 0),
        ("state=withdrawn", Some(9_900), 50),
        ("by=author-7", Some(9_957), 50),
        ("by=nobody", None, 0),
        ("by=author-7&state=open", Some(9_957), 2),
        ("waiting_for_me=true", Some(10_000), 50),
        ("waiting_for_me=true&limit=200", Some(10_000), 98),
        (&format!("key={COOLDOWN}"), Some(10_000), 50),
        ("limit=200", Some(10_000), 200),
        ("state=withdrawn&limit=200", Some(9_900), 200),
        ("by=author-7&limit=200", Some(9_957), 200),
        ("key=RARE", Some(7), 1),
        ("key=UNKNOWN", None, 0),
        (&format!("key={COOLDOWN}&state=open"), Some(10_000), 50),
    ] {
        let before = reads(&app).await;
        let call = app.instance.get(&format!("{PROPOSALS}?{query}")).bearer(&admin("author-9"));
        let page = numbers(&call.send().await.ok());
        assert_eq!((page.first().copied(), page.len()), (first, count), "{query}");
        let rows = reads(&app).await - before;
        assert!(rows <= 1_500, "{query}: {rows} rows were read");
    }
    let before = reads(&app).await;
    let shown = super::find(&app.instance, 10_000).await;
    let listed = shown["overlaps"].as_array().unwrap().len();
    assert_eq!((listed, &shown["overlap_count"]), (50, &json!(99)));
    let rows = reads(&app).await - before;
    assert!(rows <= 1_500, "a proposal: {rows} rows were read");
}

/// Returns [`READS`] after all sessions of the instance have reported.
async fn reads(app: &TestApp) -> i64 {
    // A session that ends reports everything; the pool opens the next.
    psql::end_sessions(&app.db.admin(), "application_name = 'brune' and query not like 'listen%'")
        .await;
    psql::count(&app.db.admin(), READS).await
}

#[tokio::test]
async fn pages_of_a_filter_continue_where_they_end() {
    let app = protected().await;
    fill(&app).await;
    let filter = format!("{PROPOSALS}?state=open&key={COOLDOWN}&limit=60");
    let first = get(&app.instance, &filter).send().await.ok();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = get(&app.instance, &format!("{filter}&cursor={cursor}")).send().await.ok();
    assert_eq!(first["proposals"][59]["number"], 9_941);
    assert_eq!(second["proposals"][0]["number"], 9_940);
    assert_eq!(
        (second["proposals"].as_array().unwrap().len(), &second["next_cursor"]),
        (40, &json!(null))
    );
}

#[tokio::test]
async fn an_emergency_waits_for_everybody_but_its_authors() {
    let app = protected().await;
    let number = super::propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    super::approve(&app.instance, "ben", number).await.ok();
    let objection = json!({"edition": 1, "verdict": "object", "note": "too long"});
    super::judge(&app.instance, "cleo", number, objection).await.ok();
    let path = format!("{PROPOSALS}/{number}/apply?emergency=true");
    let body = json!({"edition": 1, "reason": "users cannot start"});
    super::post(&app.instance, "dora", &path, &body).await.ok();
    let waiting = format!("{PROPOSALS}?waiting_for_me=true");
    for (person, count) in
        [("ana", 0), ("ben", 1), ("cleo", 1), ("dora", 0), ("DORA", 0), ("eve", 1)]
    {
        let list = app.instance.get(&waiting).bearer(&admin(person)).send().await.ok();
        assert_eq!(list["proposals"].as_array().unwrap().len(), count, "{person}");
    }
    let seen = json!({"edition": 1, "verdict": "acknowledge"});
    super::judge(&app.instance, "ben", number, seen).await.ok();
    let list = app.instance.get(&waiting).bearer(&admin("eve")).send().await.ok();
    assert_eq!(list["proposals"], json!([]));
}

/// Turns 9,000 of the closed proposals of [`fill`] into acknowledged emergencies, one into an emergency that waits, and
/// closes all open proposals but two.
async fn fill_emergencies(app: &TestApp) {
    let sql = "update brune_proposal set state = 'applied', bypassed_by = 'ana', applied_revision = 100000 + number,
           is_acknowledged = number <> 9000 where number <= 9000;
         insert into brune_proposal_verdict (proposal, edition, seq, given_by, verdict, digest, given_at)
         select id, 1, 1, 'ben', 'acknowledge', '', now() from brune_proposal where is_acknowledged;
         insert into brune_proposal_reminder (proposal, sent_at)
         select id, now() - interval '2 days' from brune_proposal where bypassed_by is not null;
         update brune_proposal set state = 'withdrawn', ended_by = 'ana', end_reason = 'over', ended_at = now()
           where state = 'open' and number > 9902";
    change_rows(app, sql).await;
}

#[tokio::test]
async fn acknowledged_emergencies_are_not_read_again() {
    let app = protected().await;
    fill(&app).await;
    fill_emergencies(&app).await;
    let before = reads(&app).await;
    let waiting = get(&app.instance, &format!("{PROPOSALS}?waiting_for_me=true"));
    let list = waiting.send().await.ok();
    let numbers: Vec<_> =
        list["proposals"].as_array().unwrap().iter().map(|row| row["number"].clone()).collect();
    assert_eq!(numbers, [json!(9902), json!(9901), json!(9000)]);
    let rows = reads(&app).await - before;
    assert!(rows <= 300, "the list: {rows} rows were read");
    let before = reads(&app).await;
    assert_eq!(app.instance.remind_of_emergencies().await, [9000]);
    let rows = reads(&app).await - before;
    assert!(rows <= 300, "the reminders: {rows} rows were read");
    let mut watching = Instance::builder(app.db.pool()).start().await;
    let before = reads(&app).await;
    watching.watch_proposals();
    let count = "brune_emergencies_unacknowledged";
    wait_until("the count", async || watching.metric(count).await == 1).await;
    let rows = reads(&app).await - before;
    assert!(rows <= 300, "the counts: {rows} rows were read");
}

#[tokio::test]
async fn only_a_verdict_acknowledges() {
    let app = protected().await;
    let number = super::propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let path = format!("{PROPOSALS}/{number}/apply?emergency=true");
    let body = json!({"edition": 1, "reason": "users cannot start"});
    super::post(&app.instance, "ana", &path, &body).await.ok();
    let acknowledge = "update brune_proposal set is_acknowledged = true";
    let refused = sqlx::raw_sql(acknowledge).execute(&app.db.pool()).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
    let refused = sqlx::raw_sql(acknowledge).execute(&app.db.owner()).await.unwrap_err();
    assert!(refused.to_string().contains("cannot become"), "{refused}");
    let seen = json!({"edition": 1, "verdict": "acknowledge"});
    super::judge(&app.instance, "ben", number, seen.clone()).await.ok();
    super::judge(&app.instance, "cleo", number, seen).await.ok();
    let acknowledged = "select count(*) from brune_proposal where is_acknowledged";
    assert_eq!(psql::count(&app.db.admin(), acknowledged).await, 1);
    let undo = "update brune_proposal set is_acknowledged = false";
    let refused = sqlx::raw_sql(undo).execute(&app.db.owner()).await.unwrap_err();
    assert!(refused.to_string().contains("cannot become"), "{refused}");
}

#[tokio::test]
async fn a_page_counts_the_verdicts_of_the_current_edition() {
    let app = protected().await;
    let both = [(COOLDOWN, json!(45), 1), (super::PROMPT, json!("2"), 1)];
    let number = super::propose(&app.instance, "ana", &both).await;
    super::approve(&app.instance, "ben", number).await.ok();
    let objection = json!({"edition": 1, "verdict": "object", "note": "too long"});
    super::judge(&app.instance, "cleo", number, objection).await.ok();
    let summary = async || get(&app.instance, PROPOSALS).send().await.ok()["proposals"][0].clone();
    let counts = |row: &Value| ["needed", "approvals", "objections"].map(|name| row[name].as_i64());
    assert_eq!(counts(&summary().await), [Some(2), Some(1), Some(1)]);
    // The newest verdict of a person counts.
    super::approve(&app.instance, "cleo", number).await.ok();
    assert_eq!(counts(&summary().await), [Some(2), Some(2), Some(0)]);
    let body = super::proposal(&[(COOLDOWN, json!(50), 1)]);
    super::edit(&app.instance, "ana", number, 1, &body).await.ok();
    let row = summary().await;
    assert_eq!(counts(&row), [Some(1), Some(0), Some(0)]);
    assert_eq!((&row["failure"], &row["acknowledged"]), (&json!(null), &json!(false)));

    let path = format!("{PROPOSALS}/{number}/apply?emergency=true");
    super::post(
        &app.instance,
        "ana",
        &path,
        &json!({"edition": 2, "reason": "users cannot start"}),
    )
    .await
    .ok();
    let seen = json!({"edition": 2, "verdict": "acknowledge"});
    super::judge(&app.instance, "ben", number, seen).await.ok();
    assert_eq!(summary().await["acknowledged"], true);
}
