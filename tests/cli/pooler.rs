//! The commands behind a pooler in transaction mode.

use serde_json::json;

use crate::support::{TestApp, TestDb, binary::Home, pgbouncer::PgBouncer, wait::wait_until};

/// A home whose database is behind `pooler`, and knows it.
fn behind(pooler: &PgBouncer) -> Home {
    Home::new().with("DATABASE_URL", &pooler.url()).with("BRUNE_DB_POOLER", "transaction")
}

#[tokio::test]
async fn an_undeclared_pooler_is_reported_with_its_variable() {
    let db = TestDb::new().await;
    let pooler = PgBouncer::before(&db).await;
    let home = Home::new().with("DATABASE_URL", &pooler.url());
    for command in ["serve", "migrate", "doctor"] {
        home.run(&[command]).refused(&["behind a pooler", "BRUNE_DB_POOLER=transaction"]);
    }
}

#[tokio::test]
async fn migrations_use_the_direct_url_or_are_refused() {
    let db = TestDb::empty().await;
    let pooler = PgBouncer::before(&db).await;
    let home = behind(&pooler);
    let owner = behind(&pooler).with("DATABASE_URL", &pooler.owner_url());
    owner.run(&["migrate"]).refused(&["is pending", "DATABASE_DIRECT_URL"]);
    owner.run(&["migrate", "--roles"]).refused(&["DATABASE_DIRECT_URL"]);
    home.run(&["serve"]).refused(&["is pending", "DATABASE_DIRECT_URL"]);
    let direct = behind(&pooler).with("DATABASE_DIRECT_URL", &db.url());
    // Past the pooler, with the address of the role that migrates.
    let migrating = behind(&pooler).with("DATABASE_MIGRATE_URL", &db.owner_url());
    migrating.run(&["migrate"]).ok();
    // Nothing is pending any more, and what is left needs no session.
    assert!(owner.run(&["migrate"]).ok().contains("up to date"));
    for home in [&home, &direct] {
        let output = home.run(&["doctor"]).ok();
        assert!(output.contains("ok    audit trail: 9 entries"), "{output}");
        assert!(output.contains("ok    pooler: transaction mode"), "{output}");
    }
    assert!(home.run(&["doctor"]).ok().contains("without DATABASE_DIRECT_URL"));
}

#[tokio::test]
async fn the_service_runs_behind_a_pooler_and_reports_its_change_signal() {
    let app = TestApp::new().await;
    let pooler = PgBouncer::before(&app.db).await;
    let disguised = PgBouncer::in_disguise(&app.db).await;
    for (around, told) in [
        (None, "set DATABASE_DIRECT_URL for a direct connection to listen on"),
        (Some(app.db.url()), "listening on brune_settings"),
        (Some(disguised.url()), "LISTEN succeeded but the test notification was not received"),
    ] {
        let mut home = behind(&pooler);
        if let Some(around) = around {
            home.set("DATABASE_DIRECT_URL", &around);
        }
        let service = home.serve();
        let one = service.get("/admin/global-settings/BRUNE_COOLDOWN_MINUTES").await;
        let version = one["version"].as_i64().unwrap();
        let change_reply = service.change("BRUNE_COOLDOWN_MINUTES", &json!(version + 40), version);
        assert_eq!(change_reply.send().await.unwrap().status(), 200);
        wait_until(told, async || home.log().contains(told)).await;
        service.stop().await;
    }
}
