//! `brune secrets`, and the way of a secret out of the database as `docs/secrets.md` tells it.

use reqwest::Method;
use serde_json::Value;

use crate::support::{
    TestApp, admin_signed_with,
    binary::{Home, Service},
    by_hand,
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
    let told = service.get("/admin/secrets").await;
    assert!(!told.to_string().contains(MARKER), "{told}");
    let all = told["secrets"].as_array().unwrap().iter();
    let ours = all.filter(|it| it["name"] == "JWT_SECRET" || it["name"] == "OPENAI_API_KEY");
    ours.map(|it| (it["source"].as_str().unwrap().to_owned(), it["legacy_residue"] == true))
        .collect()
}

#[tokio::test]
async fn a_secret_finds_its_way_out_of_the_database() {
    let app = TestApp::new().await;
    by_hand::leave_secret(&app.db.pool(), "JWT_SECRET", &old()).await;
    by_hand::leave_secret(&app.db.pool(), "OPENAI_API_KEY", MARKER).await;
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
    let said = home.run(&["secrets", "status"]).ok();
    assert!(said.contains("OPENAI_API_KEY\tfile\tyes"), "{said}");
    let cleanup = ["secrets", "cleanup", "--reason", "provided by the platform now"];
    let said = home.run(&[&cleanup[..], &["--dry-run"]].concat()).ok();
    assert!(said.contains("JWT_SECRET\twould be removed"), "{said}");
    let unasked = home.run(&cleanup);
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    let said = home.run(&[&cleanup[..], &["--yes", "-o", "json"]].concat()).ok();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["removed"], serde_json::json!(["JWT_SECRET", "OPENAI_API_KEY"]));
    assert_eq!(told(&service).await, [row("env", false), row("file", false)]);
    let said = home.run(&cleanup).ok();
    assert!(said.contains("no secrets"), "{said}");
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
async fn in_production_a_service_needs_its_secret_from_somewhere() {
    let app = TestApp::new().await;
    let home = Home::on(&app.db).with("NODE_ENV", "production");
    home.run(&["serve"]).refused(&["JWT_SECRET: is required in production"]);
    by_hand::leave_secret(&app.db.pool(), "JWT_SECRET", "too short").await;
    home.run(&["serve"]).refused(&["JWT_SECRET: must have at least 32 bytes"]);
    // And the provider's, of which the catalog says so.
    let home = home.with("JWT_SECRET", NEW);
    home.run(&["serve"])
        .refused(&["OPENAI_API_KEY: is required in production", "OPENAI_API_KEY_FILE"]);
}
