//! The settings of past revisions, as far as a start reads them. Pure.

use std::{collections::HashMap, sync::Arc};

use crate::{
    sessions::{rules::SessionSettings, what_if::store::RecordedValue},
    settings::{SettingValue, Snapshot},
};

/// The settings of session starts by revision.
#[derive(Debug, Default)]
pub(super) struct RecordedSettings {
    /// The first revision of each state, ascending; `None` if the values are incomplete or no longer fit the catalog.
    states: Vec<(i64, Option<Arc<SessionSettings>>)>,
}

impl RecordedSettings {
    /// Combines `values`, which are in the order of revisions. `current` has the declarations, and the settings that
    /// decide on no start.
    pub(super) fn new(current: &Snapshot, keys: &[String], values: Vec<RecordedValue>) -> Self {
        let mut states: Vec<(i64, Option<Arc<SessionSettings>>)> = Vec::new();
        let mut latest: HashMap<String, SettingValue> = HashMap::new();
        let mut values = values.into_iter().peekable();
        while let Some(recorded) = values.next() {
            let revision = recorded.revision;
            let declared =
                current.schema.find(&recorded.key).map(|definition| definition.value_type);
            let value = declared.zip(recorded.value.as_ref()).and_then(|(declared, value)| {
                // A value of an earlier catalog may have another type.
                SettingValue::from_stored(declared, value).ok()
            });
            match value {
                Some(value) => drop(latest.insert(recorded.key, value)),
                None => drop(latest.remove(&recorded.key)),
            }
            // All changes of a revision make one state.
            if values.peek().is_some_and(|next| next.revision == revision) {
                continue;
            }
            let is_complete = keys.iter().all(|key| latest.contains_key(key));
            let settings = is_complete.then(|| {
                let mut snapshot = current.with_values(latest.clone());
                snapshot.revision = revision;
                SessionSettings::read(&snapshot).ok().map(Arc::new)
            });
            states.push((revision, settings.flatten()));
        }
        Self { states }
    }

    /// Returns the settings at `revision`, if known.
    pub(super) fn at(&self, revision: i64) -> Option<&Arc<SessionSettings>> {
        let later = self.states.partition_point(|(first, _)| *first <= revision);
        self.states[..later].last()?.1.as_ref()
    }

    /// Returns the longest cooldown in minutes.
    pub(super) fn longest_cooldown(&self) -> i64 {
        let cooldowns =
            self.states.iter().filter_map(|(_, state)| Some(state.as_ref()?.cooldown_minutes));
        cooldowns.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::settings::{BRUN_E, Catalog};

    const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";
    const REQUIRE_PLAN: &str = "BRUNE_ELIGIBILITY_REQUIRE_PLAN";

    fn recorded(values: &[(&str, i64, Option<Value>)]) -> RecordedSettings {
        let schema = Catalog::parse(BRUN_E).unwrap().schema;
        let current = Snapshot::of_defaults(Arc::new(schema)).unwrap();
        let values = values.iter().map(|(key, revision, value)| RecordedValue {
            key: (*key).to_owned(),
            revision: *revision,
            value: value.clone(),
        });
        let keys = [COOLDOWN, REQUIRE_PLAN].map(str::to_owned);
        RecordedSettings::new(&current, &keys, values.collect())
    }

    #[test]
    fn a_revision_has_the_newest_value_of_each_key() {
        let settings = recorded(&[
            (COOLDOWN, 1, Some(json!(30))),
            (REQUIRE_PLAN, 1, Some(json!(true))),
            (COOLDOWN, 3, Some(json!(60))),
            (REQUIRE_PLAN, 5, Some(json!(false))),
            (COOLDOWN, 5, Some(json!(90))),
        ]);
        let state = |revision| {
            let settings = settings.at(revision)?;
            Some((settings.cooldown_minutes, settings.require_plan))
        };
        assert_eq!(state(0), None);
        assert_eq!([state(1), state(2)], [Some((30, true)); 2]);
        assert_eq!([state(3), state(4)], [Some((60, true)); 2]);
        assert_eq!([state(5), state(9)], [Some((90, false)); 2]);
        assert_eq!(settings.longest_cooldown(), 90);
    }

    #[test]
    fn incomplete_and_unreadable_values_are_unknown() {
        let settings = recorded(&[
            (COOLDOWN, 1, Some(json!(30))),
            (REQUIRE_PLAN, 2, Some(json!(true))),
            (COOLDOWN, 3, Some(json!("half an hour"))),
            (COOLDOWN, 4, Some(json!(45))),
            (REQUIRE_PLAN, 5, None),
        ]);
        let cooldowns =
            [1, 2, 3, 4, 5].map(|revision| Some(settings.at(revision)?.cooldown_minutes));
        assert_eq!(cooldowns, [None, Some(30), None, Some(45), None]);
    }
}
