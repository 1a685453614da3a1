//! The secret of a revision before its commit: out of reach of every session, and of another one in every copy.

use std::process::Stdio;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    COOLDOWN, VERSION, applied, assert_as_loaded,
    payload::{Content, Listener, notify},
    reads, set_version, update,
};
use crate::support::{
    Instance, TestApp, TestDb, programs::need, psql, wait::no_hang, wait::wait_until,
};

/// Settings of a session that make the server send more of what runs inside of functions.
const TALKATIVE: &str = "set client_min_messages = debug5; set plan_cache_mode = force_custom_plan;
    set debug_pretty_print = off; set debug_print_parse = on; set debug_print_rewritten = on; set debug_print_plan = on;
    set trace_notify = on; set plpgsql.print_strict_params = on; set plpgsql.extra_errors = 'all';
    set plpgsql.extra_warnings = 'all'; set log_parameter_max_length_on_error = -1; set bytea_output = hex;";

/// Returns everything that a session with the service's role receives during a change that is rolled back, with the bytes
/// of constants in plans as text.
async fn transcript(db: &TestDb) -> String {
    need("command -v psql");
    let change = update(VERSION, r#""2""#);
    let end = "set constraints all immediate; rollback;";
    let script = format!("{TALKATIVE} load 'plpgsql'; begin; {change} {end}");
    let mut psql = Command::new("psql")
        .args(["-X", "-v", "VERBOSITY=verbose", &db.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = psql.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).await.unwrap();
    drop(stdin);
    let output = no_hang("psql ends", psql.wait_with_output()).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("ROLLBACK"), "{text}");
    let constants: Vec<u8> = text.split('[').flat_map(bytes_of_constant).collect();
    format!("{text}\n{}\n{}", hex(&constants), String::from_utf8_lossy(&constants))
}

/// Returns the bytes before the next `]`, as plans list the bytes.
fn bytes_of_constant(text: &str) -> Vec<u8> {
    let list = text.split(']').next().unwrap_or_default();
    let byte = |number: &str| number.parse::<i16>().ok().and_then(|n| u8::try_from(n & 255).ok());
    list.split_whitespace().map(byte).collect::<Option<_>>().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Whether `text` contains Base64 as long as a payload.
fn has_payload(text: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    let is_mixed = |word: &str| word.contains(|c: char| c.is_ascii_uppercase());
    text.split(|c| !is_base64(c)).any(|word| word.len() > 200 && is_mixed(word))
}

/// The seed and the secret of revision 2, in hexadecimal.
async fn secrets(db: &TestDb) -> (String, String) {
    let sql = "select seed, sha256(seed || brune_notification_origin() || int8send(2)), next_digest
        from brune_notification_seed, app_global_setting_head";
    let (seed, secret, digest): (Vec<u8>, Vec<u8>, Vec<u8>) =
        sqlx::query_as(sql).fetch_one(&db.owner()).await.unwrap();
    assert_eq!(Sha256::digest(&secret).to_vec(), digest);
    (hex(&seed), hex(&secret))
}

#[tokio::test]
async fn no_session_learns_a_secret_before_the_commit() {
    let app = TestApp::new().await;
    let (seed, secret) = secrets(&app.db).await;
    let text = transcript(&app.db).await;
    for secret in [&seed, &secret] {
        assert!(!text.contains(secret.as_str()));
    }
    assert!(!has_payload(&text));
    // The same session learns the payload of a function without its settings.
    let name = "app_global_setting_head_notifies()";
    let weaken = format!(
        "alter function {name} reset plan_cache_mode; alter function {name} reset client_min_messages;
         alter function {name} reset debug_print_plan"
    );
    app.db.owner().execute(AssertSqlSafe(weaken)).await.unwrap();
    assert!(has_payload(&transcript(&app.db).await), "the test finds no payload");
}

#[tokio::test]
async fn a_secret_belongs_to_one_start_of_the_server_and_one_database() {
    let app = TestApp::new().await;
    let origin = "select brune_notification_origin() = timestamptz_send(pg_postmaster_start_time())
        || oidsend((select oid from pg_database where datname = current_database()))";
    let is_complete: bool = sqlx::query_scalar(origin).fetch_one(&app.db.pool()).await.unwrap();
    assert!(is_complete);
    // After a restart of the server, the published digest is of another origin.
    let restarted = "alter table app_global_setting_head disable trigger user;
        update app_global_setting_head
          set digest_origin = timestamptz_send(pg_postmaster_start_time() - interval '1 day') || substr(digest_origin, 9);
        alter table app_global_setting_head enable trigger user";
    app.db.admin().execute(sqlx::raw_sql(restarted)).await.unwrap();
    let other = Instance::builder(app.db.own_pool().await).start().await;
    for (revision, applied_changes) in [(2, 0), (3, 1)] {
        set_version(&app, &revision.to_string(), revision).await;
        other.wait_for_revision(revision).await;
        assert_eq!(applied(&other).await, applied_changes, "{revision}");
    }
}

/// The copy has the seed, the key, the revision and the digest of the original.
#[tokio::test]
async fn a_notification_of_the_original_is_not_applied_in_a_copy_of_the_database() {
    let original = TestApp::new().await;
    set_version(&original, "2", 2).await;
    let TestApp { db: original, instance } = original;
    // Its connections would prevent the copy.
    drop(instance);
    let copy = original.copy().await;
    let instance = Instance::builder(copy.own_pool().await).start().await;
    let mut listener = Listener::open(&original).await;
    psql::set(&original.pool(), COOLDOWN, "45").await;
    let payload = listener.next().await;
    let genuine = payload.decrypt(&original.pool()).await;
    let mut change = genuine.change.clone();
    change["settings"][0]["value"] = json!(50);
    let forged = Content { change, ..genuine };
    for text in [payload.text, forged.encrypt(&copy.pool()).await] {
        let reads_before = reads(&instance).await;
        notify(&copy.pool(), &text).await;
        let has_read = async || reads(&instance).await > reads_before;
        wait_until("the database is read", has_read).await;
    }
    assert_eq!((instance.settings.revision(), applied(&instance).await), (2, 0));
    let copied = TestApp { db: copy, instance };
    set_version(&copied, "3", 3).await;
    set_version(&copied, "4", 4).await;
    assert!(applied(&copied.instance).await >= 1);
    assert_as_loaded(&copied).await;
}
