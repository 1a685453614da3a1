//! The triggers and functions themselves, and the migration that brings them to an installation.

use std::num::NonZeroUsize;

use brune::{
    database::{Defect, MIGRATOR, Pool, Topology, inspect},
    settings::{self, BRUN_E, Catalog},
};
use serde_json::json;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgPool, migrate::Migrator,
};

use crate::{
    settings::{COOLDOWN, HISTORY, read},
    support::{
        Instance, TestApp, TestDb, admin, firewall, psql,
        roles::{SERVICE, service_role},
        user,
    },
};

async fn run(pool: &PgPool, sql: impl Into<String>) {
    pool.execute(sqlx::raw_sql(AssertSqlSafe(sql.into()))).await.unwrap();
}

/// The functions of the schema whose names are not resolved by the one path that nobody can put anything in front of.
async fn open_paths(db: &TestDb) -> Vec<String> {
    let sql =
        "select oid::regprocedure::text from pg_proc where pronamespace = 'public'::regnamespace
        and ('search_path=pg_catalog, public, pg_temp' = any(proconfig)) is not true order by 1";
    sqlx::query_scalar(sql).fetch_all(&db.admin()).await.unwrap()
}

#[tokio::test]
async fn every_function_resolves_names_by_a_fixed_path() {
    let db = TestDb::new().await;
    assert_eq!(open_paths(&db).await, Vec::<String>::new());
    let planted =
        "create function brune_planted(integer) returns integer language sql as 'select $1';
         alter function brune_planted(integer) owner to brune_owner";
    run(&db.owner(), planted).await;
    assert_eq!(open_paths(&db).await, ["brune_planted(integer)"]);
    let inspection = inspect(&db.admin().into()).await.unwrap();
    let expected = Defect::OpenSearchPath {
        function: "brune_planted(integer)".to_owned(),
        path: "pg_catalog, public, pg_temp".to_owned(),
    };
    assert_eq!(inspection.defects, [expected]);
}

#[tokio::test]
async fn the_inspection_lists_every_trigger_and_function() {
    let db = TestDb::new().await;
    let inspection = inspect(&db.admin().into()).await.unwrap();
    assert_eq!(inspection.defects, []);
    let count = async |sql| usize::try_from(psql::count(&db.admin(), sql).await).ok();
    // The excluded trigger has no effect, and exists for the check of the release before.
    let triggers = "select count(*) from pg_trigger
        where not tgisinternal and tgname <> 'app_global_settings_notify'";
    assert_eq!(count(triggers).await, Some(inspection.triggers));
    let functions = "select count(*) from pg_proc where pronamespace = 'public'::regnamespace";
    assert_eq!(count(functions).await, Some(inspection.functions));
    assert!(NonZeroUsize::new(inspection.triggers).is_some());
}

#[tokio::test]
async fn a_weakened_trigger_or_function_is_found() {
    let of = |table: &str, trigger: &str| (table.to_owned(), trigger.to_owned());
    let (table, trigger) = of("app_global_settings", "app_global_settings_is_audited");
    let disabled = Defect::DisabledTrigger { table: table.clone(), trigger: trigger.clone() };
    let missing = Defect::MissingTrigger { table, trigger };
    let write = "app_global_settings_write()".to_owned();
    for (sql, expected) in [
        (
            "alter table app_global_settings disable trigger app_global_settings_is_audited",
            vec![disabled.clone()],
        ),
        (
            "alter table app_global_settings enable replica trigger app_global_settings_is_audited",
            vec![disabled],
        ),
        (
            "alter table app_global_settings enable always trigger app_global_settings_is_audited",
            vec![],
        ),
        (
            "drop trigger app_global_settings_is_audited on app_global_settings",
            vec![missing.clone()],
        ),
        (
            "drop trigger app_global_settings_is_audited on app_global_settings;
             create trigger app_global_settings_is_audited before update on app_global_settings
               for each row execute function suppress_redundant_updates_trigger()",
            vec![missing.clone()],
        ),
        (
            "drop function app_global_settings_is_audited() cascade",
            vec![missing, Defect::MissingFunction("app_global_settings_is_audited".to_owned())],
        ),
        (
            "alter function app_global_settings_write() reset search_path",
            vec![Defect::OpenSearchPath {
                function: write.clone(),
                path: "pg_catalog, public, pg_temp".to_owned(),
            }],
        ),
        (
            "alter function app_global_settings_write() set search_path = public, pg_catalog, pg_temp",
            vec![Defect::OpenSearchPath {
                function: write.clone(),
                path: "pg_catalog, public, pg_temp".to_owned(),
            }],
        ),
        (
            "alter function app_global_setting_head_notifies() reset plan_cache_mode;
             alter function app_global_setting_head_notifies() set debug_print_plan = on",
            [("plan_cache_mode", "force_generic_plan"), ("debug_print_plan", "off")]
                .map(|(setting, value)| Defect::MissingSetting {
                    function: "app_global_setting_head_notifies()".to_owned(),
                    setting,
                    value,
                })
                .to_vec(),
        ),
        (
            "alter function app_global_settings_write() security invoker",
            vec![Defect::NotDefiner(write.clone())],
        ),
        (
            "grant execute on function app_global_settings_write() to public",
            vec![Defect::PublicDefiner(write.clone())],
        ),
    ] {
        let db = TestDb::new().await;
        run(&db.admin(), sql).await;
        assert_eq!(inspect(&db.admin().into()).await.unwrap().defects, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_function_of_another_owner_than_the_tables_is_found() {
    let db = TestDb::new().await;
    service_role(&db).await;
    run(&db.admin(), format!("alter function app_global_settings_write() owner to {SERVICE}"))
        .await;
    let actual = inspect(&db.admin().into()).await.unwrap().defects;
    assert!(
        matches!(&actual[..], [Defect::ForeignOwner { function, owner, .. }]
            if function == "app_global_settings_write()" && owner == SERVICE),
        "{actual:?}"
    );
}

#[tokio::test]
async fn the_service_works_with_its_grants_alone() {
    let app = TestApp::new().await;
    let role = service_role(&app.db).await;
    let pool = Pool::open(role, Topology::Direct, 5).await.unwrap();
    let instance = Instance::builder(pool).start().await;
    instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    instance.wait_for_revision(2).await;
    let session = instance.start_session(&user("ana")).await.ok();
    let path = format!("/admin/sessions/{}/end", session["session_id"].as_str().unwrap());
    let end = json!({"reason": "a test"});
    instance.post(&path).bearer(&admin("admin-1")).json(&end).send().await.ok();
    let history = read(&instance, HISTORY).await.ok();
    assert_eq!(history["entries"][0]["key"], COOLDOWN);
}

/// The migrations before the one that brought least privilege, and that one.
fn before_and_after() -> (Migrator, Migrator) {
    let is_before = |version: i64| version < 20_261_129_100_000;
    let all: Vec<_> = MIGRATOR.iter().cloned().collect();
    let before = all.iter().filter(|migration| is_before(migration.version)).cloned().collect();
    let until = |version: i64| is_before(version) || version == 20_261_129_100_000;
    let upto = all.iter().filter(|migration| until(migration.version));
    (Migrator::with_migrations(before), Migrator::with_migrations(upto.cloned().collect()))
}

#[tokio::test]
async fn the_migration_reduces_update_on_the_head_to_a_lock() {
    let db = TestDb::empty().await;
    let (before, after) = before_and_after();
    before.run(&db.admin()).await.unwrap();
    let role = service_role(&TestDb::new().await).await.database(&by_name(&db).await);
    run(
        &db.admin(),
        format!("grant select on all tables in schema public to {SERVICE}; grant update on app_global_setting_head to {SERVICE}, public"),
    )
    .await;
    let raise = "update app_global_setting_head set revision = 900";
    let mut session = role.connect().await.unwrap();
    session.execute(raise).await.unwrap();
    session.execute("update app_global_setting_head set revision = 0").await.unwrap();
    after.run(&db.admin()).await.unwrap();
    let refusal = session.execute(raise).await.unwrap_err().to_string();
    assert!(refusal.contains("permission denied"), "{refusal}");
    session.execute("select from app_global_setting_head for update").await.unwrap();
    session.close().await.unwrap();
}

async fn by_name(db: &TestDb) -> String {
    sqlx::query_scalar("select current_database()::text").fetch_one(&db.admin()).await.unwrap()
}

async fn may_create_temporary_tables(db: &TestDb) -> bool {
    let sql = "select exists (select from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
        where datname = current_database() and grantee = 0 and privilege_type = 'TEMPORARY')";
    sqlx::query_scalar(sql).fetch_one(&db.admin()).await.unwrap()
}

/// An ordinary role of this one database. A role belongs to the whole server, which the next run may use again, so the
/// name is new each time and [`drop_role`] removes it.
async fn create_role(db: &TestDb) -> String {
    let role = format!("owner_of_{}", by_name(db).await);
    run(&db.admin(), format!("create role {role} login password 'a password for tests'")).await;
    run(&db.admin(), format!("grant create, usage on schema public to {role}")).await;
    role
}

async fn drop_role(db: &TestDb, role: &str) {
    let sql =
        format!("reassign owned by {role} to brune_owner; drop owned by {role}; drop role {role}");
    run(&db.admin(), sql).await;
}

/// Migrates `db` as `role`, which has no rights except to what it creates there; `owns_database` says whether the
/// database is its own as well.
async fn migrate_as(role: &str, db: &TestDb, owns_database: bool) {
    // As the server creates a database; those of the tests are without.
    run(&db.admin(), format!("grant temporary on database {} to public", by_name(db).await)).await;
    if owns_database {
        run(&db.admin(), format!("alter database {} owner to {role}", by_name(db).await)).await;
    }
    let owner = db.options().username(role).password("a password for tests");
    let pool = PgPool::connect_with(owner).await.unwrap();
    MIGRATOR.run(&pool).await.unwrap();
    let catalog = Catalog::parse(BRUN_E).unwrap();
    settings::publish(&pool.clone().into(), &catalog, &|_| None, &firewall(), false).await.unwrap();
    assert_eq!(inspect(&pool.clone().into()).await.unwrap().defects, []);
    pool.close().await;
}

#[tokio::test]
async fn an_owner_without_other_rights_can_migrate_and_the_service_can_write() {
    for owns_database in [false, true] {
        let db = TestDb::empty().await;
        let role = create_role(&db).await;
        migrate_as(&role, &db, owns_database).await;
        assert_eq!(may_create_temporary_tables(&db).await, !owns_database);
        let pool = Pool::open(service_role(&db).await, Topology::Direct, 5).await.unwrap();
        let instance = Instance::builder(pool).start().await;
        instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
        drop_role(&db, &role).await;
    }
}
