//! SQL about the server and its catalogs.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::{
    Connection, SESSION_SETTINGS,
    roles::{FUNCTION_PREFIXES, OWNER},
};

/// Facts about a server that are checked before its use.
pub(super) struct Server {
    /// Identifies the server and the database.
    pub(super) name: String,
    /// Whether the server is a replica, or still replaying its log.
    pub(super) is_in_recovery: bool,
    /// Whether the session has the limits of [`session`](super::session).
    pub(super) has_limits: bool,
}

/// Reads the facts with an unprepared statement, because a pooler may be in between.
pub(super) async fn server(connection: &mut PgConnection) -> Result<Server, sqlx::Error> {
    // The start time tells servers apart and needs no privilege to read.
    let row = sqlx::raw_sql(
        "select pg_is_in_recovery(), current_setting('lock_timeout'),
            current_database() || ' ' || extract(epoch from pg_postmaster_start_time())",
    )
    .fetch_one(connection)
    .await?;
    Ok(Server {
        is_in_recovery: row.try_get(0)?,
        // All limits travel in a single startup parameter, so the first limit stands for all.
        // Postgres normalizes units, so `SESSION_SETTINGS` must contain `3s` and not `3000ms`.
        has_limits: row.try_get::<&str, _>(1)? == SESSION_SETTINGS[0].1,
        name: row.try_get(2)?,
    })
}

/// Fails on a replica, which a proxy may hand out during a failover.
pub(super) async fn refuse_recovery(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let recovers = sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(connection).await?;
    fail_if_in_recovery(recovers)
}

fn fail_if_in_recovery(is_in_recovery: bool) -> Result<(), sqlx::Error> {
    if is_in_recovery {
        return Err(sqlx::Error::Configuration("the server is in recovery (a replica)".into()));
    }
    Ok(())
}

/// Begins a transaction with the statement `begin` under the session's time limits.
pub(super) async fn begin(
    connection: &mut Connection,
    begin: &'static str,
) -> Result<(), sqlx::Error> {
    if connection.is_shared() {
        return begin_anywhere(connection, begin, true).await;
    }
    sqlx::raw_sql(begin).execute(connection).await?;
    Ok(())
}

/// Begins a transaction on a session in an unknown state, in one round trip. Sets the time limits, or lifts them
/// unless `limited`, and fails on a replica.
pub(super) async fn begin_anywhere(
    connection: &mut Connection,
    begin: &'static str,
    limited: bool,
) -> Result<(), sqlx::Error> {
    let limit =
        |(name, limit)| format!("set local {name} = '{}'", if limited { limit } else { "0" });
    let limits = SESSION_SETTINGS.map(limit).join("; ");
    // `set local` ends with the transaction, so the next client of the session is unaffected.
    let message = format!("{begin}; {limits}; select pg_is_in_recovery()");
    let row = sqlx::raw_sql(AssertSqlSafe(message)).fetch_one(connection).await?;
    fail_if_in_recovery(row.try_get(0)?)
}

/// Lifts the time limits of [`session`](super::session).
pub(super) async fn lift_limits(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Switches to the role that owns the schema, so that new objects belong to the owner. Does nothing without such a
/// role or without membership in it.
pub(super) async fn become_owner(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // The owner of the existing tables counts, because older installations have other owners.
    let query = "select quote_ident(rolname) from pg_roles
        where rolname = coalesce((select pg_get_userbyid(relowner) from pg_class
              where oid = to_regclass('public._sqlx_migrations')), $1)
          and rolname <> current_user
          and pg_has_role(current_user, oid,
            -- From 16 on a membership may exclude `set role`.
            case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end)
          and has_schema_privilege(oid, to_regnamespace('public'), 'CREATE')";
    let owner: Option<String> =
        sqlx::query_scalar(query).bind(OWNER).fetch_optional(&mut *connection).await?;
    if let Some(owner) = owner {
        // A role name cannot be a parameter; the query above has quoted it.
        sqlx::raw_sql(AssertSqlSafe(format!("set role {owner}"))).execute(connection).await?;
    }
    Ok(())
}

/// Returns version and checksum of each applied migration.
pub(super) async fn applied_migrations(
    connection: &mut Connection,
) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await?;
    // A query of a missing table would fail and abort the transaction behind a pooler.
    if !exists {
        return Ok(Vec::new());
    }
    sqlx::query_as("select version, checksum from _sqlx_migrations where success")
        .fetch_all(connection)
        .await
}

/// A trigger on a table of ours.
pub(super) struct Trigger {
    pub(super) table: String,
    pub(super) name: String,
    pub(super) function: String,
    /// Whether it fires in an ordinary session.
    pub(super) is_enabled: bool,
}

/// The triggers in the schema that holds the settings.
pub(super) async fn triggers(conn: &mut Connection) -> Result<Vec<Trigger>, sqlx::Error> {
    // Triggers that fire in replication only (`R`) or never (`D`) protect nothing.
    sqlx::query_as!(
        Trigger,
        r#"
        select c.relname::text as "table!", t.tgname::text as "name!", p.proname::text as "function!",
          t.tgenabled in ('O', 'A') as "is_enabled!"
        from pg_trigger t
        join pg_class c on c.oid = t.tgrelid
        join pg_proc p on p.oid = t.tgfoid
        where not t.tgisinternal
          and c.relnamespace = (select relnamespace from pg_class where oid = to_regclass('app_global_settings'))
        order by 1, 2
        "#,
    )
    .fetch_all(conn)
    .await
}

/// A function of ours.
pub(super) struct Function {
    pub(super) name: String,
    /// Its name and the types of its arguments.
    pub(super) signature: String,
    pub(super) owner: String,
    /// The owner of the settings' table.
    pub(super) expected_owner: String,
    /// The path that its names should be resolved by.
    pub(super) expected_path: String,
    /// Whether it has that path.
    pub(super) has_fixed_path: bool,
    /// Whether it runs with the rights of its owner.
    pub(super) is_definer: bool,
    /// Whether everybody may execute it.
    pub(super) is_public: bool,
}

/// The functions of ours in the schema that holds the settings, by their prefixes.
pub(super) async fn functions(conn: &mut Connection) -> Result<Vec<Function>, sqlx::Error> {
    // A null ACL means the default, by which PUBLIC may execute the function.
    // Unless `pg_temp` comes last in the path, Postgres searches temporary tables first.
    sqlx::query_as!(
        Function,
        r#"
        select p.proname::text as "name!", p.oid::regprocedure::text as "signature!",
          pg_get_userbyid(p.proowner)::text as "owner!", pg_get_userbyid(c.relowner)::text as "expected_owner!",
          path as "expected_path!",
          coalesce('search_path=' || path = any(p.proconfig), false) as "has_fixed_path!",
          p.prosecdef as "is_definer!",
          exists (
            select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
            where grantee = 0 and privilege_type = 'EXECUTE') as "is_public!"
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_proc p on p.pronamespace = n.oid
        cross join lateral (select 'pg_catalog, ' || quote_ident(n.nspname) || ', pg_temp' as path) of_schema
        where c.oid = to_regclass('app_global_settings')
          and p.proname ^@ any($1::text[])
        order by 2
        "#,
        &FUNCTION_PREFIXES.map(str::to_owned),
    )
    .fetch_all(conn)
    .await
}
