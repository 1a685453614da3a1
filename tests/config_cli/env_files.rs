//! `.env` files of the shape that well-known services have, as a first start and as an import.

use crate::service::{Room, Run, Service, run, with_database};
use crate::support::TestDb;

const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";

const FILES: [(&str, &str); 5] = [
    ("backend_platform", include_str!("env_files/backend_platform.env")),
    ("wiki", include_str!("env_files/wiki.env")),
    ("calendar", include_str!("env_files/calendar.env")),
    ("tracing", include_str!("env_files/tracing.env")),
    ("chat", include_str!("env_files/chat.env")),
];

/// The file with a setting of ours at its end.
fn with_a_setting(text: &str) -> String {
    format!("{text}\n{COOLDOWN}=45\n")
}

/// The values of `text` that nobody may see again: those of its passwords, keys and addresses.
fn secrets(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let entries = lines.filter_map(|line| line.split_once('='));
    let secret = ["PASSWORD", "SECRET", "KEY", "DATABASE_URL"];
    let of_secrets = entries.filter(move |(name, _)| secret.iter().any(|part| name.contains(part)));
    let values = of_secrets.map(|(_, value)| value.trim_matches(['\'', '"', ' ']));
    values.filter(|value| value.len() > 7)
}

#[track_caller]
fn gives_nothing_away(name: &str, text: &str, run: &Run) {
    let printed = format!("{}{}", run.out, run.err);
    for secret in secrets(text) {
        assert!(!printed.contains(secret), "{name}: {secret} is in {printed}");
    }
}

#[tokio::test]
async fn an_env_file_is_imported_without_unknown_keys() {
    let service = Service::start().await;
    for (name, text) in FILES {
        let file = format!("{name}.env");
        service.room.write(&file, &with_a_setting(text));
        let import = ["import", &file, "-r", "moving in", "-y"];
        let output = service.config(&import);
        gives_nothing_away(name, text, &output);
        output.ends(1, "--skip-unknown");
        let dry = service.config(&["import", &file, "--dry-run", "--skip-unknown"]);
        gives_nothing_away(name, text, &dry);
        let dry = dry.ends(0, "");
        let rows = dry.rows();
        let class = |key: &str| rows.iter().find(|row| row[0] == key).map(|row| row[1]);
        assert_eq!(class(COOLDOWN), Some("change"), "{dry:#?}");
        for own in ["DATABASE_URL", "POSTGRES_PASSWORD", "NODE_ENV", "REDIS_URL", "LOG_LEVEL"] {
            let stands = text.lines().any(|line| line.starts_with(&format!("{own}=")));
            assert_eq!(class(own), stands.then_some("locked"), "{name} {own}");
        }
        let outcome = service.config(&[&import[..], &["--skip-unknown"]].concat());
        gives_nothing_away(name, text, &outcome);
        outcome.ends(0, "1 setting changed");
        service.config(&["reset", COOLDOWN, "-r", "the next one"]).ends(0, "");
    }
}

#[tokio::test]
async fn a_first_start_reads_its_keys_from_an_env_file_or_reports_why_not() {
    for (name, text) in FILES {
        let db = TestDb::new().await;
        let database = db.owner_url();
        let room = Room::new();
        room.write(".env", &with_a_setting(text));
        let migrated = run(with_database(&mut room.command(&["migrate"]), &database));
        gives_nothing_away(name, text, &migrated);
        // Half an address of a database, or two of them, are nothing to guess at.
        let reason = match name {
            "backend_platform" => Some("POSTGRES_USER: is required with the other"),
            "chat" => Some("DATABASE_URL: conflicts with the POSTGRES_* variables"),
            _ => None,
        };
        if let Some(reason) = reason {
            migrated.ends(1, &format!("1 configuration error:\n  {reason}"));
            continue;
        }
        migrated.ends(0, "");
        let value: i64 = sqlx::query_scalar(
            "select value_json::text::bigint from app_global_settings where key = $1",
        )
        .bind(COOLDOWN)
        .fetch_one(&db.pool())
        .await
        .unwrap();
        assert_eq!(value, 45, "{name}");
    }
}

#[tokio::test]
async fn a_multi_line_key_in_an_env_file_is_one_error() {
    let service = Service::start().await;
    let key = format!("-----BEGIN KEY-----\n{}-----END KEY-----", "QUJDREVGR0g=\n".repeat(19));
    let text = format!("{COOLDOWN}=45\nPRIVATE_KEY=\"{key}\"\nAPP_NAME=shop\n");
    service.room.write("keys.env", &text);
    let output = service.config(&["import", "keys.env", "--dry-run", "--skip-unknown"]);
    let output = output.ends(1, "lines 2 to 22: the quoted value spans several lines");
    assert_eq!(output.err.lines().count(), 1, "{output:#?}");
    let db = TestDb::new().await;
    let room = Room::new();
    room.write(".env", &text);
    let database = {
        use sqlx::ConnectOptions as _;
        db.options().to_url_lossy().to_string()
    };
    let migrated = run(with_database(&mut room.command(&["migrate"]), &database));
    assert!(!migrated.err.contains("QUJDREVG"), "{migrated:#?}");
    let faults = migrated.err.matches("spans several lines").count();
    assert_eq!((migrated.code != 0, faults), (true, 1), "{migrated:#?}");
}
