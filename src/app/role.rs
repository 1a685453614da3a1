//! Whether the database role of this process can do no more than it needs.

use tracing::warn;

use crate::{
    app::{CheckResult, Error},
    config::Mode,
    database::{
        Pool, TransactionError, read_with_retry,
        roles::{self, Connected, SERVICE},
    },
};

const CURE: &str =
    "run `brune migrate --roles` and connect as a login of that group (docs/operations.md)";

/// Refuses in production, naming every fault, a role for which the rules of the database do not hold. Elsewhere, and
/// of lesser faults, it warns. `allow_owner` makes it a warning that the role owns the tables.
pub(super) async fn require(pool: &Pool, mode: Mode, allow_owner: bool) -> Result<(), Error> {
    let role = connected(pool).await?;
    let mut refusals = missing(&role);
    let mut warnings = excess(&role);
    let is_production = mode == Mode::Production;
    for (fault, is_allowed) in [(superuser(&role), false), (owner(&role), allow_owner)] {
        if is_production && !is_allowed { &mut refusals } else { &mut warnings }.extend(fault);
    }
    for fault in warnings {
        warn!("database role: {fault}");
    }
    if refusals.is_empty() { Ok(()) } else { Err(Error::NotReady(refusals)) }
}

/// The same for `brune doctor`.
pub(super) async fn finding(pool: &Pool, allow_owner: bool) -> Result<CheckResult, Error> {
    let role = connected(pool).await?;
    let owner = owner(&role);
    let is_allowed = allow_owner && owner.is_some();
    let faults: Vec<String> = superuser(&role)
        .into_iter()
        .chain(owner.filter(|_| !allow_owner))
        .chain(missing(&role))
        .chain(excess(&role))
        .collect();
    let name = &role.name;
    let result = match faults.as_slice() {
        [] if is_allowed => {
            Ok(format!("{name}, which owns the tables (BRUNE_DB_ALLOW_OWNER is set)"))
        }
        [] => Ok(format!("{name} has only the privileges of {SERVICE}")),
        _ => Err(faults),
    };
    Ok(CheckResult { check: "database role", result })
}

async fn connected(pool: &Pool) -> Result<Connected, TransactionError> {
    read_with_retry(pool, roles::connected).await
}

fn superuser(role: &Connected) -> Option<String> {
    let name = &role.name;
    role.is_superuser.then(|| {
        format!(
            "{name} is a superuser, which bypasses all privilege checks; serve as a member of {SERVICE}: {CURE}"
        )
    })
}

/// A superuser has the rights of every owner, which is no fault of its own.
fn owner(role: &Connected) -> Option<String> {
    let name = &role.name;
    (!role.is_superuser && !role.owners.is_empty()).then(|| {
        let owners = role.owners.join(", ");
        format!(
            "{name} has the rights of {owners}, which owns the audit trail and can switch its triggers off; serve as \
             a member of {SERVICE}: {CURE}, or set BRUNE_DB_ALLOW_OWNER=true"
        )
    })
}

fn missing(role: &Connected) -> Vec<String> {
    let name = &role.name;
    let missing = role.missing.iter();
    missing
        .map(|privilege| format!("{name} lacks {privilege}, which serving needs; {CURE}"))
        .collect()
}

/// What an owner or a superuser can do beside the list follows from that.
fn excess(role: &Connected) -> Vec<String> {
    if role.is_superuser || !role.owners.is_empty() {
        return Vec::new();
    }
    let name = &role.name;
    let powers = role.powers.iter().map(|power| {
        let cure = match power.as_str() {
            attribute if attribute.starts_with("has ") => "take that away with `alter role`",
            group if group.starts_with("is a member") => "revoke that membership",
            _ => "run `brune migrate --roles`",
        };
        format!("{name} {power}, which serving does not need; {cure}")
    });
    let excess = role.excess.iter().map(|privilege| {
        format!("{name} has {privilege}, which serving does not need; run `brune migrate --roles`")
    });
    powers.chain(excess).collect()
}
