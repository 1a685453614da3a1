//! Roles and database of a private Postgres, created by its superuser.

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _,
    postgres::PgConnectOptions,
};

use super::{
    DATABASE,
    access::{MIGRATE, SERVE},
};
use crate::database::roles::{self, OWNER, READER, SERVICE, Scope};

/// Creates missing roles and the database. A database of an older release, where the superuser owns everything, is
/// transferred to the owner role like a new one.
pub(super) async fn prepare(superuser: &PgConnectOptions) -> Result<(), sqlx::Error> {
    // The service's database may not exist yet.
    let mut connection = superuser.clone().database("postgres").connect().await?;
    let (roles, owner) = read_state(&mut connection).await?;
    let logins = [(MIGRATE, OWNER), (SERVE, SERVICE)];
    // Postgres has no `create role if not exists`.
    for group in [OWNER, SERVICE, READER] {
        if !roles.iter().any(|role| role == group) {
            run(&mut connection, format!("create role {group} nologin")).await?;
        }
    }
    for (login, group) in logins {
        if !roles.iter().any(|role| role == login) {
            run(&mut connection, format!("create role {login} login in role {group}")).await?;
        }
    }
    if owner.is_none() {
        run(&mut connection, format!("create database {DATABASE}")).await?;
    }
    if owner.as_deref() != Some(OWNER) {
        if owner.is_some() {
            tracing::info!("transferring the database of the private Postgres to the role {OWNER}");
        }
        // The owners of tables change only from inside the same database.
        let mut in_database = superuser.connect().await?;
        roles::apply(&mut in_database, Scope::Whole).await?;
        in_database.close().await?;
        // Comes last, so that an interrupted setup is repeated at the next start.
        run(&mut connection, format!("alter database {DATABASE} owner to {OWNER}")).await?;
    }
    connection.close().await
}

/// Returns the existing roles of ours, and the owner of the database.
async fn read_state(
    connection: &mut PgConnection,
) -> Result<(Vec<String>, Option<String>), sqlx::Error> {
    let query =
        "select array(select rolname::text from pg_roles where starts_with(rolname, 'brune_')),
        (select pg_get_userbyid(datdba)::text from pg_database where datname = $1)";
    let row = sqlx::query(query).bind(DATABASE).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    // Names cannot be parameters; all parts are constants.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
