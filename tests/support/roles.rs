//! The role that the service connects as in production, for tests of what it may and may not do.

use sqlx::{AssertSqlSafe, Executor as _, postgres::PgConnectOptions};

use super::TestDb;

/// The name of the role. Roles belong to the whole server, so all tests share one.
pub(crate) const SERVICE: &str = "brune_service_of_tests";

/// Made up: a server that asks for passwords wants one.
const PASSWORD: &str = "a password for tests";

/// What `docs/operations.md` grants the service, and nothing else.
const GRANTS: &str = "
    revoke create on schema public from public;
    grant usage on schema public to {role};
    grant select on all tables in schema public to {role};
    grant insert, update, delete on app_global_settings, app_idempotency_key, brune_instance,
      brune_start_attempt, brune_outbox, brune_outbox_sink to {role};
    grant insert, update on brune_session to {role};
    grant insert on app_global_setting_audit to {role};
    grant update (singleton) on app_global_setting_head to {role};
    grant update (old_value_json, new_value_json, salt) on app_global_setting_audit to {role};";

/// Creates the service's role unless it exists, gives it its grants in `db`, and takes the right to temporary tables
/// away there. Returns how to log in as it.
pub(crate) async fn service_role(db: &TestDb) -> PgConnectOptions {
    let pool = db.pool();
    let create = format!(
        "do $$ begin
           create role {SERVICE} login password '{PASSWORD}';
         exception when duplicate_object or unique_violation then null;
         end $$"
    );
    let revoke = "do $$ begin
        execute format('revoke temporary on database %I from public', current_database());
      end $$";
    for sql in [create, GRANTS.replace("{role}", SERVICE), revoke.to_owned()] {
        pool.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    }
    db.options().username(SERVICE).password(PASSWORD)
}

/// Lets the service's role create objects of its own, as an installation does that skipped the revokes: temporary
/// tables, and whatever a schema can hold.
pub(crate) async fn let_create(db: &TestDb) {
    let sql = format!(
        "do $$ begin
           execute format('grant temporary on database %I to {SERVICE}', current_database());
         end $$;
         grant create on schema public to {SERVICE}"
    );
    db.pool().execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
}
