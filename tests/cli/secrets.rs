//! `brune secrets`, and the way of a secret out of the database as `docs/secrets.md` tells it.

use reqwest::Method;
use serde_json::Value;

use crate::support::{
    TestApp, admin_signed_with,
    binary::{Home, Service},
    psql,
};

/// What nobody may find again, anywhere.
const MARKER: &str = "residue-of-a-secret-51c2";
const NEW: &str = "the new secret, which is long enough for it";

fn old() -> String {
    format!("{MARKER}-which-is-long-enough-for-it")
}

async fn status(service: &Service, token: &str) -> u16 {
    let call = service.anonymous(Method::GET, "/admin/secrets").bearer_auth(token);
    call.send().await.unwrap().status().as_u16()
}

/// The sources of `JWT_SECRET` and `OPENAI_API_KEY`, and whether anything is left of them.
async fn told(service: &Service) -> Vec<(String, bool)> {
    let actual = service.get("/admin/secrets").await;
    assert!(!actual.to_string().contains(MARKER), "{actual}");
    let all = actual["secrets"].as_array().unwrap().iter();
    let ours =
        all.filter(|secret| secret["name"] == "JWT_SECRET" || secret["name"] == "OPENAI_API_KEY");
    ours.map(|secret| {
        (secret["source"].as_str().unwrap().to_owned(), secret["legacy_residue"] == true)
    })
    .collect()
}

#[tokio::test]
async fn a_legacy_secret_is_used_reported_and_cleaned_up() {
    let app = TestApp::new().await;
    psql::leave_secret(&app.db.pool(), "JWT_SECRET", &old()).await;
    psql::leave_secret(&app.db.pool(), "OPENAI_API_KEY", MARKER).await;
    let mut home = Home::on(&app.db).with("NODE_ENV", "production").with("LOG_LEVEL", "trace");

    // An older release's rows still work, and are warned of.
    let service = home.serve().with_token(&admin_signed_with(&old()));
    let row = |source: &str, left: bool| (source.to_owned(), left);
    assert_eq!(told(&service).await, [row("legacy_db", true), row("legacy_db", true)]);
    let log = home.log();
    assert!(
        log.contains("secrets are read from the database")
            && log.contains("JWT_SECRET, OPENAI_API_KEY"),
        "{log}"
    );
    service.stop().await;
    home.run(&["doctor"]).refused(&["still holds JWT_SECRET", "still holds OPENAI_API_KEY"]);

    // Provided outside, the new one first: tokens of both are good until the old one is taken out.
    let file = home.write("key", "sk-from-a-file\n");
    home.set("JWT_SECRET", &format!("{NEW}\n{}", old()));
    home.set("OPENAI_API_KEY_FILE", file.to_str().unwrap());
    let service = home.serve().with_token(&admin_signed_with(NEW));
    assert_eq!(status(&service, &admin_signed_with(&old())).await, 200);
    assert_eq!(
        status(&service, &admin_signed_with("another secret that is long enough")).await,
        401
    );
    assert_eq!(told(&service).await, [row("env", true), row("file", true)]);
    home.set("BRUNE_URL", &format!("http://{}", service.address()));
    home.set("BRUNE_TOKEN", &service.token);
    let output = home.run(&["secrets", "status"]).ok();
    assert!(output.contains("OPENAI_API_KEY\tfile\tyes"), "{output}");
    let cleanup = ["secrets", "cleanup", "--reason", "provided by the platform now"];
    let output = home.run(&[&cleanup[..], &["--dry-run"]].concat()).ok();
    assert!(output.contains("JWT_SECRET\twould be removed"), "{output}");
    let unasked = home.run(&cleanup);
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    let output = home.run(&[&cleanup[..], &["--yes", "-o", "json"]].concat()).ok();
    let output: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(output["removed"], serde_json::json!(["JWT_SECRET", "OPENAI_API_KEY"]));
    assert_eq!(told(&service).await, [row("env", false), row("file", false)]);
    let output = home.run(&cleanup).ok();
    assert!(output.contains("no secrets"), "{output}");
    home.run(&["doctor"]).ok();
    service.stop().await;

    // The old one is taken out.
    home.set("JWT_SECRET", NEW);
    let service = home.serve().with_token(&admin_signed_with(NEW));
    assert_eq!(status(&service, &admin_signed_with(&old())).await, 401);
    assert_eq!(status(&service, &service.token).await, 200);
    service.stop().await;
    assert!(!home.log().contains(MARKER), "{}", home.log());
}

#[tokio::test]
async fn production_requires_a_source_for_each_secret() {
    let app = TestApp::new().await;
    let home = Home::on(&app.db).with("NODE_ENV", "production");
    home.run(&["serve"]).refused(&["JWT_SECRET: is required in production"]);
    psql::leave_secret(&app.db.pool(), "JWT_SECRET", "too short").await;
    home.run(&["serve"]).refused(&["JWT_SECRET: must have at least 32 bytes"]);
    // And the provider's, of which the catalog says so.
    let home = home.with("JWT_SECRET", NEW);
    home.run(&["serve"])
        .refused(&["OPENAI_API_KEY: is required in production", "OPENAI_API_KEY_FILE"]);
}
