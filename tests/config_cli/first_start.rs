//! The first start with the `.env` of before, and the ones after it.

use sqlx::ConnectOptions as _;

use crate::{
    service::{Room, Service, run, with_database},
    support::TestDb,
};

const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";
const LEVELS: &str = "BRUNE_ELIGIBILITY_ALLOWED_LEVELS";

#[tokio::test]
async fn a_dotenv_file_sets_audited_initial_values() {
    let room = Room::new();
    room.write(".env", &format!("{COOLDOWN}=45\n{LEVELS}=mid,senior\n"));
    let service = Service::start_on(room, TestDb::new().await);
    assert_eq!(service.config(&["get", COOLDOWN]).out, "45\n");
    assert_eq!(service.config(&["get", LEVELS]).out, "[\"mid\",\"senior\"]\n");
    let of = |key: &str| service.config(&["history", key]).out;
    assert!(of(COOLDOWN).ends_with(
        "\tbrune:migrate\tseed\tBRUNE_COOLDOWN_MINUTES\t- → 45\tenv_import: initial value, from .env\n"
    ));
    assert!(of("BRUNE_PROMPT_ID").ends_with("\tinitial value, from the catalog default\n"));
}

#[tokio::test]
async fn a_later_start_changes_nothing_and_reports_drift() {
    let room = Room::new();
    room.write(".env", &format!("{COOLDOWN}=45\n"));
    let mut service = Service::start_on(room, TestDb::new().await);
    service.room.write(".env", &format!("{COOLDOWN}=50\n{LEVELS}=[]\nJWT_ISSUER=\n"));
    service.again();
    assert_eq!(service.config(&["get", COOLDOWN]).out, "45\n");
    assert_eq!(service.config(&["history"]).rows().len(), 9, "only what was seeded");
    let log = service.log();
    let warning = log.lines().find(|line| line.contains("WARN")).unwrap();
    assert!(
        warning.contains(
            "BRUNE_COOLDOWN_MINUTES differs, BRUNE_ELIGIBILITY_ALLOWED_LEVELS is the same"
        ),
        "{warning}"
    );
    service.room.write(".env", "");
    service.again();
    assert!(!service.log().contains("still set"), "{}", service.log());
}

#[tokio::test]
async fn invalid_initial_values_stop_the_start_and_are_all_reported() {
    let room = Room::new();
    room.write(".env", &format!("{COOLDOWN}=900\nBRUNE_PROMPT_ID=nonsense\n"));
    let db = TestDb::new().await;
    let database = db.owner_options().to_url_lossy().to_string();
    let mut command = room.command(&["migrate"]);
    let refusal = run(with_database(&mut command, &database).env(LEVELS, "[1]"));
    refusal
        .ends(1, "BRUNE_COOLDOWN_MINUTES (.env): must be between 0 and 240")
        .ends(1, "BRUNE_PROMPT_ID (.env): must match")
        .ends(1, "BRUNE_ELIGIBILITY_ALLOWED_LEVELS (the environment): must be a list of strings");
}

#[tokio::test]
async fn an_invalid_catalog_is_reported_with_file_line_and_key() {
    let room = Room::new();
    let entry = "[[secret]]\nkey = \"A\"\nsecrecy = 1\n";
    room.write("mine.toml", &format!("catalog = \"mine\"\ndescription = \"\"\n{entry}"));
    let mut command = room.command(&["migrate"]);
    let refusal = run(command.env("BRUNE_CATALOG", room.path().join("mine.toml")));
    refusal.ends(1, "mine.toml:5: A: unknown field `secrecy`");
}

#[test]
fn the_local_service_is_found_without_configuration() {
    let room = Room::new();
    room.write(".env", &format!("{COOLDOWN}=45\n"));
    let mut service = Service::start_alone(room);
    let config = |service: &Service, arguments: &[&str]| {
        run(&mut service.room.command(&[&["config"], arguments].concat()))
    };
    assert!(!service.log().contains("still set"), "{}", service.log());
    config(&service, &["get", COOLDOWN]).ends(0, "45");
    config(&service, &["set", COOLDOWN, "60", "-r", "longer evenings"]).ends(0, "is 60");
    service.again();
    config(&service, &["history", COOLDOWN, "--limit", "1"]).ends(0, "developer\tupdate");
    assert!(service.log().contains("BRUNE_COOLDOWN_MINUTES differs"), "{}", service.log());
    let room = std::mem::replace(&mut service.room, Room::new());
    drop(service);
    run(&mut room.command(&["config", "list"])).ends(2, "start `brune serve`");
}
