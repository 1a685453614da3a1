//! The superuser's part on a private Postgres: the roles, and the database that is the owner's.

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _,
    postgres::PgConnectOptions,
};

use super::{
    DATABASE,
    access::{MIGRATE, SERVE},
};
use crate::database::roles::{self, OWNER, READER, SERVICE, Scope};

/// Makes what is missing. A database that an older release made, where the superuser owns everything, is handed to
/// the owner, in the same way as a new one.
pub(super) async fn prepare(superuser: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = superuser.clone().database("postgres").connect().await?;
    let (roles, owner) = state(&mut connection).await?;
    let logins = [(MIGRATE, OWNER), (SERVE, SERVICE)];
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
            tracing::info!("handing the private Postgres's database to the role {OWNER}");
        }
        let mut inside = superuser.connect().await?;
        roles::apply(&mut inside, Scope::Whole).await?;
        inside.close().await?;
        // Last: an attempt that ends before is repeated at the next start.
        run(&mut connection, format!("alter database {DATABASE} owner to {OWNER}")).await?;
    }
    connection.close().await
}

/// Of our roles those that exist, and who owns the database, if it exists.
async fn state(
    connection: &mut PgConnection,
) -> Result<(Vec<String>, Option<String>), sqlx::Error> {
    let query =
        "select array(select rolname::text from pg_roles where starts_with(rolname, 'brune_')),
        (select pg_get_userbyid(datdba)::text from pg_database where datname = $1)";
    let row = sqlx::query(query).bind(DATABASE).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    // Names cannot be parameters; these are constants of the program.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
