//! The administrator's SQL on a private Postgres.

use sqlx::{AssertSqlSafe, PgConnection};

/// Creates the database `name` unless it is there.
pub(super) async fn ensure_database(
    connection: &mut PgConnection,
    name: &'static str,
) -> Result<(), sqlx::Error> {
    let there: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&mut *connection)
            .await?;
    if !there {
        // A name cannot be a parameter; this one is a constant of the program.
        sqlx::raw_sql(AssertSqlSafe(format!("create database \"{name}\"")))
            .execute(connection)
            .await?;
    }
    Ok(())
}
