//! The statements that make the granted privileges equal to the list.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Scope,
    list::{self, OWNER, READER, SCHEMA, SERVICE},
    state::{Grant, Object, State},
};

/// The pseudo-role of every role.
const PUBLIC: &str = "public";

/// Returns the statements in an executable order.
pub(super) fn statements(state: &State, scope: Scope) -> Vec<String> {
    // `brune migrate` creates no roles, so a database without the roles stays unchanged.
    if scope == Scope::Grants && !state.has_roles() {
        return Vec::new();
    }
    let mut statements = Vec::new();
    if scope == Scope::Whole {
        statements.extend(create_roles(state));
    }
    let owner = if scope == Scope::Whole { OWNER } else { state.owner() };
    let has_owner = scope == Scope::Whole || state.roles.contains(OWNER);
    let required = required(state, owner, has_owner);
    let is_wrong = |grant: &&Grant| !required.contains(grant) && is_excess(grant);
    let is_missing = |grant: &&Grant| {
        !state.grants.contains(grant) || is_revoked_with_table(grant, &state.grants)
    };
    let (on_schema, on_objects): (BTreeSet<_>, BTreeSet<_>) = required
        .iter()
        .filter(is_missing)
        .partition(|grant| matches!(grant.object, Object::Schema(_)));
    statements.extend(render("grant", "to", &on_schema));
    if scope == Scope::Whole {
        // After the grants on the schema: an owner must be able to create objects there.
        statements.extend(change_owners(state));
    }
    statements.extend(render("revoke", "from", &state.grants.iter().filter(is_wrong).collect()));
    // After the revokes: a revoke on a table also removes the privileges on columns.
    statements.extend(render("grant", "to", &on_objects));
    statements
}

/// Creates the groups. Logins and passwords are left to the operator of the server.
fn create_roles(state: &State) -> Vec<String> {
    let missing = [OWNER, SERVICE, READER].into_iter().filter(|role| !state.roles.contains(*role));
    let mut statements: Vec<_> =
        missing.map(|role| format!("create role {role} nologin")).collect();
    // The previous owner of the tables keeps access, until an administrator revokes the membership.
    let previous = state.owners.iter().filter(|(object, _)| changes_owner(object));
    let mut members: BTreeSet<&str> = previous.map(|(_, owner)| owner.as_str()).collect();
    members.retain(|owner| *owner != OWNER && !state.superusers.contains(*owner));
    // `alter … owner to` requires membership in the new owner.
    if !state.is_owner {
        members.insert(&state.user);
    }
    statements.extend(members.into_iter().map(|member| format!("grant {OWNER} to {member}")));
    statements
}

fn changes_owner(object: &Object) -> bool {
    matches!(object, Object::Table(_) | Object::Function(_))
}

/// Changes the owner of tables and functions. Sequences follow their tables.
fn change_owners(state: &State) -> impl Iterator<Item = String> {
    let foreign = state.owners.iter().filter(|(_, owner)| *owner != OWNER);
    foreign.filter_map(|(object, _)| {
        let (word, name) = match object {
            Object::Table(name) => ("table", name),
            Object::Function(name) => ("function", name),
            _ => return None,
        };
        Some(format!("alter {word} {SCHEMA}.{name} owner to {OWNER}"))
    })
}

/// Returns all grants of the list on the existing objects.
fn required(state: &State, owner: &str, has_owner: bool) -> BTreeSet<Grant> {
    let mut required = BTreeSet::new();
    let mut add = |object: &Object, grantee: &str, privilege: &str, column: Option<&str>| {
        required.insert(Grant {
            object: object.clone(),
            grantee: grantee.to_owned(),
            privilege: privilege.to_owned(),
            column: column.map(str::to_owned),
        });
    };
    for object in state.owners.keys() {
        match object {
            Object::Table(name) => {
                let Some(table) = list::find(name) else { continue };
                for privilege in table.service {
                    if privilege.columns.is_empty() {
                        add(object, SERVICE, privilege.name, None);
                    }
                    for column in privilege.columns {
                        add(object, SERVICE, privilege.name, Some(column));
                    }
                }
                if table.is_readable {
                    add(object, READER, "select", None);
                }
            }
            // `pg_dump` reads sequences. The service needs no privilege for identity columns.
            Object::Sequence(_) => add(object, READER, "select", None),
            Object::Function(name) if list::is_called_by_service(name) => {
                add(object, SERVICE, "execute", None);
            }
            _ => {}
        }
    }
    let schema = Object::Schema(SCHEMA.to_owned());
    for (role, privilege) in
        [(OWNER, "create"), (OWNER, "usage"), (SERVICE, "usage"), (READER, "usage")]
    {
        if has_owner || role != OWNER {
            add(&schema, role, privilege, None);
        }
    }
    for kind in ["tables", "sequences"] {
        add(&Object::Future { owner: owner.to_owned(), kind }, READER, "select", None);
    }
    required
}

/// Whether a grant outside of the list is revoked. The owner keeps the privileges of ownership, and every role may
/// connect and use the schema, which are the server's defaults.
fn is_excess(grant: &Grant) -> bool {
    match (&grant.object, grant.grantee.as_str()) {
        (Object::Future { .. }, READER | SERVICE | PUBLIC) => true,
        (_, OWNER) | (Object::Future { .. }, _) => false,
        (Object::Database(_), _) => grant.privilege != "connect",
        (Object::Schema(_), _) => grant.privilege != "usage",
        _ => true,
    }
}

/// Whether the same plan revokes `grant`, which is on a column: revoking a privilege on a table revokes the privilege
/// on each column.
fn is_revoked_with_table(grant: &Grant, grants: &BTreeSet<Grant>) -> bool {
    let of_table = Grant { column: None, ..grant.clone() };
    grant.column.is_some() && grants.contains(&of_table)
}

/// The columns of each privilege of one grantee on one object. Whole objects and columns are apart: `update, update (a)`.
type Privileges<'a> = BTreeMap<(&'a str, bool), Vec<&'a str>>;

/// One statement for each object and grantee.
fn render(verb: &str, word: &str, grants: &BTreeSet<&Grant>) -> Vec<String> {
    let mut groups: BTreeMap<(&Object, &str), Privileges<'_>> = BTreeMap::new();
    for grant in grants {
        let privileges = groups.entry((&grant.object, &grant.grantee)).or_default();
        let privilege = (grant.privilege.as_str(), grant.column.is_some());
        privileges.entry(privilege).or_default().extend(grant.column.as_deref());
    }
    let statement = |((object, grantee), privileges)| {
        let (privileges, target) = (listed(privileges), target(object));
        let rest = format!("{verb} {privileges} on {target} {word} {grantee}");
        match object {
            Object::Future { owner, .. } => {
                // Default privileges apply only to objects that the named role creates.
                format!("alter default privileges for role {owner} in schema {SCHEMA} {rest}")
            }
            _ => rest,
        }
    };
    groups.into_iter().map(statement).collect()
}

fn listed(privileges: Privileges<'_>) -> String {
    let privilege = |((name, _), columns): ((&str, bool), Vec<&str>)| match columns.as_slice() {
        [] => name.to_owned(),
        columns => format!("{name} ({})", columns.join(", ")),
    };
    privileges.into_iter().map(privilege).collect::<Vec<_>>().join(", ")
}

/// The object as `grant` and `revoke` name it.
fn target(object: &Object) -> String {
    match object {
        Object::Future { kind, .. } => (*kind).to_owned(),
        Object::Database(name) => format!("database {name}"),
        Object::Schema(name) => format!("schema {name}"),
        Object::Table(name) => format!("table {SCHEMA}.{name}"),
        Object::Sequence(name) => format!("sequence {SCHEMA}.{name}"),
        Object::Function(name) => format!("function {SCHEMA}.{name}"),
    }
}
