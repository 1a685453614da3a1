//! Secrets, first values, and what was stored before there were rules.

use reqwest::Method;
use serde_json::json;

use super::{catalog, in_env};
use crate::support::{TestApp, TestDb, binary::Home, psql};

/// A secret as it may come, and whether it is one; if so, without the line end behind it.
const SECRETS: [(&str, bool); 16] = [
    ("a secret of thirty-two bytes, 01", true),
    ("a secret of thirty-two bytes, 01\na secret of thirty-two bytes, 02", true),
    ("a secret of thirty-two bytes, 01\r\na secret of thirty-two bytes, 02\r\n", true),
    ("a secret of thirty-two bytes, 01\n", true),
    ("a\tsecret of thirty-two bytes, 01", true),
    ("ação ação ação ação ação ação ação 漢字", true),
    ("a secret of thirty-two bytes, 01\r", false),
    ("a secret of thirty-two\rbytes and more, 01", false),
    ("\u{FEFF}\u{FEFF}a secret of thirty-two bytes, 01", false),
    ("a secret of \u{202E}thirty-two bytes, 01", false),
    ("a secret of \u{1B}[31mthirty-two bytes, 01", false),
    (
        "\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}",
        false,
    ),
    (
        "\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}",
        false,
    ),
    ("                                  ", false),
    ("'a secret of thirty-two bytes, 01'", false),
    ("\"a secret of thirty-two bytes, 01\"", false),
];

#[test]
fn a_secret_is_read_equally_from_environment_and_file() {
    for (secret, is_one) in SECRETS {
        for door in ["environment", "`.env` file", "X_FILE", "credential"] {
            let home = Home::new().with("DATABASE_URL", "postgres://ada@127.0.0.1:1/brune");
            let home = match door {
                "environment" => home.with("JWT_SECRET", secret),
                "`.env` file" => {
                    home.write(".env", &format!("JWT_SECRET={}\n", in_env(secret)));
                    home
                }
                "X_FILE" => {
                    let path = home.write("the-key", secret).display().to_string();
                    home.with("JWT_SECRET_FILE", &path)
                }
                _ => {
                    let path = home.write("JWT_SECRET", secret);
                    home.with(
                        "CREDENTIALS_DIRECTORY",
                        &path.parent().unwrap().display().to_string(),
                    )
                }
            };
            let outcome = home.run(&["doctor"]);
            let is_named =
                outcome.err.contains("JWT_SECRET") || outcome.err.contains(".env line 1:");
            assert!(is_named || outcome.err.contains("cannot connect"), "{}", outcome.err);
            assert_eq!(!is_named, is_one, "{secret:?} from {door}: {}", outcome.err);
        }
    }
}

#[tokio::test]
async fn an_unreadable_secret_stops_the_start() {
    let db = TestDb::empty().await;
    let text = catalog(0) + "[[secret]]\nkey = \"PARTNER_KEY\"\ndescription = \"Of a partner.\"\n";
    let home = Home::on(&db);
    let path = home.write("catalog.toml", &text).display().to_string();
    let home = home.with("BRUNE_CATALOG", &path);
    home.run(&["migrate"]).ok();
    let home = home.with("PARTNER_KEY", "'a key of a partner'");
    home.run(&["serve"]).refused(&["PARTNER_KEY: must not be enclosed in quotes"]);
}

#[tokio::test]
async fn doctor_reports_stored_forbidden_characters_and_the_service_runs() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    psql::set(&pool, "BRUNE_PROMPT_VERSION", "\"3\\r\"").await;
    psql::set(&pool, "BRUNE_ELIGIBILITY_ALLOWED_LEVELS", "[\"a\", \"b\\u202e\"]").await;
    let mut home = Home::on(&app.db);
    home.run(&["doctor"]).refused(&[
        "FAIL  characters: BRUNE_PROMPT_VERSION must not contain a control character (U+000D)",
        "FAIL  characters: BRUNE_ELIGIBILITY_ALLOWED_LEVELS item 2 must not contain",
    ]);
    let service = home.serve();
    assert_eq!(service.get("/admin/config/BRUNE_PROMPT_VERSION").await["value"], "3\r");
    assert_eq!(service.anonymous(Method::GET, "/readyz").send().await.unwrap().status(), 200);
    assert!(home.log().contains("stored values contain forbidden characters"));
    // Nothing of it reaches a terminal as it is.
    psql::set(&pool, "BRUNE_PROMPT_ID", "\"pmpt_\\u001b[31m\"").await;
    home.set("BRUNE_URL", &format!("http://{}", service.address()));
    home.set("BRUNE_TOKEN", &service.token.clone());
    for arguments in [
        &["config", "list"][..],
        &["config", "get", "BRUNE_PROMPT_VERSION"],
        &["config", "history"],
    ] {
        let text = home.run(arguments).ok();
        assert!(!text.contains(['\r', '\u{1B}', '\u{202E}']), "{text:?}");
    }
    psql::set(&pool, "BRUNE_PROMPT_ID", "\"pmpt_default\"").await;
    // It does not come back once it is mended.
    let mended = service.change("BRUNE_PROMPT_VERSION", &json!("3"), 2);
    assert_eq!(mended.send().await.unwrap().status(), 200);
    let rollback =
        json!({"key": "BRUNE_PROMPT_VERSION", "to_version": 2, "version": 3, "reason": "a test"});
    let call = service.call(Method::POST, "/admin/global-settings/rollback").json(&rollback);
    assert_eq!(call.send().await.unwrap().status(), 400);
    let mended = service.change("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", &json!(["a"]), 2);
    assert_eq!(mended.send().await.unwrap().status(), 200);
    service.stop().await;
    home.run(&["doctor"]).ok();
}

#[tokio::test]
async fn an_initial_value_with_forbidden_characters_is_reported_by_every_command() {
    let db = TestDb::empty().await;
    for (value, named) in [
        ("3\r", "U+000D"),
        ("\u{1B}[31m3", "U+001B"),
        ("3\u{202E}", "U+202E"),
        ("\"3\"", "must not be enclosed in quotes"),
    ] {
        let home = Home::on(&db).with("BRUNE_PROMPT_VERSION", value);
        for arguments in [&["migrate"][..], &["migrate", "--plan"]] {
            home.run(arguments).refused(&["BRUNE_PROMPT_VERSION", named]);
        }
    }
    // With a private database the start itself takes first values.
    let home = Home::new().with("BRUNE_PROMPT_VERSION", "3\r");
    home.run(&["serve"]).refused(&["BRUNE_PROMPT_VERSION", "U+000D"]);
}
