//! `--propose` of the writes of `brune config`.

use serde_json::{Value, json};

use crate::{
    proposals::{COOLDOWN, PER_DAY, brune, in_days, protected},
    proxy,
    service::run,
};

#[tokio::test]
async fn every_write_can_be_proposed() {
    let service = protected().await;
    service.config(&["set", COOLDOWN, "45", "-r", "on fire", "--emergency"]).ends(0, "is 45");
    service.config(&["set", PER_DAY, "4", "-r", "fewer"]).ends(0, "is 4");
    let config = |arguments: &[&str], more: &[&str]| {
        service.config(&[arguments, &["-r", "as it was", "--propose"], more].concat())
    };
    let changes = |number: &str| {
        let proposal = brune(&service, "ben", &["proposal", "show", number, "-o", "json"]).json();
        let change = |change: &Value| {
            (change["key"].clone(), change["value"].clone(), change["version"].clone())
        };
        proposal["changes"].as_array().unwrap().iter().map(change).collect::<Vec<_>>()
    };
    let cooldown = [(json!(COOLDOWN), json!(30), json!(2))];
    config(&["reset", COOLDOWN], &["--dry-run"]).ends(0, "edition 1 would be stored");
    config(&["reset", COOLDOWN], &[]).ends(0, "proposal 2 is open, edition 1: 0 of 1 approvals");
    assert_eq!(changes("2"), cooldown);

    let rollback = ["rollback", COOLDOWN, "--to-version", "1"];
    config(&rollback, &[]).ends(2, "--yes");
    config(&rollback, &["--yes", "--after", "2"]).ends(1, "is the current value");
    config(&rollback, &["--yes"])
        .ends(0, &format!("{COOLDOWN}\t45\t30\tchange"))
        .ends(0, "3 is open");
    assert_eq!(changes("3"), cooldown);
    let (at, printed_at) = in_days(1);
    let whole = ["rollback", "--to-revision", "1", "--yes", "--at", &at];
    config(&whole, &[]).ends(
        0,
        &format!("proposal 4 is open, edition 1: 0 of 1 approvals, 0 objections; at {printed_at}"),
    );
    let per_day = service.config(&["get", PER_DAY, "-o", "json"]).json()["default"].clone();
    let both = [cooldown[0].clone(), (json!(PER_DAY), per_day, json!(2))];
    assert_eq!(changes("4"), both);

    service.room.write("new.env", &format!("{COOLDOWN}=50\n{PER_DAY}=4\n"));
    let import = ["import", "new.env"];
    config(&import, &["--dry-run"]).ends(0, &format!("{COOLDOWN}\tchange\t45\t50"));
    config(&import, &["--yes", "--wait"]).ends(2, "cannot be used with");
    config(&import, &["--yes"]).ends(0, "proposal 5 is open, edition 1: 0 of 1 approvals");
    assert_eq!(changes("5"), [(json!(COOLDOWN), json!(50), json!(2))]);
    assert_eq!(service.config(&["get", COOLDOWN]).out, "45\n");
}

#[tokio::test]
async fn a_proposed_import_treats_conflicts_as_an_import_does() {
    let service = protected().await;
    service.config(&["export", "old.yaml"]).ends(0, "revision 1");
    service.config(&["set", PER_DAY, "4", "-r", "fewer"]).ends(0, "is 4");
    let old = service
        .room
        .read("old.yaml")
        .replace(&format!("{COOLDOWN}: 30"), &format!("{COOLDOWN}: 50"));
    service.room.write("old.yaml", &old);
    let import = ["import", "old.yaml", "-r", "as it was", "--propose", "--yes", "-o", "json"];
    service.config(&import).ends(4, "--on-conflict");
    let keys = |choice: &str| {
        let proposal = service.config(&[&import[..], &["--on-conflict", choice]].concat()).json();
        let changes = proposal["changes"].as_array().unwrap().iter();
        changes.map(|change| change["key"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(keys("skip"), [COOLDOWN]);
    assert_eq!(keys("overwrite"), [COOLDOWN, PER_DAY]);
}

#[tokio::test]
async fn a_change_before_the_plan_of_a_proposed_import_is_a_conflict() {
    let service = protected().await;
    service.room.write("new.env", &format!("{PER_DAY}=4\n"));
    let address = service.address.clone();
    let mut ben = service.config_at(&address, "ben", &["set", PER_DAY, "5", "-r", "I was first"]);
    // The first POST requests the plan; the versions were read before.
    let between = proxy::before(&address, "POST", move || {
        run(&mut ben).ends(0, "is 5");
    });
    let import = ["import", "new.env", "-r", "fewer", "--propose", "--yes"];
    run(&mut service.config_at(&between, "ada", &import)).ends(4, "by ben");
    assert_eq!(brune(&service, "ada", &["proposal", "list"]).out, "");
}
