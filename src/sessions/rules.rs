//! The settings of a session start as typed fields. Pure.

use crate::settings::{InvalidSettings, KeyClass, Schema, Snapshot};

/// The keys that a session start requires. Without these declarations no session can start.
pub const KEYS: [&str; 9] = [
    COOLDOWN,
    MAX_PER_DAY,
    REQUIRE_PLAN,
    ALLOWED_LEVELS,
    PROMPT_ID,
    PROMPT_VERSION,
    MODEL,
    MODEL_ALLOWLIST,
    MAX_MINUTES,
];

/// The keys that decide who may start a session, and how long the session may last.
pub(super) const DECIDING_KEYS: [&str; 5] =
    [COOLDOWN, MAX_PER_DAY, REQUIRE_PLAN, ALLOWED_LEVELS, MAX_MINUTES];

/// The keys that decide who may start a session.
const ELIGIBILITY_KEYS: [&str; 4] = [COOLDOWN, MAX_PER_DAY, REQUIRE_PLAN, ALLOWED_LEVELS];

/// Whether one of `keys` decides who may start a session.
pub fn decide_eligibility<'k>(mut keys: impl Iterator<Item = &'k str>) -> bool {
    keys.any(|key| ELIGIBILITY_KEYS.contains(&key))
}

/// Whether `schema` declares every key that a session start requires. Declarations may change while the service runs.
#[must_use]
pub fn are_declared(schema: &Schema) -> bool {
    KEYS.iter().all(|key| matches!(schema.classify(key), KeyClass::Editable(_)))
}

pub(super) const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";
const MAX_PER_DAY: &str = "BRUNE_MAX_SESSIONS_PER_DAY";
const REQUIRE_PLAN: &str = "BRUNE_ELIGIBILITY_REQUIRE_PLAN";
const ALLOWED_LEVELS: &str = "BRUNE_ELIGIBILITY_ALLOWED_LEVELS";
pub(super) const PROMPT_ID: &str = "BRUNE_PROMPT_ID";
pub(super) const PROMPT_VERSION: &str = "BRUNE_PROMPT_VERSION";
pub(super) const MODEL: &str = "BRUNE_OPENAI_REALTIME_MODEL";
pub(super) const MODEL_ALLOWLIST: &str = "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST";
pub(super) const MAX_MINUTES: &str = "BRUNE_SESSION_MAX_MINUTES";

/// Instructions for the model instead of a stored prompt; optional in a catalog.
pub(super) const INSTRUCTIONS: &str = "BRUNE_PROMPT_INSTRUCTIONS";

/// The settings of a session start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// The revision.
    pub revision: i64,
    /// Minutes between the end of a session and the next start.
    pub cooldown_minutes: i64,
    /// Maximum number of starts per user and UTC day.
    pub max_sessions_per_day: i64,
    /// Whether a start requires a plan.
    pub require_plan: bool,
    /// The allowed levels; empty for all.
    pub allowed_levels: Vec<String>,
    /// The prompt.
    pub prompt_id: String,
    /// The version of the prompt.
    pub prompt_version: String,
    /// Instructions instead of the prompt, if declared and not blank.
    pub instructions: Option<String>,
    /// The model.
    pub model: String,
    /// Maximum duration of a session in minutes.
    pub session_max_minutes: i32,
}

impl SessionSettings {
    /// Reads the settings from a snapshot.
    ///
    /// # Errors
    /// All keys that are missing or of another type.
    pub fn read(snapshot: &Snapshot) -> Result<Self, Vec<InvalidSettings>> {
        let mut errors = Vec::new();
        let settings = Self {
            revision: snapshot.revision,
            cooldown_minutes: value_or_default(snapshot.get_integer(COOLDOWN), &mut errors),
            max_sessions_per_day: value_or_default(snapshot.get_integer(MAX_PER_DAY), &mut errors),
            require_plan: value_or_default(snapshot.get_bool(REQUIRE_PLAN), &mut errors),
            allowed_levels: value_or_default(snapshot.get_array(ALLOWED_LEVELS), &mut errors)
                .to_vec(),
            prompt_id: value_or_default(snapshot.get_string(PROMPT_ID), &mut errors).to_owned(),
            prompt_version: value_or_default(snapshot.get_string(PROMPT_VERSION), &mut errors)
                .to_owned(),
            instructions: value_or_default(instructions(snapshot), &mut errors),
            model: value_or_default(snapshot.get_string(MODEL), &mut errors).to_owned(),
            session_max_minutes: value_or_default(minutes(snapshot), &mut errors),
        };
        // The start does not use the list, but requires the list as a guard of the model.
        value_or_default(snapshot.get_array(MODEL_ALLOWLIST), &mut errors);
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }
}

fn instructions(snapshot: &Snapshot) -> Result<Option<String>, InvalidSettings> {
    match snapshot.get_string(INSTRUCTIONS) {
        // A blank value, such as an empty default, means the stored prompt applies.
        Ok(text) => Ok(Some(text.to_owned()).filter(|text| !text.trim().is_empty())),
        Err(InvalidSettings::Missing(_)) => Ok(None),
        Err(mistyped @ InvalidSettings::Mistyped { .. }) => Err(mistyped),
    }
}

fn minutes(snapshot: &Snapshot) -> Result<i32, InvalidSettings> {
    let minutes = snapshot.get_integer(MAX_MINUTES)?;
    // A session of no minutes would expire at the start, and the column has 32 bits.
    let minutes = i32::try_from(minutes).ok().filter(|minutes| *minutes > 0);
    minutes.ok_or_else(|| InvalidSettings::Mistyped {
        key: MAX_MINUTES.to_owned(),
        expected: "a positive number of minutes",
    })
}

fn value_or_default<T: Default>(
    result: Result<T, InvalidSettings>,
    errors: &mut Vec<InvalidSettings>,
) -> T {
    result.unwrap_or_else(|error| {
        // The default is never used, and lets the remaining keys be read for a complete report.
        errors.push(error);
        T::default()
    })
}
