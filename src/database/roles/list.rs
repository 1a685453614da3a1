//! What each role may do: the one list. `brune migrate --roles` grants it, the startup guard and `brune doctor`
//! compare the connected role with it.

/// Owns the schema; `brune migrate` works as this role.
pub const OWNER: &str = "brune_owner";
/// Has what `brune serve` needs.
pub const SERVICE: &str = "brune_service";
/// Reads, for people, dashboards and backups.
pub const READER: &str = "brune_reader";

/// The schema that holds everything.
pub(super) const SCHEMA: &str = "public";

/// How the names of our functions begin.
pub(in crate::database) const FUNCTION_PREFIXES: [&str; 3] =
    ["app_global_setting", "app_idempotency_", "brune_"];

/// The functions that the service calls itself. All others run in triggers only, which needs no privilege.
pub(super) const SERVICE_FUNCTIONS: [&str; 2] = ["brune_session_over", "brune_within_a_minute"];

/// A table or view, and what the service may do with it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) service: &'static [Privilege],
}

/// A privilege on a table.
#[derive(Debug)]
pub(super) struct Privilege {
    pub(super) name: &'static str,
    /// On these columns only; on all when empty.
    pub(super) columns: &'static [&'static str],
}

const fn whole(name: &'static str) -> Privilege {
    Privilege { name, columns: &[] }
}

const READ: &[Privilege] = &[whole("select")];
const WRITE: &[Privilege] = &[whole("select"), whole("insert"), whole("update"), whole("delete")];
/// Rows are added and changed, never deleted.
const KEEP: &[Privilege] = &[whole("select"), whole("insert"), whole("update")];
/// Entries are added. A cleanup takes the values of a secret out, which a trigger limits to secrets.
const TRAIL: &[Privilege] = &[
    whole("select"),
    whole("insert"),
    Privilege { name: "update", columns: &["old_value_json", "new_value_json", "salt"] },
];
/// `select … for update` needs a right to update something; the one column that no update can change is enough.
const LOCK: &[Privilege] =
    &[whole("select"), Privilege { name: "update", columns: &["singleton"] }];

const fn table(name: &'static str, service: &'static [Privilege]) -> Table {
    Table { name, service }
}

/// Every table and view of the schema.
pub(super) const TABLES: [Table; 12] = [
    table("_sqlx_migrations", READ),
    table("app_global_setting_audit", TRAIL),
    table("app_global_setting_head", LOCK),
    table("app_global_setting_schema", READ),
    table("app_global_settings", WRITE),
    table("app_idempotency_key", WRITE),
    table("brune_instance", WRITE),
    table("brune_outbox", WRITE),
    table("brune_outbox_sink", WRITE),
    table("brune_session", KEEP),
    table("brune_session_counted", READ),
    table("brune_start_attempt", WRITE),
];

/// The entry of the table `name`, if it is one of ours.
pub(super) fn find(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

/// Whether the function `signature` (`name(arguments)`) is one of ours.
pub(super) fn is_ours(signature: &str) -> bool {
    FUNCTION_PREFIXES.iter().any(|prefix| signature.starts_with(prefix))
}

/// Whether the service calls the function `signature` itself.
pub(super) fn is_called_by_service(signature: &str) -> bool {
    let name = signature.split('(').next().unwrap_or_default();
    SERVICE_FUNCTIONS.contains(&name)
}
