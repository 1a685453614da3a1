//! Check of the database role: the service must have no more rights than it needs.

use tracing::warn;

use crate::{
    app::{checks::CheckResult, error::Error},
    config::Mode,
    database::{
        Pool, TransactionError, read_with_retry,
        roles::{self, Connected, SERVICE},
    },
};

const FIX: &str =
    "run `brune migrate --roles` and connect as a login of that group (docs/operations.md)";

/// Rejects in production a role that bypasses the rules of the database, and warns of lesser problems. With
/// `allow_owner` ownership of the tables is a warning.
pub(in crate::app) async fn require(
    pool: &Pool,
    mode: Mode,
    allow_owner: bool,
) -> Result<(), Error> {
    let role = connected(pool).await?;
    let mut errors = missing(&role);
    let mut warnings = excess(&role);
    let is_production = mode == Mode::Production;
    for (problem, is_allowed) in [(superuser(&role), false), (owner(&role), allow_owner)] {
        if is_production && !is_allowed { &mut errors } else { &mut warnings }.extend(problem);
    }
    for problem in warnings {
        warn!("database role: {problem}");
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::NotReady(errors)) }
}

/// Checks the role for `brune doctor`.
pub(in crate::app) async fn check(pool: &Pool, allow_owner: bool) -> Result<CheckResult, Error> {
    let role = connected(pool).await?;
    let owner = owner(&role);
    let is_allowed_owner = allow_owner && owner.is_some();
    let problems: Vec<String> = superuser(&role)
        .into_iter()
        .chain(owner.filter(|_| !allow_owner))
        .chain(missing(&role))
        .chain(excess(&role))
        .collect();
    let name = &role.name;
    let summary = if is_allowed_owner {
        format!("{name}, which owns the tables (BRUNE_DB_ALLOW_OWNER is set)")
    } else {
        format!("{name} has only the privileges of {SERVICE}")
    };
    Ok(CheckResult::new("database role", problems, summary))
}

async fn connected(pool: &Pool) -> Result<Connected, TransactionError> {
    read_with_retry(pool, async |conn| Ok::<_, TransactionError>(roles::connected(conn).await?))
        .await
}

fn superuser(role: &Connected) -> Option<String> {
    let name = &role.name;
    role.is_superuser.then(|| {
        format!(
            "{name} is a superuser, which bypasses all privilege checks; serve as a member of {SERVICE}: {FIX}"
        )
    })
}

fn owner(role: &Connected) -> Option<String> {
    let name = &role.name;
    // A superuser has the rights of every owner, so ownership is not a separate problem.
    (!role.is_superuser && !role.owners.is_empty()).then(|| {
        let owners = role.owners.join(", ");
        format!(
            "{name} has the rights of {owners}, the owner of the audit trail, and can disable its triggers; serve as \
             a member of {SERVICE}: {FIX}, or set BRUNE_DB_ALLOW_OWNER=true"
        )
    })
}

fn missing(role: &Connected) -> Vec<String> {
    let name = &role.name;
    let describe =
        |privilege: &String| format!("{name} lacks {privilege}, which serving needs; {FIX}");
    role.missing.iter().map(describe).collect()
}

fn excess(role: &Connected) -> Vec<String> {
    // An owner or a superuser has every right, so single rights are not separate problems.
    if role.is_superuser || !role.owners.is_empty() {
        return Vec::new();
    }
    let name = &role.name;
    let powers = role.powers.iter().map(|power| {
        let fix = match power.as_str() {
            attribute if attribute.starts_with("has ") => "remove the attribute with `alter role`",
            group if group.starts_with("is a member") => "revoke the membership",
            _ => "run `brune migrate --roles`",
        };
        format!("{name} {power}, which serving does not need; {fix}")
    });
    let excess = role.excess.iter().map(|privilege| {
        format!("{name} has {privilege}, which serving does not need; run `brune migrate --roles`")
    });
    powers.chain(excess).collect()
}
