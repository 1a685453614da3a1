//! Least privilege: the three roles, what each may do, and what the connected role can do beside it.
//!
//! `brune migrate` works as the owner, `brune serve` as a member of the service's group, and the reader's group is
//! for people, dashboards and backups. The roles are groups: logins and passwords are for whoever runs the server.

mod connected;
mod list;
mod plan;
mod state;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

pub use connected::{Connected, connected};
pub(super) use list::FUNCTION_PREFIXES;
pub use list::{OWNER, READER, SERVICE};
use state::State;

/// How much is brought in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Roles, owners and privileges.
    Whole,
    /// Privileges alone, and only where the roles exist.
    Grants,
}

/// What was brought in order.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The statements that took effect.
    pub done: Vec<String>,
    /// Those that the connected role may not run.
    pub left: Vec<String>,
}

/// The lock that keeps two processes from granting at once: "roles" in ASCII.
const LOCK: &str = "select pg_advisory_xact_lock(491327022451)";

/// Each pass can bring out what the one before made possible; a third finds nothing as a rule.
const PASSES: usize = 3;

/// What [`apply`] would run.
pub async fn plan(connection: &mut PgConnection, scope: Scope) -> sqlx::Result<Vec<String>> {
    Ok(plan::statements(&State::read(connection).await?, scope))
}

/// The connected role if it is a login of the service: one that must not be given more.
pub async fn service_login(connection: &mut PgConnection) -> sqlx::Result<Option<String>> {
    let state = State::read(connection).await?;
    Ok(state.is_service.then_some(state.user))
}

/// Runs what the list asks for, as far as the connected role may. Run twice, it changes nothing.
///
/// # Errors
/// A statement failed for another reason than a lack of privileges; then nothing has changed.
pub async fn apply(connection: &mut PgConnection, scope: Scope) -> sqlx::Result<Outcome> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("set local lock_timeout = '10s'").execute(&mut *transaction).await?;
    sqlx::raw_sql(LOCK).execute(&mut *transaction).await?;
    let mut outcome = Outcome { left: plan(&mut transaction, scope).await?, ..Outcome::default() };
    for _ in 0..PASSES {
        let mut done = Vec::new();
        for statement in &outcome.left {
            if run(&mut transaction, statement).await? {
                done.push(statement.clone());
            }
        }
        let left = plan(&mut transaction, scope).await?;
        // The server takes some statements without an error that had no effect.
        outcome.done.extend(done.into_iter().filter(|statement| !left.contains(statement)));
        let is_over = left.is_empty() || left == outcome.left;
        outcome.left = left;
        if is_over {
            break;
        }
    }
    transaction.commit().await?;
    Ok(outcome)
}

/// Runs `statement`; returns whether the connected role may.
async fn run(connection: &mut PgConnection, statement: &str) -> sqlx::Result<bool> {
    let mut savepoint = connection.begin().await?;
    // Identifiers cannot be parameters; these are constants of the program, and names that the server has quoted.
    let ran = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *savepoint).await;
    match ran {
        Ok(_) => {
            savepoint.commit().await?;
            Ok(true)
        }
        Err(err) if is_out_of_reach(&err) => {
            savepoint.rollback().await?;
            Ok(false)
        }
        Err(err) => Err(err),
    }
}

/// Whether the role lacks a privilege, or another role is missing that it could not make, or that somebody else
/// made at the same time.
fn is_out_of_reach(err: &sqlx::Error) -> bool {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    const UNDEFINED_ROLE: &str = "42704";
    const DUPLICATE_ROLE: &str = "42710";
    const UNIQUE_VIOLATION: &str = "23505";
    let codes = [INSUFFICIENT_PRIVILEGE, UNDEFINED_ROLE, DUPLICATE_ROLE, UNIQUE_VIOLATION];
    err.as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| codes.contains(&&*code))
}
