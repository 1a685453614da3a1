//! Who may serve: a role that can do no more than it needs.

use serde_json::json;

use crate::support::{SECRET, TestApp, admin_signed_with, binary::Home, cluster::Cluster, psql};

/// The key of a provider that is never called.
const PROVIDER: (&str, &str) = ("OPENAI_API_KEY", "key-of-the-provider");

const VERSION: &str = "select current_setting('server_version_num')::bigint";

/// A home in production, with all that this needs.
fn production(home: Home) -> Home {
    home.with("NODE_ENV", "production").with("JWT_SECRET", SECRET).with(PROVIDER.0, PROVIDER.1)
}

#[tokio::test]
async fn production_refuses_to_serve_as_owner_or_superuser() {
    let app = TestApp::new().await;
    let owner = production(Home::on(&app.db)).with("DATABASE_URL", &app.db.owner_url());
    let parts = [
        "not ready to serve",
        "brune_migrate has the rights of brune_owner, the owner of the audit trail",
        "run `brune migrate --roles`",
        "BRUNE_DB_ALLOW_OWNER=true",
    ];
    owner.run(&["serve"]).refused(&parts);
    owner
        .run(&["doctor"])
        .refused(&["FAIL  database role: brune_migrate has the rights of brune_owner"]);
    let allowed = owner.with("BRUNE_DB_ALLOW_OWNER", "true");
    let service = allowed.serve().with_token(&admin_signed_with(SECRET));
    let reply = service.change("BRUNE_COOLDOWN_MINUTES", &json!(45), 1).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    service.stop().await;
    assert!(allowed.log().contains("brune_migrate has the rights of brune_owner"));
    let output = allowed.run(&["doctor"]).ok();
    assert!(
        output.contains("ok    database role: brune_migrate, which owns the tables"),
        "{output}"
    );

    let superuser = allowed.with("DATABASE_URL", &app.db.admin_url());
    let parts = ["is a superuser, which bypasses all privilege checks", "brune_service"];
    superuser.run(&["serve"]).refused(&parts);
    superuser.run(&["doctor"]).refused(&parts);
    // Elsewhere it is a warning.
    let development = superuser.with("NODE_ENV", "development");
    development.serve().stop().await;
    assert!(development.log().contains("is a superuser"));

    let service = production(Home::on(&app.db));
    service.serve().stop().await;
    assert!(!service.log().contains("database role"), "{}", service.log());
}

#[tokio::test]
async fn production_refuses_to_serve_with_a_disabled_trigger() {
    let app = TestApp::new().await;
    let disable = "alter table app_global_settings disable trigger app_global_settings_is_audited";
    psql::run(&app.db.owner(), disable).await;
    let home = production(Home::on(&app.db));
    let parts = "trigger app_global_settings_is_audited on app_global_settings is disabled";
    home.run(&["serve"]).refused(&[parts]);
    psql::run(&app.db.owner(), disable.replace("disable", "enable")).await;
    home.serve().stop().await;
}

#[tokio::test]
async fn a_missing_grant_is_reported_and_restored_by_migrate() {
    let app = TestApp::new().await;
    psql::run(&app.db.owner(), "revoke insert on brune_outbox from brune_service").await;
    psql::run(&app.db.owner(), "grant delete on app_global_setting_audit to brune_service").await;
    let home = Home::on(&app.db);
    home.run(&["serve"]).refused(&["brune_serve lacks insert on brune_outbox"]);
    home.run(&["doctor"]).refused(&["brune_serve has delete on app_global_setting_audit"]);
    let output = home.run(&["migrate"]).ok();
    let expected = "ran: revoke delete on table public.app_global_setting_audit from brune_service\n\
                    ran: grant insert on table public.brune_outbox to brune_service\n";
    assert_eq!(output, expected);
    home.run(&["doctor"]).ok();
    home.serve().stop().await;
}

#[tokio::test]
async fn extra_privileges_of_a_login_are_found() {
    let mut cluster = Cluster::new().await;
    cluster.command("postgres", &["migrate", "--roles"]).ok();
    cluster.command("postgres", &["migrate"]).ok();
    for (number, (attributes, grant, fault)) in [
        ("createrole", "", "has CREATEROLE, which serving does not need; remove the attribute"),
        ("bypassrls", "", "has BYPASSRLS"),
        ("replication", "", "has REPLICATION"),
        ("", "grant pg_write_all_data to", "is a member of pg_write_all_data, which serving"),
        ("", "grant pg_execute_server_program to", "is a member of pg_execute_server_program"),
        ("", "grant temporary on database mine to", "can create temporary tables"),
        ("", "grant create on schema public to", "can create objects in the schema public"),
        ("", "grant trigger on app_global_settings to", "has trigger on app_global_settings"),
        ("", "grant truncate on brune_session to", "has truncate on brune_session"),
        (
            "",
            "grant update (revision) on app_global_setting_head to",
            "has update (revision) on app_global_setting_head",
        ),
        ("", "grant brune_owner to", "has the rights of brune_owner"),
        (
            "",
            "grant set on parameter session_replication_role to",
            "can set session_replication_role",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let login = format!("login_{number}");
        cluster.login(&login, &format!("{attributes} in role brune_service")).await;
        if !grant.is_empty() {
            // Before 15 only superusers may set it, and nobody else can be allowed to.
            if grant.contains("parameter") && psql::count(&cluster.admin(), VERSION).await < 150_000
            {
                continue;
            }
            cluster.run(format!("{grant} {login}")).await;
        }
        cluster.command(&login, &["doctor"]).refused(&[&format!("{login} {fault}")]);
    }
    cluster.stop().await;
}
