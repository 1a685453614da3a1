//! The list of privileges. `brune migrate --roles` grants them; the startup guard and `brune doctor` compare the
//! connected role with the list.

/// Owns the schema; `brune migrate` works as this role.
pub const OWNER: &str = "brune_owner";
/// Has the privileges that `brune serve` needs.
pub const SERVICE: &str = "brune_service";
/// Reads, for people, dashboards and backups.
pub const READER: &str = "brune_reader";

/// The schema of all our objects.
pub(super) const SCHEMA: &str = "public";

/// The prefixes of our functions.
pub(in crate::database) const FUNCTION_PREFIXES: [&str; 3] =
    ["app_global_setting", "app_idempotency_", "brune_"];

/// The functions that the service calls directly. The rest runs in triggers only, which needs no privilege.
pub(super) const SERVICE_FUNCTIONS: [&str; 8] = [
    "brune_changes_redacted",
    "brune_edits_redacted",
    "brune_notification_origin",
    "brune_person",
    "brune_rollout_origin",
    "brune_session_over",
    "brune_values_outside_trail",
    "brune_within_a_minute",
];

/// A table or view with the service's privileges on it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) service: &'static [Privilege],
    /// Whether [`READER`] may read the table.
    pub(super) is_readable: bool,
}

/// A privilege on a table.
#[derive(Debug)]
pub(super) struct Privilege {
    pub(super) name: &'static str,
    /// The columns of the privilege; empty for the whole table.
    pub(super) columns: &'static [&'static str],
}

const fn on_table(name: &'static str) -> Privilege {
    Privilege { name, columns: &[] }
}

const READ: &[Privilege] = &[on_table("select")];
const WRITE: &[Privilege] =
    &[on_table("select"), on_table("insert"), on_table("update"), on_table("delete")];
/// Rows are inserted and updated, never deleted.
const APPEND_AND_UPDATE: &[Privilege] =
    &[on_table("select"), on_table("insert"), on_table("update")];
/// Rows are inserted, never updated.
const APPEND: &[Privilege] = &[on_table("select"), on_table("insert")];
/// A proposal ends, and a rollout moves; triggers write the other columns.
const PROPOSAL: &[Privilege] = &[
    on_table("select"),
    on_table("insert"),
    Privilege {
        name: "update",
        columns: &[
            "applied_revision",
            "bypassed_by",
            "end_reason",
            "end_request_id",
            "ended_by",
            "evidence",
            "failure",
            "held_reason",
            "revert_cause",
            "share_bp",
            "stage",
            "state",
            "step_by",
            "step_reason",
            "step_request_id",
        ],
    },
];
/// Editions are inserted. A cleanup redacts the values of a secret; a trigger restricts updates to secrets.
const EDITION: &[Privilege] = &[
    on_table("select"),
    on_table("insert"),
    Privilege { name: "update", columns: &["edits", "salt"] },
];
/// A freeze ends early.
const FREEZE: &[Privilege] = &[
    on_table("select"),
    on_table("insert"),
    Privilege { name: "update", columns: &["end_reason", "end_request_id", "ended_by"] },
];
/// A release is archived.
const RELEASE: &[Privilege] = &[
    on_table("select"),
    on_table("insert"),
    Privilege { name: "update", columns: &["archive_reason", "archive_request_id", "archived_by"] },
];
/// Entries are inserted. A cleanup redacts the values of a secret; a trigger restricts updates to secrets.
const TRAIL: &[Privilege] = &[
    on_table("select"),
    on_table("insert"),
    Privilege { name: "update", columns: &["old_value_json", "new_value_json", "salt"] },
];
/// `select … for update` needs the privilege to update a column; no update can change this one.
const LOCK: &[Privilege] =
    &[on_table("select"), Privilege { name: "update", columns: &["singleton"] }];

const fn table(name: &'static str, service: &'static [Privilege]) -> Table {
    Table { name, service, is_readable: true }
}

/// Every table and view of the schema.
pub(super) const TABLES: [Table; 23] = [
    table("_sqlx_migrations", READ),
    table("app_global_setting_audit", TRAIL),
    table("app_global_setting_head", LOCK),
    table("app_global_setting_schema", READ),
    table("app_global_settings", WRITE),
    table("app_idempotency_key", WRITE),
    table("brune_freeze", FREEZE),
    table("brune_instance", WRITE),
    // A materialized view, which `pg_dump` does not read.
    Table { name: "brune_notification_key", service: READ, is_readable: false },
    // Read by a trigger only: a role that can read the seed can forge notifications.
    Table { name: "brune_notification_seed", service: &[], is_readable: false },
    table("brune_outbox", WRITE),
    table("brune_outbox_sink", WRITE),
    table("brune_proposal", PROPOSAL),
    table("brune_proposal_edition", EDITION),
    table("brune_proposal_reminder", APPEND_AND_UPDATE),
    table("brune_proposal_verdict", APPEND),
    table("brune_release", RELEASE),
    // Written by triggers only.
    table("brune_rollout_failure", READ),
    table("brune_session", APPEND_AND_UPDATE),
    table("brune_session_counted", READ),
    table("brune_start_attempt", WRITE),
    table("brune_start_refused", WRITE),
    table("brune_starts_event", APPEND),
];

/// Returns the entry of the table `name`.
pub(super) fn find(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

/// Whether the function `signature` (`name(arguments)`) has one of our prefixes.
pub(super) fn is_ours(signature: &str) -> bool {
    FUNCTION_PREFIXES.iter().any(|prefix| signature.starts_with(prefix))
}

/// Whether the service calls the function `signature` directly.
pub(super) fn is_called_by_service(signature: &str) -> bool {
    let name = signature.split('(').next().unwrap_or_default();
    SERVICE_FUNCTIONS.contains(&name)
}
