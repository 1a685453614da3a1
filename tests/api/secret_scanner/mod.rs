//! Secrets that are sent where settings belong: refused on every way in, on the trail without what was sent,
//! and nowhere else.

mod catalogs;
mod false_positives;
mod formats;
mod known_secrets;
mod locked_keys;
mod refusals;
mod samples;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    settings::entries,
    support::{Instance, Reply},
};

/// A list whose items may be any text.
const LEVELS: &str = "BRUNE_ELIGIBILITY_ALLOWED_LEVELS";

/// Every row of every table, as text, by table.
struct Dump(Vec<(String, String)>);

impl Dump {
    async fn of(pool: &PgPool) -> Self {
        let all =
            "select table_name::text from information_schema.tables where table_schema = 'public'";
        let tables: Vec<String> = sqlx::query_scalar(all).fetch_all(pool).await.unwrap();
        assert!(tables.len() > 5, "{tables:?}");
        let mut dump = Vec::new();
        for table in tables {
            let sql = format!("select coalesce(string_agg(it::text, ' '), '') from {table} it");
            let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap();
            dump.push((table, rows));
        }
        Self(dump)
    }

    /// The tables in which `word` stands anywhere.
    fn places(&self, word: &str) -> Vec<&str> {
        let actual = self.0.iter().filter(|(_, rows)| rows.contains(word));
        actual.map(|(table, _)| table.as_str()).collect()
    }
}

/// The tables of the database in which `word` stands anywhere.
async fn places(pool: &PgPool, word: &str) -> Vec<String> {
    Dump::of(pool).await.places(word).into_iter().map(str::to_owned).collect()
}

/// The trail of what was refused, newest first.
async fn refused(instance: &Instance) -> Vec<Value> {
    entries(instance, "action=refused").await
}

/// How many entries of the trail tell of an attempt on `key`.
async fn refusals_of(pool: &PgPool, key: &str) -> i64 {
    let sql = "select count(*) from app_global_setting_audit where action = 'refused' and key = $1
        and old_value_json is null and new_value_json is null and version is null";
    sqlx::query_scalar(sql).bind(key).fetch_one(pool).await.unwrap()
}

/// Holds an answer to telling nothing of `word`.
#[track_caller]
fn tells_nothing_of(reply: &Reply, word: &str) {
    let headers = format!("{:?}", reply.headers);
    assert!(!reply.text.contains(word) && !headers.contains(word), "{headers} {}", reply.text);
}

/// What nobody has ever written before: 32 hexadecimal digits.
fn core() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
