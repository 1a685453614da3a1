//! `brune instances`, and `--wait`.

use serde_json::json;

use crate::{
    service::{Run, Service, run},
    support::{admin, wait::wait_until},
};

const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";

fn instances(service: &Service, arguments: &[&str]) -> Run {
    let mut command = service.room.command(&[&["instances"], arguments].concat());
    command.env("BRUNE_URL", format!("http://{}", service.address));
    run(command.env("BRUNE_TOKEN", admin("ada")))
}

/// One that is live for an hour, and hears nothing.
async fn leave_a_laggard(service: &Service) {
    let row = "insert into brune_instance (id, host, version, started_at, applied_revision, seen_at)
        values ('00000000-0000-0000-0000-000000000001', 'elsewhere', '0.0.9', now(), 1, now() + interval '1 hour')";
    sqlx::query(row).execute(&service.pool()).await.unwrap();
}

#[tokio::test]
async fn the_fleet_is_printed_as_table_and_json() {
    let service = Service::start().await;
    service
        .config(&["set", COOLDOWN, "45", "-r", "calmer evenings", "--wait"])
        .ends(0, "applied by 1 instance");
    leave_a_laggard(&service).await;
    // The instance that wrote knows its own revision from memory; its row follows with the next heartbeat.
    wait_until("the row of the instance has the revision", async || {
        instances(&service, &[]).rows()[0][4] == "2"
    })
    .await;
    let printed = instances(&service, &[]).ends(0, "");
    let rows = printed.rows();
    assert_eq!(rows[0][4..6], ["2", "0"]);
    assert_eq!(rows[0][7], "live, this instance");
    assert_eq!(rows[1][1..3], ["elsewhere", "0.0.9"]);
    assert_eq!((&rows[1][4..6], rows[1][7]), (&["1", "1"][..], "live"));
    let fleet = instances(&service, &["-o", "json"]).json();
    assert_eq!((&fleet["revision"], &fleet["instances"][1]["self"]), (&json!(2), &json!(false)));
    instances(&service, &["-o", "table"]).ends(0, "SEEN MS AGO");
    instances(&service, &["--live"]).ends(2, "--live");
}

#[tokio::test]
async fn every_command_that_writes_can_wait() {
    let service = Service::start().await;
    let has_it = "applied by 1 instance after ";
    service.config(&["set", COOLDOWN, "45", "-r", "a test", "--wait"]).ends(0, has_it);
    service.config(&["set", COOLDOWN, "45", "-r", "a test", "--wait"]).ends(0, has_it);
    service.config(&["reset", COOLDOWN, "-r", "a test", "--wait=4000"]).ends(0, has_it);
    let restore = ["rollback", "--to-revision", "2", "-r", "a test", "-y", "--wait"];
    service.config(&restore).ends(0, has_it);
    service.room.write("new.env", "BRUNE_COOLDOWN_MINUTES=50\n");
    let import = ["import", "new.env", "-r", "a test", "-y", "--wait"];
    service.config(&import).ends(0, has_it);
    let actual = ["set", COOLDOWN, "55", "-r", "a test", "--wait", "-o", "json"];
    assert_eq!(service.config(&actual).json()["applied"]["laggards"], json!([]));
    let plain = service.config(&["set", COOLDOWN, "60", "-r", "a test"]).ends(0, "is 60");
    assert!(!plain.out.contains("applied by"), "{}", plain.out);
    service.config(&["set", COOLDOWN, "65", "-r", "a test", "--wait=5000"]).ends(2, "5000");
}

#[tokio::test]
async fn a_wait_that_times_out_reports_the_stored_change_and_the_laggard() {
    let service = Service::start().await;
    leave_a_laggard(&service).await;
    let set = |more: &[&str]| {
        let set = ["set", COOLDOWN, "45", "-r", "a test", "--wait=100"];
        service.config(&[&set, more].concat())
    };
    let lost = set(&[]).ends(5, "BRUNE_COOLDOWN_MINUTES is 45 (was 30), version 2");
    let lost = lost.ends(5, "stored, but not applied by every instance after");
    lost.ends(5, "00000000-0000-0000-0000-000000000001 on elsewhere is at revision 1");
    let lost = set(&["-o", "json"]);
    assert_eq!(lost.code, 5);
    let json: serde_json::Value = serde_json::from_str(&lost.out).unwrap();
    assert_eq!(json["applied"]["laggards"][0]["host"], "elsewhere");
    set(&["--dry-run"]).ends(0, "is already 45");
}
