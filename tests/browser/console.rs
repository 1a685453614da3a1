//! Journeys through the console: each test runs a script in Chromium against the compiled binary.

use chrono::TimeDelta;

use brune::{clock::Clock, http::Grant};

use crate::{
    run, scripts,
    support::{SECRET, TestApp, admin, auth, binary::Home, psql, server::variable, user},
};

/// Returns a token that expired an hour ago.
fn expired(sub: &str) -> String {
    let role = Some(brune::http::SUPER_ADMIN.to_owned());
    let grant = Grant { sub: sub.to_owned(), role, ..Grant::default() };
    let issued_at = Clock::system().now() - TimeDelta::hours(2);
    brune::http::issue(&auth(), &grant, issued_at, TimeDelta::hours(1)).unwrap()
}

/// Runs `script` against a service with `app`'s database, with the tokens of two administrators. `mode` is an argument of
/// the script. Returns its output.
async fn travel(app: &TestApp, catalog: Option<&str>, script: &str, mode: &str) -> String {
    let home = Home::on(&app.db).with("JWT_SECRET", SECRET);
    let home = match catalog.map(|text| home.write("catalog.toml", text)) {
        Some(path) => home.with("BRUNE_CATALOG", &path.display().to_string()),
        None => home,
    };
    let service = home.serve();
    let base = format!("http://{}", service.address());
    // Names may contain markup, although values may not.
    let other = if mode == "hostile" { "<b class=pwned>ben</b>" } else { "ben" };
    let ada = admin("ada");
    let ben = admin(other);
    let user = user("ana");
    let expired = expired("ada");
    let shots = variable("SHOTS").unwrap_or_default();
    let variables = [
        ("BASE", &*base),
        ("ADMIN", &ada),
        ("OTHER", &ben),
        ("USER", &user),
        ("EXPIRED", &expired),
        ("SHOTS", &shots),
        ("MODE", mode),
        ("NO_PROXY", "127.0.0.1,localhost"),
    ];
    run(&scripts(), script, &variables).await
}

macro_rules! journeys {
    ($($name:ident: $script:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                travel(&TestApp::new().await, None, $script, "").await;
            }
        )*
    };
}

journeys! {
    sign_in_accepts_a_valid_token_and_hides_the_token_from_scripts: "journey_sign_in.mjs",
    settings_are_edited_reviewed_saved_and_reverted: "journey_edit.mjs",
    conflicting_changes_of_two_browsers_are_resolved_without_loss: "journey_conflict.mjs",
    an_expired_token_keeps_the_draft: "journey_expired.mjs",
    earlier_values_are_restored_from_the_history: "journey_restore.mjs",
    a_document_is_imported_with_conflicts_resolved_one_by_one: "journey_transfer.mjs",
    sessions_are_ended_and_the_audit_chain_is_verified: "journey_sessions.mjs",
    the_console_works_with_the_keyboard_alone: "journey_keyboard.mjs",
    freezes_stops_and_emergencies_are_shown_and_ended: "journey_safety.mjs",
    a_revision_is_named_compared_and_restored: "journey_releases.mjs",
    a_what_if_replays_the_recorded_starts_under_a_draft_and_a_proposal: "journey_what_if.mjs",
    a_rollout_is_proposed_begun_held_advanced_and_reverted: "journey_rollout.mjs",
}

/// Returns the catalog with settings that need the approvals of other people.
fn protected(settings: &[(&str, u8)]) -> String {
    settings.iter().fold(brune::settings::BRUN_E.to_owned(), |catalog, (key, approvals)| {
        let line = format!("key = \"{key}\"");
        assert!(catalog.contains(&line), "{key}");
        catalog.replacen(&line, &format!("{line}\napprovals = {approvals}"), 1)
    })
}

/// Runs `script` with a cooldown that needs one approval, and a version of the prompt that needs two.
async fn travel_protected(script: &str) {
    let catalog = protected(&[("BRUNE_COOLDOWN_MINUTES", 1), ("BRUNE_PROMPT_VERSION", 2)]);
    travel(&TestApp::with_catalog(&catalog).await, Some(&catalog), script, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_protected_settings_are_proposed() {
    travel_protected("journey_propose.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_under_the_name_of_another_person() {
    travel_protected("journey_identity.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_and_dialogs_follow_what_they_are_about() {
    travel_protected("journey_notices.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_edit_approve_schedule_and_withdraw_proposals() {
    travel_protected("journey_proposals.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_edited_and_approved_with_the_keyboard_alone() {
    travel_protected("journey_proposals_keyboard.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_an_older_release_are_deleted_and_never_shown() {
    let app = TestApp::new().await;
    for key in ["JWT_SECRET", "OPENAI_API_KEY"] {
        let value = format!("residue-of-old-{key}-that-is-long-enough");
        psql::leave_secret(&app.db.pool(), key, &value).await;
    }
    travel(&app, None, "journey_secrets.mjs", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_without_sessions_shows_no_session_pages() {
    let catalog = include_str!("../../config/mcp-gateway.toml");
    let app = TestApp::with_catalog(catalog).await;
    travel(&app, Some(catalog), "journey_no_sessions.mjs", "").await;
}

async fn every_page(mode: &str) {
    let catalog = protected(&[("BRUNE_PROMPT_ID", 1), ("BRUNE_OPENAI_REALTIME_MODEL", 2)]);
    let app = TestApp::with_catalog(&catalog).await;
    let output = travel(&app, Some(&catalog), "pages.mjs", mode).await;
    let summary = output.lines().find(|line| line.contains("none serious"));
    println!("{}", summary.unwrap_or_else(|| panic!("{output}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_in_light_mode() {
    every_page("light").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_in_dark_mode() {
    every_page("dark").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_on_a_narrow_screen() {
    every_page("narrow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_page_is_measured_until_interactive() {
    for settings in [9, 2_000] {
        let catalog = (settings > 9).then(|| catalog_of(settings));
        let app = match &catalog {
            Some(text) => TestApp::with_catalog(text).await,
            None => TestApp::new().await,
        };
        let output = travel(&app, catalog.as_deref(), "speed.mjs", "").await;
        let figures = output.lines().find(|line| line.contains("interactive after"));
        let figures = figures.unwrap_or_else(|| panic!("{output}"));
        assert!(figures.starts_with(&format!("{settings} settings")), "{figures}");
        println!("{figures}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_visit_transfers_less_than_90_kb_and_a_repeat_visit_no_file() {
    let output = travel(&TestApp::new().await, None, "bytes.mjs", "").await;
    let figures = output.lines().find(|line| line.starts_with("first visit"));
    println!("{}", figures.unwrap_or_else(|| panic!("{output}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn user_input_is_shown_as_text_on_every_page() {
    let catalog = r#"
        catalog = "hostile"
        description = "Texts and lists that may hold anything."
        [[setting]]
        key = "HOSTILE_TEXT"
        category = "texts"
        type = "string"
        default = "x"
        applies = "new_sessions"
        description = "Any text."
        [[setting]]
        key = "HOSTILE_LIST"
        category = "texts"
        type = "string_array"
        default = []
        applies = "new_sessions"
        description = "Any texts."
        [[setting]]
        key = "HOSTILE_SWITCH"
        category = "texts"
        type = "boolean"
        default = true
        applies = "hot"
        description = "Something to change."
    "#;
    travel(&TestApp::with_catalog(catalog).await, Some(catalog), "hostile.mjs", "hostile").await;
    travel(&TestApp::new().await, None, "hostile.mjs", "hostile").await;
}

/// Returns a catalog of `count` settings of all types, in twenty categories.
fn catalog_of(count: usize) -> String {
    let kinds = ["number", "string", "boolean", "string_array"];
    let defaults = ["30", "\"a text of some length\"", "true", "[\"one\", \"two\"]"];
    let setting = |i: usize| {
        let kind = kinds[i % 4];
        let default = defaults[i % 4];
        format!(
            "[[setting]]\nkey = \"MANY_SETTING_{i:04}\"\ncategory = \"category_{:02}\"\ntype = \"{kind}\"\n\
             default = {default}\napplies = \"hot\"\ndescription = \"What setting {i} does, in a sentence of some length.\"\n",
            i % 20
        )
    };
    let header = "catalog = \"many\"\ndescription = \"Many settings.\"\n".to_owned();
    (0..count).map(setting).fold(header, |catalog, table| catalog + &table)
}
