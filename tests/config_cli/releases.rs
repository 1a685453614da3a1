//! `brune release`.

use serde_json::json;

use crate::{
    proposals::{COOLDOWN, brune, protected},
    proxy,
    service::{Run, Service, run},
};

const MODEL: &str = "BRUNE_PROMPT_VERSION";

/// Runs `brune release` as Ada.
fn release(service: &Service, arguments: &[&str]) -> Run {
    brune(service, "ada", &[&["release"], arguments].concat())
}

/// A service with the release `winter` of revision 1, whose prompt version changed since.
async fn changed_since_winter() -> Service {
    let service = protected().await;
    release(&service, &["make", "winter", "--note", "calm evenings"]).ends(0, "is revision 1");
    service.config(&["set", MODEL, "2", "-r", "reads better"]).ends(0, "is 2");
    service
}

#[tokio::test]
async fn a_release_names_a_revision() {
    let service = changed_since_winter().await;
    let make = ["make", "summer", "--note", "short nights"];
    release(&service, &make).ends(0, "release summer is revision 2");
    release(&service, &["make", "first", "--revision", "1", "--note", "the beginning"])
        .ends(0, "release first is revision 1");
    release(&service, &make).ends(4, "a release with this name exists").ends(4, "another name");
    let list = release(&service, &["list"]).ends(0, "");
    let rows: Vec<_> = list.rows().iter().map(|row| [row[0], row[1], row[3], row[5]]).collect();
    let expected = [
        ["first", "1", "ada", "the beginning"],
        ["summer", "2", "ada", "short nights"],
        ["winter", "1", "ada", "calm evenings"],
    ];
    assert_eq!(rows, expected);
    release(&service, &["list", "-o", "table"]).ends(0, "REVISION");
    let shown = release(&service, &["show", "winter", "-o", "json"]).json();
    assert_eq!((&shown["revision"], &shown["made_by"]), (&json!(1), &json!("ada")));
    let digest = shown["digest"].as_str().unwrap();
    release(&service, &["show", "winter"]).ends(0, &format!("digest\t{digest}"));
}

#[tokio::test]
async fn a_comparison_is_with_the_current_settings_or_another_release() {
    let service = changed_since_winter().await;
    release(&service, &["make", "now", "--note", "a name like any"]).ends(0, "is revision 2");
    service.config(&["set", MODEL, "3", "-r", "reads best"]).ends(0, "is 3");
    let row = |to: &str| format!("{MODEL}\t1\t{to}\n");
    assert_eq!(release(&service, &["diff", "winter"]).out, row("3"));
    assert_eq!(release(&service, &["diff", "winter", "--to", "now"]).out, row("3"));
    assert_eq!(
        release(&service, &["diff", "now", "--to", "winter"]).out,
        format!("{MODEL}\t2\t1\n")
    );
    assert_eq!(release(&service, &["diff", "winter", "--to", "winter"]).out, "");
    release(&service, &["diff", "winter", "-o", "table"]).ends(0, "IN winter").ends(0, "IN now");
    let diff = release(&service, &["diff", "winter", "-o", "json"]).json();
    assert_eq!((&diff["from_revision"], &diff["to_revision"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn a_restoration_shows_its_plan_first() {
    let service = changed_since_winter().await;
    let restore = ["restore", "winter", "-r", "calmer"];
    let with = |more: &[&str]| release(&service, &[&restore, more].concat());
    let plan = format!("{MODEL}\t2\t1\tchange\n");
    assert_eq!(with(&["--dry-run"]).ends(0, "").out, plan);
    // Without a terminal nobody confirms.
    assert_eq!(with(&[]).ends(2, "--yes").out, plan);
    assert_eq!(service.config(&["get", MODEL]).out, "2\n");
    with(&["--yes", "--wait"]).ends(0, "restored, revision 3").ends(0, "applied by 1 instance");
    assert_eq!(service.config(&["get", MODEL]).out, "1\n");
    assert_eq!(with(&["--yes"]).ends(0, "").out, "no changes\n");
    service.config(&["set", MODEL, "4", "-r", "reads best"]).ends(0, "is 4");
    let result = with(&["--yes", "-o", "json"]).json();
    assert_eq!((&result["revision"], &result["changed"][0]["new_value"]), (&json!(5), &json!("1")));
}

#[tokio::test]
async fn a_change_during_a_restoration_is_a_conflict() {
    let service = changed_since_winter().await;
    let address = service.address.clone();
    let mut ben = service.config_at(&address, "ben", &["set", MODEL, "5", "-r", "I was first"]);
    // Before the first POST, the plan, and after the read of the revision.
    let between = proxy::before(&address, "POST", move || {
        run(&mut ben).ends(0, "is 5");
    });
    let mut command =
        service.room.command(&["release", "restore", "winter", "-r", "calmer", "--yes"]);
    command.env("BRUNE_URL", format!("http://{between}"));
    run(command.env("BRUNE_TOKEN", crate::support::admin("ada"))).ends(4, "by ben");
    assert_eq!(service.config(&["get", MODEL]).out, "5\n");
}

#[tokio::test]
async fn a_restoration_of_a_protected_setting_is_proposed_or_an_emergency() {
    let service = changed_since_winter().await;
    service.config(&["set", COOLDOWN, "45", "-r", "on fire", "--emergency"]).ends(0, "is 45");
    let restore = ["restore", "winter", "-r", "calmer", "--yes"];
    let with = |more: &[&str]| release(&service, &[&restore, more].concat());
    with(&[]).ends(1, "changes only by an approved proposal").ends(1, "add --propose");
    let refused = with(&["--dry-run"]).ends(1, "add --propose; in an emergency add --emergency");
    let plan = with(&["--propose", "--dry-run"]).ends(0, COOLDOWN).out;
    assert_eq!(refused.out, plan);
    let back = ["rollback", "--to-revision", "1", "-r", "calmer", "--dry-run"];
    assert_eq!(service.config(&back).ends(1, "add --propose").out, plan);
    with(&["--propose", "--dry-run"]).ends(0, &format!("{COOLDOWN}\t45\t30\tchange"));
    with(&["--propose", "--emergency"]).ends(2, "cannot be used with");
    with(&["--at", "2101-01-01T02:00:00Z"]).ends(2, "require --propose");
    with(&["--propose"]).ends(0, "proposal 2 is open, edition 1: 0 of 1 approvals");
    let proposal = brune(&service, "ben", &["proposal", "show", "2", "-o", "json"]).json();
    let changes: Vec<_> = proposal["changes"].as_array().unwrap().iter().collect();
    let values = |key: &str| {
        let change = changes.iter().find(|change| change["key"] == key).unwrap();
        (change["value"].clone(), change["version"].clone())
    };
    assert_eq!(values(COOLDOWN), (json!(30), json!(2)));
    assert_eq!(values(MODEL), (json!("1"), json!(2)));
    assert_eq!(changes.len(), 2);
    with(&["--emergency"]).ends(0, "brune proposal acknowledge 3 --edition 1");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "30\n");
    with(&["--propose"]).ends(0, "no changes");
    let plan = with(&["--propose", "-o", "json"]).json();
    assert_eq!((&plan["dry_run"], &plan["changed"]), (&json!(true), &json!([])));
}

#[tokio::test]
async fn an_archived_release_stays_as_it_is() {
    let service = changed_since_winter().await;
    let archive = |reason: &str| release(&service, &["archive", "winter", "-r", reason]);
    archive("it is spring").ends(0, "by ada at").ends(0, ": it is spring");
    let shown = release(&service, &["show", "winter"]).ends(0, ": it is spring");
    archive("it is autumn").ends(0, ": it is spring");
    assert_eq!(release(&service, &["show", "winter"]).out, shown.out);
    release(&service, &["restore", "winter", "-r", "calmer", "--yes"]).ends(0, "restored");
}

#[tokio::test]
async fn bad_input_names_the_way_out() {
    let service = changed_since_winter().await;
    for arguments in [
        &["show", "autumn"][..],
        &["diff", "autumn"],
        &["diff", "winter", "--to", "autumn"],
        &["archive", "autumn", "-r", "it is spring"],
        &["restore", "autumn", "-r", "calmer"],
    ] {
        release(&service, arguments)
            .ends(1, "there is no release with this name")
            .ends(1, "`brune release list`");
    }
    for name in ["Winter", "-winter", "winter/diff", "../starts", "winter?", "", "a b"] {
        release(&service, &["show", "--", name]).ends(2, "1 to 64 characters");
        release(&service, &["make", "--note", "calm evenings", "--", name])
            .ends(2, "1 to 64 characters");
    }
    let longest = "w".repeat(64);
    let make = |more: &[&str]| release(&service, &[&["make"], more].concat());
    make(&[&longest, "--note", "calm evenings"]).ends(0, "is revision 2");
    make(&[&format!("{longest}w"), "--note", "calm evenings"]).ends(2, "1 to 64 characters");
    make(&["spring", "--note", "calm evenings", "--revision", "99"])
        .ends(1, "revision 99 does not exist; the newest is 2");
    make(&["spring", "--note", "calm evenings", "--revision", "0"]).ends(2, "--revision");
    make(&["spring", "--note", "calm evenings", "--revision", "one"]).ends(2, "--revision");
    make(&["spring"]).ends(2, "--note");
    make(&["spring", "--note", "x"]).ends(1, "3 to 500 characters");
    release(&service, &["archive", "winter"]).ends(2, "--reason");
    release(&service, &["restore", "winter"]).ends(2, "--reason");
    // In two parts, so that this file has no text that looks like a secret.
    let secret = ["sk-", "proj-Zq8Rk2LmN4pT6vW9xY1b"].concat();
    let refused = make(&["spring", "--note", &secret]).ends(1, "the note looks like");
    assert!(!(refused.out + &refused.err).contains(&secret));
    make(&[&secret.to_lowercase(), "--note", "calm evenings"]).ends(1, "name looks like");
    release(&service, &["archive", "winter", "-r", &secret]).ends(1, "the reason looks like");
    assert_eq!(release(&service, &["list"]).rows().len(), 2);
}
