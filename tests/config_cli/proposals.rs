//! `brune proposal`, and `--propose` and `--emergency` of `brune config`, by several people.

use std::process::{Child, Stdio};

use brune::clock::Clock;
use chrono::{FixedOffset, SecondsFormat, TimeDelta, Timelike as _};
use serde_json::{Value, json};

use crate::{
    proxy,
    service::{Room, Run, Service, lines, run},
    support::{TestDb, admin, psql, wait::receive},
};

pub(crate) const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";
pub(crate) const PER_DAY: &str = "BRUNE_MAX_SESSIONS_PER_DAY";

/// A service whose catalog protects the cooldown by one approval.
pub(crate) async fn protected() -> Service {
    protected_by(1).await
}

/// A service whose catalog protects the cooldown by a number of approvals.
pub(crate) async fn protected_by(approvals: u8) -> Service {
    let line = format!("key = \"{COOLDOWN}\"");
    assert!(brune::settings::BRUN_E.contains(&line));
    let protected = format!("{line}\napprovals = {approvals}");
    let catalog = brune::settings::BRUN_E.replacen(&line, &protected, 1);
    let room = Room::new();
    room.write("catalog.toml", &catalog);
    room.write(".env", &format!("BRUNE_CATALOG={}\n", room.path().join("catalog.toml").display()));
    Service::start_on(room, TestDb::new().await)
}

/// Runs `brune` as `person`.
pub(crate) fn brune(service: &Service, person: &str, arguments: &[&str]) -> Run {
    let mut command = service.room.command(arguments);
    command.env("BRUNE_URL", format!("http://{}", service.address));
    run(command.env("BRUNE_TOKEN", admin(person)))
}

/// Proposes `value` for the cooldown as Ada; the first proposal of a service has the number 1.
pub(crate) fn propose(service: &Service, value: &str, more: &[&str]) -> Run {
    let set = ["config", "set", COOLDOWN, value, "-r", "calmer evenings", "--propose"];
    brune(service, "ada", &[&set, more].concat())
}

/// A time in `days`, on the clock of a place an hour ahead, and the same time as the service prints it.
pub(crate) fn in_days(days: i64) -> (String, String) {
    let time = Clock::system().now() + TimeDelta::days(days);
    let time = time.with_nanosecond(0).unwrap();
    let place = FixedOffset::east_opt(3_600).unwrap();
    let printed = time.to_rfc3339_opts(SecondsFormat::Secs, true);
    (time.with_timezone(&place).to_rfc3339(), printed)
}

fn approve(service: &Service, person: &str, edition: &str) -> Run {
    brune(service, person, &["proposal", "approve", "1", "--edition", edition])
}

#[tokio::test]
async fn two_people_change_a_protected_setting() {
    let service = protected().await;
    service.config(&["set", COOLDOWN, "45", "-r", "calmer evenings"]).ends(1, "add --propose");
    propose(&service, "45", &[])
        .ends(0, "proposal 1 is open, edition 1: 0 of 1 approvals, 0 objections")
        .ends(0, "next: another person: brune proposal approve 1 --edition 1");
    approve(&service, "ada", "1").ends(1, "cannot approve or acknowledge");
    let apply = ["proposal", "apply", "1", "--edition", "1"];
    brune(&service, "ada", &apply).ends(1, "0 of 1 approvals, 0 objections");
    approve(&service, "ben", "1").ends(0, "1 of 1 approvals").ends(0, "next: brune proposal apply");
    brune(&service, "ada", &[&apply[..], &["--dry-run"]].concat()).ends(0, "would be applied");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "30\n");
    brune(&service, "ada", &[&apply[..], &["--wait"]].concat())
        .ends(0, "proposal 1 is applied, revision 2")
        .ends(0, "applied by 1 instance");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "45\n");
    // Somebody was faster.
    brune(&service, "ben", &apply).ends(4, "the proposal is applied");
}

#[tokio::test]
async fn an_approval_needs_the_edition_that_was_shown() {
    let service = protected().await;
    propose(&service, "45", &[]).ends(0, "");
    for verdict in ["approve", "object", "acknowledge", "apply"] {
        brune(&service, "ben", &["proposal", verdict, "1", "--dry-run"])
            .ends(2, "--edition")
            .ends(2, "tip: `brune proposal show NUMBER` prints the edition");
    }
    let edit = |person: &str, edition: &str, changes: &[&str]| {
        let edit = ["proposal", "edit", "1", "--edition", edition, "-r", "longer"];
        brune(&service, person, &[&edit, changes].concat())
    };
    edit("cleo", "1", &[&format!("{COOLDOWN}=50"), "--dry-run"]).ends(0, "edition 2 would be");
    edit("cleo", "1", &[&format!("{COOLDOWN}=60"), &format!("{PER_DAY}=4")])
        .ends(0, "edition 2: 0");
    edit("ada", "1", &[&format!("{COOLDOWN}=90")]).ends(4, "the current edition is 2, by cleo");
    approve(&service, "ben", "1").ends(4, "the current edition is 2, by cleo").ends(4, "show");
    approve(&service, "ben", "2").ends(0, "1 of 1 approvals");
    edit("cleo", "2", &["60"]).ends(2, "the form KEY=VALUE");
    edit("cleo", "2", &[&format!("{COOLDOWN}=soon")]).ends(2, "the value must be a number");
}

#[tokio::test]
async fn show_prints_everything_that_an_approver_needs() {
    let service = protected().await;
    propose(&service, "45", &[]).ends(0, "");
    let shown = brune(&service, "ben", &["proposal", "show", "1", "-o", "json"]).json();
    let digest = shown["digest"].as_str().unwrap();
    let (at, printed_at) = in_days(30);
    propose(&service, "50", &["--at", &at, "--grace", "5"]).ends(0, "");
    let objection = ["proposal", "object", "1", "--edition", "1", "--note", "too long"];
    let without_note = ["proposal", "object", "1", "--edition", "1", "--note", ""];
    brune(&service, "ben", &without_note).ends(1, "must say what has to change");
    brune(&service, "ben", &objection).ends(0, "0 of 1 approvals, 1 objection\n");
    let printed = brune(&service, "ben", &["proposal", "show", "1"]).ends(0, "");
    let rows = printed.rows();
    let values = |name: &str| -> Vec<&str> {
        rows.iter().filter(|row| row[0] == name).map(|row| row[1]).collect()
    };
    assert_eq!(values("edition"), ["1"]);
    assert_eq!(values("digest"), [digest]);
    let change = format!("{COOLDOWN}: 30 → 45 (version 1, approvals needed: 1)");
    assert_eq!(values("change"), [&change]);
    assert_eq!(values("approvals"), ["0 of 1 approvals, 1 objection"]);
    assert!(values("block")[0].starts_with("not_approved: "), "{rows:?}");
    assert_eq!(values("overlap"), [format!("proposal 2, at {printed_at}")]);
    let verdict = values("verdict")[0];
    assert!(verdict.starts_with("object of edition 1 by ben"), "{verdict}");
    assert!(verdict.ends_with(": too long"), "{verdict}");
    let second = brune(&service, "ben", &["proposal", "show", "2"]).ends(0, "");
    second.ends(0, &format!("at {printed_at}, with 5 minutes of grace"));
    let edit = ["proposal", "edit", "1", "--edition", "1", "-r", "shorter"];
    brune(&service, "ada", &[&edit[..], &[&format!("{COOLDOWN}=40")]].concat()).ends(0, "");
    brune(&service, "ben", &["proposal", "show", "1", "--edition", "1"])
        .ends(0, "1 (outdated: edition 2 is current)");
    brune(&service, "ben", &["proposal", "show", "9"])
        .ends(1, "there is no proposal 9; `brune proposal list`");
}

#[tokio::test]
async fn lists_are_filtered() {
    let service = protected().await;
    propose(&service, "45", &[]).ends(0, "");
    let refused = brune(&service, "ada", &["proposal", "withdraw", "1", "-r", "no"]).ends(1, "");
    let rule = "must have 3 to 500 characters, not counting leading and trailing spaces";
    assert_eq!(refused.err, format!("brune: the reason {rule}\n"));
    let both = ["proposal", "new", &format!("{PER_DAY}=4"), &format!("{COOLDOWN}=60")];
    brune(&service, "ben", &[&both[..], &["-r", "fewer and rarer"]].concat()).ends(0, "proposal 2");
    brune(&service, "ada", &["proposal", "withdraw", "1", "-r", "not today"])
        .ends(0, "proposal 1 is withdrawn by ada: not today");
    let numbers = |person: &str, filters: &[&str]| -> Vec<String> {
        let list = brune(&service, person, &[&["proposal", "list"], filters].concat()).ends(0, "");
        list.rows().iter().map(|row| row[0].to_owned()).collect()
    };
    assert_eq!(numbers("ada", &[]), ["2", "1"]);
    assert_eq!(numbers("ada", &["--limit", "1"]), ["2"]);
    assert_eq!(numbers("ada", &["--state", "withdrawn"]), ["1"]);
    assert_eq!(numbers("ada", &["--by", "ben"]), ["2"]);
    assert_eq!(numbers("ada", &["--key", PER_DAY]), ["2"]);
    assert_eq!(numbers("ada", &["--waiting-for-me"]), ["2"]);
    assert_eq!(numbers("ben", &["--waiting-for-me"]), [""; 0]);
    let list = brune(&service, "ada", &["proposal", "list", "-o", "json"]).json();
    assert_eq!(list[0]["keys"], json!([COOLDOWN, PER_DAY]));
    brune(&service, "ada", &["proposal", "list", "-o", "table"]).ends(0, "NUMBER");
    brune(&service, "ada", &["proposal", "list", "--state", "approved"]).ends(2, "withdrawn");
}

#[tokio::test]
async fn a_plan_needs_a_time_with_an_offset() {
    let service = protected().await;
    propose(&service, "45", &["--at", "2001-01-01T02:00:00"]).ends(2, "with an offset");
    propose(&service, "45", &["--at", "2001-01-01T02:00:00Z"])
        .ends(1, "--at must be in the future");
    propose(&service, "45", &["--grace", "5"]).ends(2, "--at");
    propose(&service, "45", &["--after", "7"]).ends(1, "--after must be the number");
    propose(&service, "45", &["--emergency"]).ends(2, "cannot be used with");
    let set = ["set", COOLDOWN, "45", "-r", "calmer", "--at", "2001-01-01T02:00:00Z"];
    service.config(&set).ends(2, "require --propose");
    propose(&service, "45", &["--dry-run"]).ends(0, "edition 1 would be stored");
    propose(&service, "45", &[]).ends(0, "proposal 1 is open");
    propose(&service, "60", &["--after", "1"]).ends(0, "after proposal 1");
    let apply = ["proposal", "apply", "2", "--edition", "1"];
    brune(&service, "ben", &["proposal", "approve", "2", "--edition", "1"]).ends(0, "");
    brune(&service, "ada", &apply).ends(1, "proposal 1 has to be applied first");
}

#[tokio::test]
async fn an_emergency_waits_for_an_acknowledgement() {
    let service = protected().await;
    let emergency = |arguments: &[&str]| {
        service.config(&[arguments, &["-r", "on fire", "--emergency"]].concat())
    };
    emergency(&["set", COOLDOWN, "45", "--dry-run"]).ends(0, "would be 45");
    emergency(&["set", COOLDOWN, "45"])
        .ends(0, "is 45 (was 30), version 2")
        .ends(0, "brune proposal acknowledge 1 --edition 1");
    let acknowledge = ["proposal", "acknowledge", "1", "--edition", "1", "--note", "seen"];
    brune(&service, "ada", &acknowledge).ends(1, "");
    brune(&service, "ben", &["proposal", "show", "1"]).ends(0, "by ada, not acknowledged");
    brune(&service, "ada", &["proposal", "list"])
        .ends(0, "\tapplied, emergency, not acknowledged\t");
    let next = "acknowledge 1 --edition 1\n";
    let show = |person: &str| brune(&service, person, &["proposal", "show", "1"]);
    show("ada").ends(0, &format!("next\tanother person: brune proposal {next}"));
    show("ben").ends(0, &format!("next\tbrune proposal {next}"));
    brune(&service, "ben", &acknowledge)
        .ends(0, "is applied, revision 2, an emergency by ada, acknowledged by ben\n");
    brune(&service, "ada", &["proposal", "list"]).ends(0, "\tapplied, emergency, acknowledged\t");
    brune(&service, "ada", &["proposal", "show", "1"]).ends(0, "by ada, acknowledged by ben");
    emergency(&["reset", COOLDOWN]).ends(0, "acknowledge 2");
    let back = ["rollback", COOLDOWN, "--to-version", "2", "--yes"];
    service
        .config(&[&back[..], &["-r", "on fire"]].concat())
        .ends(1, "changes only by an approved");
    emergency(&back).ends(0, "acknowledge 3");
    service.room.write("new.env", &format!("{COOLDOWN}=50\n"));
    let import = ["import", "new.env", "--yes"];
    service.config(&[&import[..], &["-r", "on fire"]].concat()).ends(1, "--emergency");
    let rehearsal = ["import", "new.env", "--dry-run"];
    service.config(&rehearsal).ends(1, "changes only by an approved").ends(1, "--emergency");
    service.config(&[&rehearsal[..], &["--emergency"]].concat()).ends(0, COOLDOWN);
    emergency(&import).ends(0, "acknowledge 4");
    let open = propose(&service, "60", &["-o", "json"]).json();
    assert_eq!((&open["number"], &open["state"]), (&json!(5), &json!("open")));
    let apply = ["proposal", "apply", "5", "--edition", "1"];
    let apply = |options: &[&str]| brune(&service, "ada", &[&apply[..], options].concat());
    apply(&["--emergency"]).ends(2, "--reason");
    apply(&["--reason", "users cannot start"]).ends(2, "--emergency");
    apply(&["--emergency", "--reason", "users cannot start"])
        .ends(0, "brune proposal acknowledge 5 --edition 1");
    brune(&service, "ben", &["proposal", "show", "5"]).ends(0, "users cannot start");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "60\n");
}

#[tokio::test]
async fn a_change_in_between_is_a_conflict() {
    let service = protected().await;
    propose(&service, "45", &[]).ends(0, "");
    let address = service.address.clone();
    let mut ben = service.config_at(
        &address,
        "ben",
        &["set", COOLDOWN, "60", "-r", "I was here first", "--emergency"],
    );
    let between = proxy::before(&address, "POST", move || {
        run(&mut ben).ends(0, "is 60");
    });
    let set = ["set", COOLDOWN, "45", "-r", "calmer", "--propose"];
    run(&mut service.config_at(&between, "ada", &set)).ends(4, "is 60 at version 2 since");
    approve(&service, "ben", "1").ends(0, "1 of 1");
    brune(&service, "ada", &["proposal", "show", "1"]).ends(0, "version_conflict: ");
    brune(&service, "ada", &["proposal", "apply", "1", "--edition", "1"]).ends(4, "by ben");
}

/// Starts `brune proposal watch` as Cleo.
fn watch(service: &Service, number: &str, more: &[&str]) -> Child {
    let mut command = service.room.command(&[&["proposal", "watch", number], more].concat());
    command.env("BRUNE_URL", format!("http://{}", service.address));
    command.env("BRUNE_TOKEN", admin("cleo")).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[tokio::test]
async fn a_watch_ends_with_its_proposal() {
    let service = protected().await;
    let read = |lines| receive("the watch prints a line", lines).unwrap_or_default();
    propose(&service, "45", &[]).ends(0, "");
    let mut child = watch(&service, "1", &[]);
    let printed = lines(&mut child);
    assert_eq!(read(&printed), "proposal 1 is open, edition 1: 0 of 1 approvals, 0 objections");
    approve(&service, "ben", "1").ends(0, "");
    assert_eq!(read(&printed), "proposal 1 is open, edition 1: 1 of 1 approvals, 0 objections");
    brune(&service, "ada", &["proposal", "apply", "1", "--edition", "1"]).ends(0, "");
    assert_eq!(read(&printed), "proposal 1 is applied, revision 2");
    assert_eq!(child.wait().unwrap().code(), Some(0));

    propose(&service, "50", &[]).ends(0, "");
    let mut child = watch(&service, "2", &["-o", "json"]);
    let printed = lines(&mut child);
    let first: Value = serde_json::from_str(&read(&printed)).unwrap();
    assert_eq!(first["state"], "open");
    brune(&service, "ben", &["proposal", "withdraw", "2", "-r", "not today"]).ends(0, "");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[tokio::test]
async fn the_exit_code_of_a_watch_says_why_a_due_proposal_failed() {
    let service = protected().await;
    let (at, _) = in_days(1);
    propose(&service, "45", &["--at", &at]).ends(0, "proposal 1 is open");
    propose(&service, "50", &["--at", &at]).ends(0, "proposal 2 is open");
    approve(&service, "ben", "1").ends(0, "1 of 1");
    brune(&service, "ada", &["proposal", "apply", "1", "--edition", "1"]).ends(1, "takes effect");
    service.config(&["set", COOLDOWN, "60", "-r", "on fire", "--emergency"]).ends(0, "is 60");
    let mut stale = watch(&service, "1", &[]);
    let mut unapproved = watch(&service, "2", &[]);
    // The service applies what is due; only the owner of the tables can move a time into the past.
    let sql = "alter table brune_proposal disable trigger brune_proposal_write;
        update brune_proposal set due_at = due_at - interval '1 day 1 minute' where due_at is not null;
        alter table brune_proposal enable trigger brune_proposal_write";
    psql::run(&service.admin_pool(), sql).await;
    assert_eq!(stale.wait().unwrap().code(), Some(4));
    assert_eq!(unapproved.wait().unwrap().code(), Some(1));
    brune(&service, "ada", &["proposal", "show", "1"]).ends(0, "proposal 1 failed: stale");
    brune(&service, "ada", &["proposal", "show", "2"]).ends(0, "brune proposal edit 2 --edition 1");
}

#[tokio::test]
async fn approving_can_apply() {
    let service = protected().await;
    propose(&service, "45", &[]).ends(0, "");
    let approve = ["proposal", "approve", "1", "--edition", "1", "--note", "fine", "--apply"];
    brune(&service, "ben", &approve).ends(0, "proposal 1 is applied, revision 2");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "45\n");
}

#[tokio::test]
async fn a_dry_run_of_a_verdict_stores_nothing() {
    let service = protected().await;
    propose(&service, "45", &[]).ends(0, "");
    let ben = |arguments: &[&str]| {
        brune(&service, "ben", &[&["proposal"], arguments, &["--dry-run"]].concat())
    };
    let judge = |verdict: &str| ben(&[verdict, "1", "--edition", "1", "--note", "fine"]);
    judge("approve").ends(0, "the verdict would be recorded: approve");
    judge("object").ends(0, "the verdict would be recorded: object");
    // Not an emergency.
    judge("acknowledge").ends(1, "only an emergency is acknowledged");
    ben(&["approve", "1", "--edition", "1", "--apply"]).ends(0, "proposal 1 would be applied");
    ben(&["approve", "1", "--edition", "2"]).ends(4, "the current edition is 1");
    ben(&["withdraw", "1", "-r", "not today"]).ends(0, "proposal 1 would be withdrawn");
    brune(&service, "ada", &["proposal", "show", "1"]).ends(0, "0 of 1 approvals, 0 objections");
}
