//! The console as its users meet it: each journey a script of its own, against the real program.

use chrono::TimeDelta;

use brune::{clock::Clock, http::Grant};

use crate::{
    run, scripts,
    support::{SECRET, TestApp, admin, auth, binary::Home, psql, server::variable, user},
};

/// A token that was good an hour ago.
fn expired(sub: &str) -> String {
    let role = Some(brune::http::SUPER_ADMIN.to_owned());
    let grant = Grant { sub: sub.to_owned(), role, ..Grant::default() };
    let then = Clock::system().now() - TimeDelta::hours(2);
    brune::http::issue(&auth(), &grant, then, TimeDelta::hours(1)).unwrap()
}

/// Runs `script` against a service over `app`'s database, with Ada's and Ben's tokens, in a `way` it knows; returns what
/// it said.
async fn travel(app: &TestApp, catalog: Option<&str>, script: &str, way: &str) -> String {
    let home = Home::on(&app.db).with("JWT_SECRET", SECRET);
    let home = match catalog.map(|text| home.write("catalog.toml", text)) {
        Some(path) => home.with("BRUNE_CATALOG", &path.display().to_string()),
        None => home,
    };
    let service = home.serve();
    let base = format!("http://{}", service.address());
    // A name may hold what a value may not.
    let other = if way == "hostile" { "<b class=pwned>ben</b>" } else { "ben" };
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
        ("WAY", way),
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
    signing_in_takes_a_sound_token_and_keeps_it_from_scripts: "journey_sign_in.mjs",
    settings_are_edited_reviewed_saved_and_taken_back: "journey_edit.mjs",
    two_browsers_that_change_the_same_lose_nothing: "journey_conflict.mjs",
    signing_in_again_keeps_the_draft: "journey_expired.mjs",
    what_was_is_restored_from_the_history: "journey_restore.mjs",
    a_document_is_imported_conflict_by_conflict: "journey_transfer.mjs",
    sessions_and_the_fleet_are_looked_after: "journey_sessions.mjs",
    everything_is_done_without_a_mouse: "journey_keyboard.mjs",
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_residue_is_cleaned_up_and_never_shown() {
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

async fn every_page(way: &str) {
    let output = travel(&TestApp::new().await, None, "pages.mjs", way).await;
    let actual = output.lines().find(|line| line.contains("none serious"));
    println!("{}", actual.unwrap_or_else(|| panic!("{output}")));
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
async fn the_settings_page_reports_its_load_time() {
    for settings in [9, 2_000] {
        let catalog = (9 < settings).then(|| catalog_of(settings));
        let app = match &catalog {
            Some(text) => TestApp::with_catalog(text).await,
            None => TestApp::new().await,
        };
        let output = travel(&app, catalog.as_deref(), "speed.mjs", "").await;
        let actual = output.lines().find(|line| line.contains("interactive after"));
        let actual = actual.unwrap_or_else(|| panic!("{output}"));
        assert!(actual.starts_with(&format!("{settings} settings")), "{actual}");
        println!("{actual}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_input_is_escaped_on_every_page() {
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

/// A catalog of that many settings, of all types, in twenty categories.
fn catalog_of(settings: usize) -> String {
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
    let head = "catalog = \"many\"\ndescription = \"Many settings.\"\n".to_owned();
    (0..settings).map(setting).fold(head, |all, one| all + &one)
}
