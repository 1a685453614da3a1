//! `brune migrate`: schema, declarations and first values; all or nothing, and once.

use brune::settings::BRUN_E;
use sqlx::PgPool;

use crate::support::{TestApp, TestDb, binary::Home, psql};

/// Every value with its version and the reason of its first entry on the trail, by key.
async fn values(pool: &PgPool) -> Vec<(String, String)> {
    let sql = "select s.key, s.value_json::text || ' v' || s.version || ' ' || a.reason
        from app_global_settings s join app_global_setting_audit a using (key, version) order by 1";
    sqlx::query_as(sql).fetch_all(pool).await.unwrap()
}

async fn value(pool: &PgPool, key: &str) -> String {
    values(pool).await.into_iter().find(|setting| setting.0 == key).unwrap().1
}

/// Everything that publishing could touch.
async fn state(pool: &PgPool) -> String {
    let sql = "select (select row(h.*)::text from app_global_setting_head h)
        || (select coalesce(json_agg(s order by key)::text, '') from app_global_setting_schema s)
        || (select coalesce(json_agg(s order by key)::text, '') from app_global_settings s)
        || (select count(*) from app_global_setting_audit)";
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

async fn tables(pool: &PgPool) -> i64 {
    let sql = "select count(*) from pg_tables where schemaname = 'public'";
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// The built-in catalog with `old` replaced by `new`, in a file.
fn catalog(home: Home, edits: &[(&str, &str)]) -> Home {
    let text = edits.iter().fold(BRUN_E.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    });
    let path = home.write("catalog.toml", &text).display().to_string();
    home.with("BRUNE_CATALOG", &path)
}

#[tokio::test]
async fn a_second_migration_changes_nothing() {
    let db = TestDb::empty().await;
    let home = Home::on(&db);
    let first = home.run(&["migrate"]).ok();
    assert_eq!(
        first.lines().filter(|line| line.contains(" was seeded with ")).count(),
        9,
        "{first}"
    );
    let before = state(&db.pool()).await;
    let second = home.run(&["migrate"]).ok();
    assert_eq!(second, "nothing to do: the database is up to date\n");
    assert_eq!(home.run(&["migrate", "--plan"]).ok(), second);
    assert_eq!(state(&db.pool()).await, before);
}

#[tokio::test]
async fn a_migration_plan_lists_everything_and_changes_nothing() {
    let db = TestDb::empty().await;
    let home = Home::on(&db).with("BRUNE_COOLDOWN_MINUTES", "10");
    let plan = home.run(&["migrate", "--plan"]).ok();
    for migration in brune::database::MIGRATOR.iter() {
        assert!(plan.contains(&format!("migration {} (", migration.version)), "{plan}");
    }
    let seed = "BRUNE_COOLDOWN_MINUTES would be seeded with 10, from the environment\n";
    assert!(plan.contains(seed), "{plan}");
    assert!(plan.contains("JWT_SECRET would be declared\n"), "{plan}");
    assert_eq!(tables(&db.pool()).await, 0);

    // With the tables there and nothing in them, the plan is the same but for the migrations.
    let migrated = TestDb::new().await;
    let home = Home::on(&migrated).with("BRUNE_COOLDOWN_MINUTES", "10");
    let rest: String =
        plan.split_inclusive('\n').filter(|line| !line.starts_with("migration ")).collect();
    assert_eq!(home.run(&["migrate", "--plan"]).ok(), rest);
}

#[tokio::test]
async fn initial_values_come_from_environment_then_env_file_then_catalog() {
    let db = TestDb::empty().await;
    let home = Home::on(&db)
        .with("BRUNE_COOLDOWN_MINUTES", "10")
        .with("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", "junior, senior")
        .with("BRUNE_MAX_SESSIONS_PER_DAY", " ");
    home.write(".env", "BRUNE_COOLDOWN_MINUTES=11\nBRUNE_SESSION_MAX_MINUTES=12\n");
    home.run(&["migrate"]).ok();
    let pool = db.pool();
    for (key, expected) in [
        ("BRUNE_COOLDOWN_MINUTES", "10 v1 env_import: initial value, from the environment"),
        (
            "BRUNE_ELIGIBILITY_ALLOWED_LEVELS",
            r#"["junior", "senior"] v1 env_import: initial value, from the environment"#,
        ),
        ("BRUNE_SESSION_MAX_MINUTES", "12 v1 env_import: initial value, from .env"),
        ("BRUNE_MAX_SESSIONS_PER_DAY", "3 v1 initial value, from the catalog default"),
    ] {
        assert_eq!(value(&pool, key).await, expected);
    }
    let revision: i64 = sqlx::query_scalar("select revision from app_global_setting_head")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(revision, 1);

    let before = state(&pool).await;
    let home = home.with("BRUNE_COOLDOWN_MINUTES", "20").with("BRUNE_PROMPT_VERSION", "9");
    home.run(&["migrate"]).ok();
    assert_eq!(state(&pool).await, before);
}

#[tokio::test]
async fn invalid_initial_values_are_all_reported_and_nothing_is_written() {
    let db = TestDb::new().await;
    let before = state(&db.pool()).await;
    let home = Home::on(&db)
        .with("BRUNE_COOLDOWN_MINUTES", "999")
        .with("BRUNE_SESSION_MAX_MINUTES", "half an hour")
        .with("BRUNE_ELIGIBILITY_REQUIRE_PLAN", "yes")
        .with("BRUNE_OPENAI_REALTIME_MODEL", "not-on-the-list");
    let keys = [
        "BRUNE_COOLDOWN_MINUTES",
        "BRUNE_SESSION_MAX_MINUTES",
        "BRUNE_ELIGIBILITY_REQUIRE_PLAN",
        "BRUNE_OPENAI_REALTIME_MODEL",
        "the environment",
    ];
    home.run(&["migrate"]).refused(&keys);
    home.run(&["migrate", "--plan"]).refused(&keys);
    assert_eq!(state(&db.pool()).await, before);
}

#[tokio::test]
async fn an_incompatible_catalog_reports_every_key_before_writing() {
    let app = TestApp::new().await;
    psql::set(&app.db.pool(), "BRUNE_COOLDOWN_MINUTES", "200").await;
    psql::set(&app.db.pool(), "BRUNE_SESSION_MAX_MINUTES", "5").await;
    let before = state(&app.db.pool()).await;
    let gone = "[[setting]]\nkey = \"BRUNE_PROMPT_VERSION\"";
    let other = "[[setting]]\nkey = \"BRUNE_PROMPT_OTHER\"";
    let edits =
        [("max = 240", "max = 100"), ("min = 1, max = 120", "min = 10, max = 120"), (gone, other)];
    let home = catalog(Home::on(&app.db), &edits);
    let keys = ["BRUNE_COOLDOWN_MINUTES", "BRUNE_SESSION_MAX_MINUTES", "BRUNE_PROMPT_VERSION"];
    for arguments in [&["migrate"][..], &["migrate", "--plan"], &["doctor"]] {
        home.run(arguments).refused(&keys);
    }
    assert_eq!(state(&app.db.pool()).await, before);
}

#[tokio::test]
async fn a_grown_catalog_adds_its_keys_and_keeps_the_others() {
    let app = TestApp::new().await;
    let new = "[[setting]]\nkey = \"BRUNE_NEW\"\ncategory = \"brune_business\"\ntype = \"number\"\ndefault = 5\n\
        applies = \"new_sessions\"\ndescription = \"New.\"\nconstraints = {}\n\n[[setting]]\nkey = \"BRUNE_PROMPT_ID\"";
    let edits = [("[[setting]]\nkey = \"BRUNE_PROMPT_ID\"", new)];
    let home = catalog(Home::on(&app.db), &edits).with("BRUNE_NEW", "6");
    home.run(&["doctor"]).refused(&["BRUNE_NEW", "brune migrate"]);
    // The environment was for the first seeding; this is not the first.
    let output = home.run(&["migrate"]).ok();
    assert_eq!(output, "BRUNE_NEW was declared\nBRUNE_NEW was seeded with 5, from default\n");
    home.run(&["doctor"]).ok();
    app.instance.wait_for_revision(2).await;
}

#[tokio::test]
async fn a_catalog_of_another_product_is_refused() {
    let app = TestApp::new().await;
    let home = catalog(Home::on(&app.db), &[("catalog = \"brun-e\"", "catalog = \"other\"")]);
    home.run(&["migrate"]).refused(&["brun-e", "other"]);
    home.run(&["serve"]).refused(&["brun-e", "other"]);
}
