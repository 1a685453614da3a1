//! The nine Brun-E settings as typed fields. Pure.

use crate::settings::{InvalidSettings, KeyClass, Schema, Snapshot};

/// The keys that a session start reads, and that a catalog must declare for sessions to start at all.
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

/// Whether `schema` has sessions: it declares every key that a session start reads. What the database declares
/// may change while the service runs.
#[must_use]
pub fn are_declared(schema: &Schema) -> bool {
    KEYS.iter().all(|key| matches!(schema.classify(key), KeyClass::Editable(_)))
}

const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";
const MAX_PER_DAY: &str = "BRUNE_MAX_SESSIONS_PER_DAY";
const REQUIRE_PLAN: &str = "BRUNE_ELIGIBILITY_REQUIRE_PLAN";
const ALLOWED_LEVELS: &str = "BRUNE_ELIGIBILITY_ALLOWED_LEVELS";
pub(super) const PROMPT_ID: &str = "BRUNE_PROMPT_ID";
pub(super) const PROMPT_VERSION: &str = "BRUNE_PROMPT_VERSION";
pub(super) const MODEL: &str = "BRUNE_OPENAI_REALTIME_MODEL";
const MODEL_ALLOWLIST: &str = "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST";
const MAX_MINUTES: &str = "BRUNE_SESSION_MAX_MINUTES";

/// What to say to the model instead of a stored prompt; a catalog may do without.
const INSTRUCTIONS: &str = "BRUNE_PROMPT_INSTRUCTIONS";

/// What a session start needs of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// The revision it was read from.
    pub revision: i64,
    /// Minutes a user waits after a session ends.
    pub cooldown_minutes: i64,
    /// Starts of one user in one UTC day.
    pub max_sessions_per_day: i64,
    /// Whether a user without a plan is refused.
    pub require_plan: bool,
    /// The levels that may start; empty for all.
    pub allowed_levels: Vec<String>,
    /// The prompt to speak with.
    pub prompt_id: String,
    /// Its version.
    pub prompt_version: String,
    /// What to say in place of the prompt, if the catalog declares such a setting and it is not empty.
    pub instructions: Option<String>,
    /// The model to speak through.
    pub model: String,
    /// Minutes after which a session expires.
    pub session_max_minutes: i32,
}

impl SessionSettings {
    /// Reads them; the error holds every key that is missing or mistyped, not the first.
    pub fn read(snapshot: &Snapshot) -> Result<Self, Vec<InvalidSettings>> {
        let mut faults = Vec::new();
        let read = Self {
            revision: snapshot.revision,
            cooldown_minutes: take(snapshot.get_integer(COOLDOWN), &mut faults),
            max_sessions_per_day: take(snapshot.get_integer(MAX_PER_DAY), &mut faults),
            require_plan: take(snapshot.get_bool(REQUIRE_PLAN), &mut faults),
            allowed_levels: take(snapshot.get_array(ALLOWED_LEVELS), &mut faults).to_vec(),
            prompt_id: take(snapshot.get_string(PROMPT_ID), &mut faults).to_owned(),
            prompt_version: take(snapshot.get_string(PROMPT_VERSION), &mut faults).to_owned(),
            instructions: take(instructions(snapshot), &mut faults),
            model: take(snapshot.get_string(MODEL), &mut faults).to_owned(),
            session_max_minutes: take(minutes(snapshot), &mut faults),
        };
        // The start does not use the list, but a catalog without it has no guard on the model.
        take(snapshot.get_array(MODEL_ALLOWLIST), &mut faults);
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }
}

fn instructions(snapshot: &Snapshot) -> Result<Option<String>, InvalidSettings> {
    match snapshot.get_string(INSTRUCTIONS) {
        Ok(text) => Ok(Some(text.to_owned()).filter(|it| !it.trim().is_empty())),
        Err(InvalidSettings::Missing(_)) => Ok(None),
        Err(mistyped @ InvalidSettings::Mistyped { .. }) => Err(mistyped),
    }
}

fn minutes(snapshot: &Snapshot) -> Result<i32, InvalidSettings> {
    let minutes = snapshot.get_integer(MAX_MINUTES)?;
    let fits = i32::try_from(minutes).ok().filter(|it| 0 < *it);
    let expected = "a number of minutes, 1 or more";
    fits.ok_or_else(|| InvalidSettings::Mistyped { key: MAX_MINUTES.to_owned(), expected })
}

fn take<T: Default>(read: Result<T, InvalidSettings>, faults: &mut Vec<InvalidSettings>) -> T {
    read.unwrap_or_else(|fault| {
        faults.push(fault);
        T::default()
    })
}
