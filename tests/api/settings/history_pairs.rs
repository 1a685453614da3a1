//! The history with two filters at once.

use serde_json::Value;

use super::{COOLDOWN, HISTORY, read};
use crate::support::{TestApp, psql};

/// A hundred and twenty versions of a key: the early ones and every third of ana's, the others of bob's imports; and two
/// refused attempts of ana's.
async fn long_lived() -> TestApp {
    let app = TestApp::new().await;
    let versions = format!(
        "do $$ begin
           for number in 2..120 loop
             update app_global_settings set value_json = to_jsonb(number), version = number,
               updated_by = case when number < 20 or number % 3 = 0 then 'ana' else 'bob' end
             where key = '{COOLDOWN}';
             insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
             select key, case updated_by when 'ana' then 'update' else 'import' end, value_json, version, updated_by,
               'by hand' from app_global_settings where key = '{COOLDOWN}';
             if number % 60 = 0 then
               insert into app_global_setting_audit (key, action, changed_by, reason)
               values ('{COOLDOWN}', 'refused', 'ana', 'by hand');
             end if;
           end loop;
         end $$"
    );
    psql::run(&app.db.pool(), versions).await;
    app
}

/// The versions of the entries that match `query`, in pages of `limit`; -1 for entries without a version.
async fn versions(app: &TestApp, query: &str, limit: usize) -> Vec<i64> {
    let mut versions = Vec::new();
    let mut cursor = String::new();
    loop {
        let (entries, next) = page(app, &format!("{query}&limit={limit}{cursor}")).await;
        versions.extend(entries.iter().map(|entry| entry["version"].as_i64().unwrap_or(-1)));
        let Some(next) = next else { return versions };
        assert_eq!(entries.len(), limit);
        cursor = format!("&cursor={next}");
    }
}

// The indexes of two filters omit the first hundred versions of a key.
#[tokio::test]
async fn two_filters_find_the_early_and_the_late_entries_of_a_key() {
    let app = long_lived().await;
    let mut by_ana = Vec::new();
    for version in (2..=120).rev().filter(|version| *version < 20 || version % 3 == 0) {
        if version % 60 == 0 {
            by_ana.push(-1);
        }
        by_ana.push(version);
    }
    let updates: Vec<i64> = by_ana.iter().copied().filter(|version| *version > 0).collect();
    let imports: Vec<i64> = (20..=120).rev().filter(|version| version % 3 != 0).collect();
    for (filter, expected) in [
        ("changed_by=ana", by_ana),
        ("action=update", updates.clone()),
        ("changed_by=ana&action=update", updates),
        ("changed_by=bob", imports.clone()),
        ("action=import", imports),
        ("changed_by=ana&action=import", Vec::new()),
        ("changed_by=ana&action=refused", vec![-1, -1]),
        ("action=refused", vec![-1, -1]),
    ] {
        for limit in [7, 200] {
            let query = format!("key={COOLDOWN}&{filter}");
            assert_eq!(versions(&app, &query, limit).await, expected, "{filter}, {limit}");
            // Nobody else has changed a key as ana or bob, so the pair selects the same entries without the key.
            if filter.contains('&') {
                assert_eq!(versions(&app, filter, limit).await, expected, "{filter}, {limit}");
            }
        }
        let path = format!("{HISTORY}/timeline?key={COOLDOWN}&{filter}");
        let timeline = read(&app.instance, &path).await.ok();
        let buckets = timeline["buckets"].as_array().unwrap().iter();
        let counts = buckets.flat_map(|bucket| bucket["counts"].as_object().unwrap().values());
        let total: u64 = counts.map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(total, expected.len() as u64, "{filter}");
        // The timeline starts with the oldest matching entry.
        if let Some(oldest) = oldest_at(&app, &format!("key={COOLDOWN}&{filter}")).await {
            assert_eq!(timeline["since"], oldest, "{filter}");
        }
    }
}

/// The time of the oldest of up to 200 entries that match `query`.
async fn oldest_at(app: &TestApp, query: &str) -> Option<Value> {
    let (entries, _) = page(app, &format!("{query}&limit=200")).await;
    entries.last().map(|entry| entry["changed_at"].clone())
}

async fn page(app: &TestApp, query: &str) -> (Vec<Value>, Option<String>) {
    let page = read(&app.instance, &format!("{HISTORY}?{query}")).await.ok();
    let cursor = page["next_cursor"].as_str().map(str::to_owned);
    (page["entries"].as_array().unwrap().clone(), cursor)
}
