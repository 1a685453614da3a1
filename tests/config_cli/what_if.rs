//! `brune what-if`.

use serde_json::{Value, json};

use crate::{
    proposals::{COOLDOWN, brune},
    service::{Run, Service},
    support::psql,
};

/// Runs `brune what-if` as Ada.
fn what_if(service: &Service, arguments: &[&str]) -> Run {
    brune(service, "ada", &[&["what-if"], arguments].concat())
}

/// Inserts a session of Ana of ten minutes, and a second one that began 35 minutes after the end of the first.
async fn record(service: &Service) {
    let sql = "insert into brune_session (id, user_id, status, plan, started_at, expires_at, ended_at, settings_revision,
        prompt_id, prompt_version, model, session_max_minutes)
      select gen_random_uuid(), 'ana', 'ended', 'pro', at, at + interval '30 minutes', at + interval '10 minutes', 1, 'p',
        '1', 'm', 30
      from unnest(array[2.0, 1.25]) hours, lateral (select now() - hours * interval '1 hour' as at) times";
    psql::run(&service.pool(), sql).await;
}

#[tokio::test]
async fn a_what_if_is_told_in_rows_or_as_a_document() {
    let service = Service::start().await;
    record(&service).await;
    let asked = what_if(&service, &["BRUNE_COOLDOWN_MINUTES=60"]);
    let rows = asked.rows();
    let row = |name: &str| {
        rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{asked:?}"))[1]
    };
    assert_eq!(row("change"), "BRUNE_COOLDOWN_MINUTES: 30 → 60");
    assert_eq!(row("attempts"), "2, of which the recorded settings explain 100 %");
    assert_eq!((row("newly refused"), row("- by reason")), ("1", "cooldown 1"));
    assert_eq!((row("minutes"), row("at one time")), ("20 → 10", "1 → 1"));
    assert!(row("example").starts_with("ana at "), "{asked:?}");
    let report = what_if(&service, &["BRUNE_COOLDOWN_MINUTES=60", "-o", "json"]).json();
    assert_eq!(report["newly_refused"]["attempts"], json!({"least": 1, "most": 1}));
    let window = ["BRUNE_COOLDOWN_MINUTES=60", "--since", "90m", "-o", "json"];
    assert_eq!(what_if(&service, &window).json()["attempts"], 1);
    let window = ["BRUNE_COOLDOWN_MINUTES=60", "--until", "2020-01-01T00:00:00Z"];
    what_if(&service, &window).ends(1, "within the last 8 days");
    // Nothing was changed.
    service.config(&["get", COOLDOWN]).ends(0, "30");
}

#[tokio::test]
async fn a_proposal_is_asked_by_its_number() {
    let service = Service::start().await;
    record(&service).await;
    let propose = ["proposal", "new", "BRUNE_COOLDOWN_MINUTES=60", "-r", "calmer evenings"];
    brune(&service, "ada", &propose).ends(0, "proposal 1 is open");
    let report = what_if(&service, &["--proposal", "1", "-o", "json"]).json();
    assert_eq!(report["changed"][0]["new_value"], 60);
    assert_eq!(report["newly_refused"]["attempts"]["most"], 1);
    what_if(&service, &["--proposal", "7"]).ends(1, "brune proposal list");
    what_if(&service, &["--proposal", "0"]).ends(2, "--proposal");
    what_if(&service, &["--proposal", "1", "BRUNE_COOLDOWN_MINUTES=60"]).ends(2, "--proposal");
}

#[tokio::test]
async fn bad_input_is_refused() {
    let service = Service::start().await;
    what_if(&service, &[]).ends(2, "KEY=VALUE");
    what_if(&service, &["BRUNE_COOLDOWN_MINUTES"]).ends(2, "KEY=VALUE");
    what_if(&service, &["cooldown=60"]).ends(2, "is not a key");
    what_if(&service, &["BRUNE_UNKNOWN=60"]).ends(1, "BRUNE_UNKNOWN");
    what_if(&service, &["BRUNE_COOLDOWN_MINUTES=an hour"]).ends(2, "must be a number");
    what_if(&service, &["BRUNE_COOLDOWN_MINUTES=241"]).ends(1, "BRUNE_COOLDOWN_MINUTES");
    for period in ["9d", "0h", "24", "-1h", ""] {
        let since = format!("--since={period}");
        what_if(&service, &["BRUNE_COOLDOWN_MINUTES=60", &since]).ends(2, "--since");
    }
    what_if(&service, &["BRUNE_COOLDOWN_MINUTES=60", "--until", "noon"]).ends(2, "--until");
    let report = what_if(&service, &["BRUNE_COOLDOWN_MINUTES=60", "-o", "json"]).json();
    assert_eq!((&report["attempts"], &report["reproduced"]), (&json!(0), &Value::Null));
}
