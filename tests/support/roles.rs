//! The role that the service connects as, for tests of what it may and may not do.

use brune::database::roles::{self, Scope};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

use super::TestDb;

/// The login that the service has on the test server. Roles belong to the whole server, so all tests share it.
pub(crate) const SERVICE: &str = "brune_serve";

/// Brings the roles and privileges of `db` in order, as `brune migrate --roles` does. Returns how to log in as the
/// service.
pub(crate) async fn service_role(db: &TestDb) -> PgConnectOptions {
    let mut superuser = db.admin_options().connect().await.unwrap();
    let outcome = roles::apply(&mut superuser, Scope::Whole).await.unwrap();
    assert!(outcome.rejected.is_empty(), "{:?}", outcome.rejected);
    superuser.close().await.unwrap();
    db.options()
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
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&db.admin()).await.unwrap();
}
