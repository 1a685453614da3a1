//! `set`, `reset`, `rollback`.

use serde_json::json;

use crate::{
    proxy,
    service::{Service, run},
};

const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";

#[tokio::test]
async fn set_and_reset_take_a_reason() {
    let service = Service::start().await;
    let set = |value: &str| service.config(&["set", COOLDOWN, value, "-r", "calmer evenings"]);
    set("45").ends(0, "BRUNE_COOLDOWN_MINUTES is 45 (was 30), version 2");
    set("45").ends(0, "is already 45");
    service
        .config(&["set", COOLDOWN, "50", "-r", "only looking", "--dry-run"])
        .ends(0, "would be 50 (was 45), version 3");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "45\n");
    let output = service.config(&["reset", COOLDOWN, "-r", "as it was", "-o", "json"]).json();
    assert_eq!((&output["value"], &output["version"]), (&json!(30), &json!(3)));
    service.config(&["set", COOLDOWN, "45"]).ends(2, "--reason");
}

#[tokio::test]
async fn a_value_is_parsed_by_its_declared_type() {
    let service = Service::start().await;
    let set = |key: &str, value: &str| service.config(&["set", key, value, "-r", "as it is typed"]);
    set("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", "mid, senior").ends(0, r#"is ["mid","senior"]"#);
    set("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", r#"["a,b"]"#).ends(0, r#"is ["a,b"]"#);
    set("BRUNE_ELIGIBILITY_REQUIRE_PLAN", "false").ends(0, "is false");
    set("BRUNE_PROMPT_VERSION", "7").ends(0, "is 7");
    let stored = service.config(&["get", "BRUNE_PROMPT_VERSION", "-o", "json"]).json();
    assert_eq!(stored["value"], "7");
    set(COOLDOWN, "soon").ends(2, "the value must be a number");
    set("BRUNE_ELIGIBILITY_REQUIRE_PLAN", "no").ends(2, "the value must be true or false");
    set(COOLDOWN, "-1").ends(1, "must be between 0 and 240");
}

#[tokio::test]
async fn a_locked_key_is_refused_and_audited() {
    let service = Service::start().await;
    for (key, value) in [("JWT_SECRET", "a new one"), ("POSTGRES_PORT", "not even a number")] {
        service.config(&["set", key, value, "-r", "let me in"]).ends(1, "may not be changed here");
        let trace = service.config(&["history", key]).ends(0, "");
        assert_eq!(trace.rows()[0][2..], ["ada", "refused", key, "-", "let me in"]);
    }
}

#[tokio::test]
async fn a_version_conflict_names_the_other_writer() {
    let service = Service::start().await;
    let mut ben = service.config_at(
        &service.address,
        "ben",
        &["set", COOLDOWN, "60", "-r", "I was here first"],
    );
    let between = proxy::before(&service.address, "PUT", move || {
        run(&mut ben).ends(0, "is 60");
    });
    let lost =
        run(&mut service.config_at(&between, "ada", &["set", COOLDOWN, "45", "-r", "calmer"]));
    lost.ends(4, "BRUNE_COOLDOWN_MINUTES is 60 at version 2 since").ends(4, "by ben");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "60\n");
}

#[tokio::test]
async fn a_rollback_shows_a_plan_and_asks_for_confirmation() {
    let service = Service::start().await;
    service.config(&["set", COOLDOWN, "45", "-r", "calmer evenings"]).ends(0, "");
    let back = |more: &[&str]| {
        let key = ["rollback", COOLDOWN, "--to-version", "1", "-r", "too calm"];
        service.config(&[&key, more].concat())
    };
    let plan = back(&["--dry-run"]).ends(0, "");
    assert_eq!(plan.rows()[0], [COOLDOWN, "45", "30", "change"]);
    back(&[]).ends(2, "confirmation requires a terminal; use --yes");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "45\n");
    back(&["--yes"]).ends(0, "restored, revision 3");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "30\n");
    let whole = ["rollback", "--to-revision", "2", "-r", "calm after all", "--yes", "-o", "json"];
    assert_eq!(service.config(&whole).json()["revision"], 4);
    service
        .config(&["rollback", COOLDOWN, "--to-version", "9", "-r", "too calm", "-y"])
        .ends(1, "");
    service.config(&["rollback", "-r", "too calm"]).ends(2, "--to-revision");
}
