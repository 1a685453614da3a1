//! The running rollout, and the settings of the candidate.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::DateTime;
use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

use crate::{
    proposals::ProposedValue,
    rollouts::{self, Share},
    settings::{entry::StoredSetting, rules::Violation, schema::KeyClass, snapshot::Snapshot},
};

/// The state that decides about session starts besides the settings. A new state has a greater number.
#[derive(Debug, Default, PartialEq)]
pub struct Epoch {
    /// Grows when starts are stopped or resumed, and when a rollout begins, widens or ends.
    pub number: i64,
    /// The running rollout.
    pub rollout: Option<RunningRollout>,
}

/// A rollout that is running: some users start sessions with the settings of a proposal.
#[derive(Clone, PartialEq, Deserialize)]
pub struct RunningRollout {
    /// The id of the proposal.
    pub proposal: Uuid,
    /// The number of the proposal.
    pub number: i64,
    /// The edition.
    pub edition: i32,
    /// The stage, from 1.
    pub stage: i16,
    /// The share of the users who get the candidate.
    pub share: Share,
    /// Decides, with the id of a user, which users get the candidate.
    #[serde(deserialize_with = "from_base64")]
    salt: Vec<u8>,
    edits: BTreeMap<String, ProposedValue>,
}

/// Without the values, which may be long.
impl fmt::Debug for RunningRollout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, edition, stage, share, .. } = self;
        write!(formatter, "RunningRollout({number}, {edition}, {stage}, {share:?})")
    }
}

impl RunningRollout {
    /// Whether the user `user_id` gets the candidate.
    #[must_use]
    pub fn is_candidate(&self, user_id: &str) -> bool {
        rollouts::is_candidate(&self.salt, user_id, self.share)
    }

    /// Returns the settings of the candidate: `current` with the values of the proposal.
    ///
    /// # Errors
    /// All violations of the rules, which only changes by SQL can cause.
    pub fn candidate(&self, current: &Snapshot) -> Result<Snapshot, Vec<Violation>> {
        let mut violations = Vec::new();
        let mut rows = Vec::with_capacity(self.edits.len());
        for (key, proposed) in &self.edits {
            // A snapshot leaves out undeclared keys, and the candidate would be another than the approved one.
            if !matches!(current.schema.classify(key), KeyClass::Editable(_)) {
                violations.push(Violation::unknown(key));
            } else if proposed.redacted {
                violations.push(Violation::redacted(key));
            } else {
                rows.push(StoredSetting {
                    key: key.clone(),
                    value: Some(proposed.value.clone()),
                    // The value is not stored as a setting, so there is no version, author or time.
                    version: Some(0),
                    updated_by: Some(String::new()),
                    updated_at: Some(DateTime::UNIX_EPOCH),
                });
            }
        }
        // The current settings are valid, so the changed keys and their partners suffice.
        match current.advanced(current.revision, rows) {
            Ok(candidate) if violations.is_empty() => return Ok(candidate),
            // The other values are valid, but the candidate is incomplete.
            Ok(_) => (),
            Err(broken) => violations.extend(broken),
        }
        Err(violations)
    }
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::settings::{BRUN_E, Catalog, Number, SettingValue};

    fn rollout(edits: &Value) -> RunningRollout {
        let row = json!({
            "proposal": Uuid::nil(), "number": 12, "edition": 1, "stage": 1, "share": 1000,
            "salt": "AAECAwQFBgcICQoLDA0ODw==", "edits": edits,
        });
        serde_json::from_value(row).unwrap()
    }

    fn current() -> Snapshot {
        let schema = Catalog::parse(BRUN_E).unwrap().schema;
        Snapshot::of_defaults(Arc::new(schema)).unwrap()
    }

    #[test]
    fn a_candidate_has_the_proposed_values_and_all_other_current_values() {
        let rollout = rollout(&json!({"BRUNE_COOLDOWN_MINUTES": {"value": 45, "version": 1}}));
        let current = current();
        let candidate = rollout.candidate(&current).unwrap();
        let minutes = SettingValue::Number(Number::Integer(45));
        assert_eq!(candidate.value("BRUNE_COOLDOWN_MINUTES"), Some(&minutes));
        assert_eq!(candidate.value("BRUNE_PROMPT_ID"), current.value("BRUNE_PROMPT_ID"));
        assert_eq!((candidate.revision, candidate.len()), (current.revision, current.len()));
        // The bucket of Ada with this salt is 8117, of `user-1` 6374.
        assert!(!rollout.is_candidate("ada"));
        assert!(
            RunningRollout { share: Share::from_percent(64).unwrap(), ..rollout }
                .is_candidate("user-1")
        );
    }

    #[test]
    fn every_violation_of_a_candidate_is_returned() {
        let edits = json!({
            "BRUNE_COOLDOWN_MINUTES": {"value": -1, "version": 1},
            "BRUNE_PROMPT_ID": {"value": 7, "version": 1},
            "BRUNE_PROMPT_VERSION": {"redacted": true, "version": 1},
            "BRUNE_OPENAI_REALTIME_MODEL": {"value": "unlisted", "version": 1},
            "BRUNE_NO_SUCH_SETTING": {"value": 1, "version": null},
        });
        let violations = rollout(&edits).candidate(&current()).unwrap_err();
        let mut codes: Vec<_> = violations.iter().map(|violation| violation.code).collect();
        codes.sort_unstable();
        assert_eq!(codes, ["not_in_list", "out_of_range", "redacted", "unknown_key", "wrong_type"]);
    }
}
