//! The statements that turn what is granted into what the list says.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Scope,
    list::{self, OWNER, READER, SCHEMA, SERVICE},
    state::{Grant, Object, State},
};

/// Stands for every role.
const PUBLIC: &str = "public";

/// The statements, in the order in which they work.
pub(super) fn statements(state: &State, scope: Scope) -> Vec<String> {
    if scope == Scope::Grants && !state.has_roles() {
        return Vec::new();
    }
    let mut statements = Vec::new();
    if scope == Scope::Whole {
        statements.extend(create_roles(state));
    }
    let owner = if scope == Scope::Whole { OWNER } else { state.owner() };
    let has_owner = scope == Scope::Whole || state.roles.contains(OWNER);
    let wanted = wanted(state, owner, has_owner);
    let is_wrong = |grant: &&Grant| !wanted.contains(grant) && is_excess(grant);
    let is_missing = |grant: &&Grant| {
        !state.grants.contains(grant) || is_revoked_with_table(grant, &state.grants)
    };
    let (schema, others): (BTreeSet<_>, BTreeSet<_>) = wanted
        .iter()
        .filter(is_missing)
        .partition(|grant| matches!(grant.object, Object::Schema(_)));
    statements.extend(render("grant", "to", &schema));
    if scope == Scope::Whole {
        // After the schema's privileges: an owner must be able to create in it.
        statements.extend(hand_over(state));
    }
    statements.extend(render("revoke", "from", &state.grants.iter().filter(is_wrong).collect()));
    statements.extend(render("grant", "to", &others));
    statements
}

/// Groups, without login and password: who logs in is for whoever runs the server to say.
fn create_roles(state: &State) -> Vec<String> {
    let missing = [OWNER, SERVICE, READER].into_iter().filter(|role| !state.roles.contains(*role));
    let mut statements: Vec<_> =
        missing.map(|role| format!("create role {role} nologin")).collect();
    // Who owned the tables goes on working with them, until an administrator revokes it.
    let previous = state.owners.iter().filter(|(object, _)| is_handed_over(object));
    let mut members: BTreeSet<&str> = previous.map(|(_, owner)| owner.as_str()).collect();
    members.retain(|owner| *owner != OWNER && !state.superusers.contains(*owner));
    if !state.is_owner {
        members.insert(&state.user);
    }
    statements.extend(members.into_iter().map(|member| format!("grant {OWNER} to {member}")));
    statements
}

fn is_handed_over(object: &Object) -> bool {
    matches!(object, Object::Table(_) | Object::Function(_))
}

/// Sequences go with their tables.
fn hand_over(state: &State) -> impl Iterator<Item = String> {
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

/// All that should be granted on the objects there are.
fn wanted(state: &State, owner: &str, has_owner: bool) -> BTreeSet<Grant> {
    let mut wanted = BTreeSet::new();
    let mut add = |object: &Object, grantee: &str, privilege: &str, column: Option<&str>| {
        wanted.insert(Grant {
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
                add(object, READER, "select", None);
            }
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
    wanted
}

/// Whether a privilege that is not in the list is taken away. The owner keeps what comes with owning, and everybody
/// may connect and look names up, as the server's own defaults have it.
fn is_excess(grant: &Grant) -> bool {
    match (&grant.object, grant.grantee.as_str()) {
        (Object::Future { .. }, READER | SERVICE | PUBLIC) => true,
        (_, OWNER) | (Object::Future { .. }, _) => false,
        (Object::Database(_), _) => grant.privilege != "connect",
        (Object::Schema(_), _) => grant.privilege != "usage",
        _ => true,
    }
}

/// Whether `grant`, of a column, is there and lost in the same plan: revoking a privilege on a table revokes it on
/// each of the table's columns.
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
