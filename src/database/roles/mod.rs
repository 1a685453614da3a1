//! Least privilege: the three roles, their privileges, and a check of the connected role.
//!
//! `brune migrate` works as the owner, `brune serve` as a member of the service's group. The reader's group is for
//! people, dashboards and backups. The roles are groups: the operator of the server creates logins and passwords.

mod connected;
mod list;
mod plan;
mod state;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

pub use connected::{Connected, connected};
pub(super) use list::FUNCTION_PREFIXES;
pub use list::{OWNER, READER, SERVICE};
use state::State;

/// The extent of [`apply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Roles, owners and privileges.
    Whole,
    /// Privileges alone, and only where the roles exist.
    Grants,
}

/// The result of [`apply`].
#[derive(Debug, Default)]
pub struct Outcome {
    /// The statements that took effect.
    pub applied: Vec<String>,
    /// The statements that the connected role may not run.
    pub rejected: Vec<String>,
}

/// An advisory lock against concurrent runs. The number is arbitrary and must stay: two releases may run at once.
const LOCK: &str = "select pg_advisory_xact_lock(491327022451)";

/// A pass can make further statements possible; the third pass usually has none left.
const PASSES: usize = 3;

/// Returns the statements that [`apply`] would run.
pub async fn plan(connection: &mut PgConnection, scope: Scope) -> sqlx::Result<Vec<String>> {
    Ok(plan::statements(&State::read(connection).await?, scope))
}

/// Returns the connected role if it is a login of the service, which must not gain privileges.
pub async fn service_login(connection: &mut PgConnection) -> sqlx::Result<Option<String>> {
    let state = State::read(connection).await?;
    Ok(state.is_service.then_some(state.user))
}

/// Runs the statements that the list asks for, as far as the connected role may. A second run changes nothing.
///
/// # Errors
/// A statement failed for another reason than a missing privilege. Nothing has changed then.
pub async fn apply(connection: &mut PgConnection, scope: Scope) -> sqlx::Result<Outcome> {
    let mut transaction = connection.begin().await?;
    // An `alter table` that waits for a lock blocks every later query of the table.
    sqlx::raw_sql("set local lock_timeout = '10s'").execute(&mut *transaction).await?;
    sqlx::raw_sql(LOCK).execute(&mut *transaction).await?;
    let mut outcome =
        Outcome { rejected: plan(&mut transaction, scope).await?, ..Outcome::default() };
    for _ in 0..PASSES {
        let mut accepted = Vec::new();
        for statement in &outcome.rejected {
            if run(&mut transaction, statement).await? {
                accepted.push(statement.clone());
            }
        }
        let rejected = plan(&mut transaction, scope).await?;
        // The server accepts some statements without effect, so the plan is made again.
        outcome
            .applied
            .extend(accepted.into_iter().filter(|statement| !rejected.contains(statement)));
        let is_final = rejected.is_empty() || rejected == outcome.rejected;
        outcome.rejected = rejected;
        if is_final {
            break;
        }
    }
    transaction.commit().await?;
    Ok(outcome)
}

/// Runs `statement` in a savepoint. Returns `false` if the connected role may not.
async fn run(connection: &mut PgConnection, statement: &str) -> sqlx::Result<bool> {
    // A failed statement would abort the whole transaction without a savepoint.
    let mut savepoint = connection.begin().await?;
    // Identifiers cannot be parameters. All parts are constants, or names quoted by the server.
    let result = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *savepoint).await;
    match result {
        Ok(_) => {
            savepoint.commit().await?;
            Ok(true)
        }
        Err(err) if is_not_permitted(&err) => {
            savepoint.rollback().await?;
            Ok(false)
        }
        Err(err) => Err(err),
    }
}

/// Whether the statement failed for lack of a privilege or of a role, or because of a concurrent run.
fn is_not_permitted(err: &sqlx::Error) -> bool {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    // A grant fails for an undefined role if `create role` was rejected before.
    const UNDEFINED_ROLE: &str = "42704";
    // Roles belong to the server, but an advisory lock to a database, so runs in two databases
    // can create the same role at once.
    const DUPLICATE_ROLE: &str = "42710";
    const UNIQUE_VIOLATION: &str = "23505";
    let codes = [INSUFFICIENT_PRIVILEGE, UNDEFINED_ROLE, DUPLICATE_ROLE, UNIQUE_VIOLATION];
    err.as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| codes.contains(&&*code))
}
