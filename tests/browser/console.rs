//! The console as its users meet it: each journey a script of its own, against the real program.

use chrono::TimeDelta;

use brune::{clock::Clock, http::Grant};

use crate::{
    run, scripts,
    support::{SECRET, TestApp, admin, auth, binary::Home, user},
};

/// A token that was good an hour ago.
fn expired(sub: &str) -> String {
    let role = Some(brune::http::SUPER_ADMIN.to_owned());
    let grant = Grant { sub: sub.to_owned(), role, ..Grant::default() };
    let then = Clock::system().now() - TimeDelta::hours(2);
    brune::http::issue(&auth(), &grant, then, TimeDelta::hours(1)).unwrap()
}

/// Runs `script` against a service over `app`'s database, with Ada's and Ben's tokens; returns what it said.
async fn travel(app: &TestApp, script: &str, more: &[(&str, &str)]) -> String {
    let home = Home::on(&app.db).with("JWT_SECRET", SECRET);
    let home = more.iter().fold(home, |home, (name, value)| home.with(name, value));
    let service = home.serve();
    let base = format!("http://{}", service.address());
    let (ada, ben, user, expired) = (admin("ada"), admin("ben"), user("ana"), expired("ada"));
    let variables = [
        ("BASE", &*base),
        ("ADMIN", &ada),
        ("OTHER", &ben),
        ("USER", &user),
        ("EXPIRED", &expired),
        ("NO_PROXY", "127.0.0.1,localhost"),
    ];
    run(&scripts(), script, &variables).await
}

macro_rules! journeys {
    ($($name:ident: $script:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                travel(&TestApp::new().await, $script, &[]).await;
            }
        )*
    };
}

journeys! {
    signing_in_takes_a_sound_token_and_keeps_it_from_scripts: "journey_sign_in.mjs",
    settings_are_edited_reviewed_saved_and_taken_back: "journey_edit.mjs",
    two_browsers_that_change_the_same_lose_nothing: "journey_conflict.mjs",
    signing_in_again_keeps_the_draft: "journey_expired.mjs",
}
