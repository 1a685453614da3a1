//! The next step that `brune proposal` prints.

use crate::proposals::{COOLDOWN, PER_DAY, brune, in_days, propose, protected, protected_by};

#[tokio::test]
async fn the_next_step_depends_on_the_verdicts_and_the_caller() {
    let service = protected_by(2).await;
    let run = |person: &str, command: &[&str]| {
        brune(&service, person, &[&["proposal"], command].concat())
    };
    let show = |person: &str| run(person, &["show", "1"]);
    let approve =
        |person: &str, edition: &str| run(person, &["approve", "1", "--edition", edition]);
    propose(&service, "45", &[]).ends(0, "next: another person: brune proposal approve 1");
    show("ben").ends(0, "next\tbrune proposal approve 1 --edition 1\n");
    approve("ben", "1")
        .ends(0, "1 of 2 approvals")
        .ends(0, "next: another person: brune proposal approve 1");
    let edit =
        "to answer the objection: brune proposal edit 1 --edition 1 --reason TEXT KEY=VALUE…\n";
    run("cleo", &["object", "1", "--edition", "1", "--note", "too long"])
        .ends(0, "1 of 2 approvals, 1 objection\n")
        .ends(0, &format!("next: {edit}"));
    show("ben").ends(0, &format!("next\t{edit}"));
    run("ben", &["list"]).ends(0, "\t1 of 2 approvals, 1 objection\t");
    // Whoever wrote any edition cannot approve.
    let change = format!("{COOLDOWN}=50");
    run("dora", &["edit", "1", "--edition", "1", "-r", "shorter", &change])
        .ends(0, "next: another person: brune proposal approve 1 --edition 2");
    run("eve", &["edit", "1", "--edition", "2", "-r", "shorter", &change]).ends(0, "edition 3");
    show("dora").ends(0, "next\tanother person: brune proposal approve 1 --edition 3\n");
    approve("ben", "3").ends(0, "1 of 2");
    approve("cleo", "3").ends(0, "next: brune proposal apply 1 --edition 3");
    service.config(&["set", COOLDOWN, "60", "-r", "on fire", "--emergency"]).ends(0, "is 60");
    show("ada").ends(0, "next\ton the current values: brune proposal edit 1 --edition 3 ");
}

#[tokio::test]
async fn the_next_step_of_a_plan_waits_or_keeps_the_plan() {
    let service = protected().await;
    let show = |number: &str| brune(&service, "ben", &["proposal", "show", number]);
    let approve =
        |number: &str| brune(&service, "ben", &["proposal", "approve", number, "--edition", "1"]);
    let (at, printed_at) = in_days(30);
    propose(&service, "45", &[]).ends(0, "proposal 1 is open");
    propose(&service, "50", &["--at", &at, "--grace", "5", "--after", "1"])
        .ends(0, "proposal 2 is open");
    approve("2").ends(0, "next: brune proposal show 1");
    let times = format!("--at {printed_at} --grace 5");
    let objection = ["proposal", "object", "2", "--edition", "1", "--note", "too long"];
    brune(&service, "ben", &objection).ends(0, &format!("--reason TEXT {times} --after 1 KEY"));
    approve("2").ends(0, "1 of 1");
    brune(&service, "ada", &["proposal", "withdraw", "1", "-r", "not today"]).ends(0, "withdrawn");
    show("2").ends(0, "proposal 1 has to be applied first, but was withdrawn\n").ends(
        0,
        &format!("without proposal 1: brune proposal edit 2 --edition 1 --reason TEXT {times} KEY"),
    );
    let apply = ["proposal", "apply", "2", "--edition", "1"];
    brune(&service, "ada", &apply).ends(1, "takes effect at");

    propose(&service, "50", &["--at", &at]).ends(0, "proposal 3 is open");
    approve("3").ends(0, "next: wait: the service applies the proposal at its time");
    let per_day = format!("{PER_DAY}=4");
    brune(&service, "ada", &["proposal", "new", &per_day, "-r", "fewer"])
        .ends(0, "no approvals needed, 0 objections\n")
        .ends(0, "next: brune proposal apply 4 --edition 1");
    let freeze = ["freeze", "set", "--until", &at, "-r", "the holidays"];
    brune(&service, "ada", &freeze).ends(0, "settings are frozen");
    show("4").ends(0, "next\twait, or end the freeze: brune freeze list\n");
}
