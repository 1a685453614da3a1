//! Checks that the triggers and functions of the invariants are as the migrations created them.

use std::collections::BTreeMap;

use crate::database::{Pool, TransactionError, read_with_retry, store};

/// The triggers of the schema by table; each runs the function of its name.
const TRIGGERS: [(&str, &[&str]); 13] = [
    (
        "app_global_setting_audit",
        &[
            "app_global_setting_audit_as_owner",
            "app_global_setting_audit_chain",
            "app_global_setting_audit_is_append_only",
            NEVER_TRUNCATED,
            "app_global_setting_audit_is_true",
            "app_global_setting_audit_redaction_is_told",
        ],
    ),
    (
        "app_global_setting_head",
        &[
            "app_global_setting_head_is_approved",
            "app_global_setting_head_is_audited",
            "app_global_setting_head_is_not_rolling",
            "app_global_setting_head_notifies",
        ],
    ),
    (
        "app_global_setting_schema",
        &["app_global_setting_schema_changed", "app_global_setting_schema_protects"],
    ),
    (
        "app_global_settings",
        &[
            "app_global_settings_is_audited",
            "app_global_settings_is_never_truncated",
            "app_global_settings_write",
        ],
    ),
    (
        "brune_freeze",
        &["brune_decision_is_permanent", "brune_freeze_write", "brune_freeze_written"],
    ),
    (
        "brune_proposal",
        &[
            "brune_decision_is_permanent",
            "brune_proposal_ended",
            "brune_proposal_is_applied",
            "brune_proposal_lock",
            "brune_proposal_write",
            "brune_rollout_write",
            "brune_rollout_written",
        ],
    ),
    (
        "brune_proposal_edition",
        &[
            "brune_decision_is_permanent",
            "brune_proposal_edition_redact",
            "brune_proposal_edition_write",
            "brune_proposal_edition_written",
            "brune_rollout_plan_write",
        ],
    ),
    (
        "brune_proposal_verdict",
        &[
            "brune_decision_is_permanent",
            "brune_proposal_verdict_write",
            "brune_proposal_verdict_written",
        ],
    ),
    (
        "brune_release",
        &["brune_decision_is_permanent", "brune_release_write", "brune_release_written"],
    ),
    ("brune_rollout_failure", &["brune_decision_is_permanent"]),
    (
        "brune_session",
        &[
            "brune_rollout_arm_is_true",
            "brune_rollout_failure_write",
            "brune_session_keeps_its_settings",
        ],
    ),
    ("brune_start_refused", &["brune_rollout_arm_is_true", "brune_rollout_failure_write"]),
    (
        "brune_starts_event",
        &["brune_decision_is_permanent", "brune_starts_event_write", "brune_starts_event_written"],
    ),
];

/// The only trigger whose function has another name.
const NEVER_TRUNCATED: &str = "app_global_setting_audit_is_never_truncated";

/// The functions that run with the rights of their owner (`security definer`).
const DEFINERS: [&str; 26] = [
    "app_global_setting_audit_chain",
    "app_global_setting_head_is_approved",
    "app_global_setting_head_is_not_rolling",
    "app_global_setting_head_notifies",
    "app_global_setting_open_revision",
    "app_global_setting_schema_changed",
    "app_global_settings_write",
    "brune_freeze_write",
    "brune_freeze_written",
    "brune_proposal_edition_write",
    "brune_proposal_edition_written",
    "brune_proposal_ended",
    "brune_proposal_is_applied",
    "brune_proposal_lock",
    "brune_proposal_verdict_write",
    "brune_proposal_verdict_written",
    "brune_proposal_write",
    "brune_release_write",
    "brune_release_written",
    "brune_rollout_arm_is_true",
    "brune_rollout_failure_write",
    "brune_rollout_plan_write",
    "brune_rollout_write",
    "brune_rollout_written",
    "brune_starts_event_write",
    "brune_starts_event_written",
];

/// The settings of the function that knows the secret of a notification before the commit: no plan with values, and no
/// message to the client that contains a plan.
const NOTIFIES_SETTINGS: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("client_min_messages", "error"),
    ("debug_print_parse", "off"),
    ("debug_print_rewritten", "off"),
    ("debug_print_plan", "off"),
];

/// The functions that run with further settings than the path.
const SETTINGS: [(&str, &[(&str, &str)]); 1] =
    [("app_global_setting_head_notifies", &NOTIFIES_SETTINGS)];

/// The functions that no trigger runs.
const OTHERS: [&str; 16] = [
    "app_global_setting_audit_hash",
    "app_global_setting_open_revision",
    "brune_changes_redacted",
    "brune_decision_append",
    "brune_decision_check",
    "brune_edits_redacted",
    "brune_notification_origin",
    "brune_person",
    "brune_proposal_standing",
    "brune_rollout_bucket",
    "brune_rollout_origin",
    "brune_rollout_permitted",
    "brune_rollout_plan_is_readable",
    "brune_session_over",
    "brune_values_outside_trail",
    "brune_within_a_minute",
];

/// A trigger or a function that fails to protect an invariant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// A trigger does not exist, or runs another function.
    #[error(
        "trigger {trigger} on {table} is missing or runs another function; create the trigger as the migrations do, \
         and compare the data with a backup"
    )]
    MissingTrigger {
        /// Its table.
        table: String,
        /// Its name.
        trigger: String,
    },
    /// A trigger does not fire.
    #[error(
        "trigger {trigger} on {table} is disabled; run `alter table {table} enable trigger {trigger}`, and \
         compare the data with a backup"
    )]
    DisabledTrigger {
        /// Its table.
        table: String,
        /// Its name.
        trigger: String,
    },
    /// A function does not exist.
    #[error("function {0} is missing; create the function as the migrations do")]
    MissingFunction(String),
    /// A function resolves names by the caller's search path.
    #[error(
        "function {function} has no fixed search_path; run `alter function {function} set search_path = {path}`"
    )]
    OpenSearchPath {
        /// Its name and the types of its arguments.
        function: String,
        /// The expected path.
        path: String,
    },
    /// A function runs with a setting of the caller's session, which can reveal what the function knows.
    #[error(
        "function {function} runs without {setting} = {value}; run `alter function {function} set {setting} = {value}`"
    )]
    MissingSetting {
        /// Its name and the types of its arguments.
        function: String,
        /// The name of the setting.
        setting: &'static str,
        /// The expected value.
        value: &'static str,
    },
    /// A function runs with the insufficient privileges of its caller.
    #[error("function {0} is not a security definer; run `alter function {0} security definer`")]
    NotDefiner(String),
    /// Every role may call a security definer function.
    #[error(
        "function {0} may be executed by PUBLIC; run `revoke execute on function {0} from public`"
    )]
    PublicDefiner(String),
    /// A function and the tables have different owners.
    #[error(
        "function {function} belongs to {owner}, and the tables to {expected}; run \
         `alter function {function} owner to {expected}`"
    )]
    ForeignOwner {
        /// Its name and the types of its arguments.
        function: String,
        /// The role that owns it.
        owner: String,
        /// The role that owns the tables.
        expected: String,
    },
}

/// The result of [`inspect`].
#[derive(Debug, Default)]
pub struct Inspection {
    /// The number of triggers that this release expects.
    pub triggers: usize,
    /// The number of our functions in the schema.
    pub functions: usize,
    /// All deviations from the migrations.
    pub defects: Vec<Defect>,
}

/// Compares the triggers and functions of the schema with the migrations. Functions of a newer release must follow the
/// same rules.
pub async fn inspect(pool: &Pool) -> Result<Inspection, TransactionError> {
    let (triggers, functions) = read_with_retry(pool, async |conn| {
        Ok::<_, TransactionError>((store::triggers(conn).await?, store::functions(conn).await?))
    })
    .await?;
    let mut defects = trigger_defects(triggers);
    let expected: Vec<_> = expected_triggers().map(|(_, trigger)| trigger).collect();
    let names = expected.iter().copied().filter(|name| *name != NEVER_TRUNCATED).chain(OTHERS);
    let exists = |name: &str| functions.iter().any(|function| function.name == name);
    let missing = names.filter(|name| !exists(name));
    defects.extend(missing.map(|name| Defect::MissingFunction(name.to_owned())));
    defects.extend(functions.iter().flat_map(function_defects));
    Ok(Inspection { triggers: expected.len(), functions: functions.len(), defects })
}

fn expected_triggers() -> impl Iterator<Item = (&'static str, &'static str)> {
    TRIGGERS.iter().flat_map(|(table, triggers)| triggers.iter().map(|trigger| (*table, *trigger)))
}

fn trigger_defects(triggers: Vec<store::Trigger>) -> Vec<Defect> {
    let by_name = |trigger: store::Trigger| {
        ((trigger.table, trigger.name), (trigger.function, trigger.is_enabled))
    };
    let actual: BTreeMap<_, _> = triggers.into_iter().map(by_name).collect();
    let defect = |(table, trigger): (&str, &str)| {
        let (table, trigger) = (table.to_owned(), trigger.to_owned());
        let function = match trigger.as_str() {
            NEVER_TRUNCATED => "app_global_setting_audit_is_append_only",
            name => name,
        };
        match actual.get(&(table.clone(), trigger.clone())) {
            Some((runs, true)) if runs == function => None,
            Some((runs, false)) if runs == function => {
                Some(Defect::DisabledTrigger { table, trigger })
            }
            // Enabling a trigger that runs another function would repair nothing.
            _ => Some(Defect::MissingTrigger { table, trigger }),
        }
    };
    expected_triggers().filter_map(defect).collect()
}

fn function_defects(function: &store::Function) -> Vec<Defect> {
    let signature = || function.signature.clone();
    let is_definer = DEFINERS.contains(&function.name.as_str());
    let mut defects = Vec::new();
    // Otherwise a caller's temporary table can shadow the audit trail.
    if !function.has_fixed_path {
        defects.push(Defect::OpenSearchPath {
            function: signature(),
            path: function.expected_path.clone(),
        });
    }
    let expected = SETTINGS.iter().filter(|(name, _)| *name == function.name);
    let missing = expected
        .flat_map(|(_, settings)| settings.iter())
        .filter(|(setting, value)| !function.settings.contains(&format!("{setting}={value}")));
    defects.extend(missing.map(|&(setting, value)| Defect::MissingSetting {
        function: signature(),
        setting,
        value,
    }));
    // The caller lacks the privileges on the tables that such a function changes.
    if is_definer && !function.is_definer {
        defects.push(Defect::NotDefiner(signature()));
    }
    // The actual attribute counts, so that functions of a newer release are checked too.
    if function.is_definer && function.is_public {
        defects.push(Defect::PublicDefiner(signature()));
    }
    // An owner can replace the body of a function at any time.
    if function.owner != function.expected_owner {
        defects.push(Defect::ForeignOwner {
            function: signature(),
            owner: function.owner.clone(),
            expected: function.expected_owner.clone(),
        });
    }
    defects
}
