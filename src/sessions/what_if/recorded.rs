//! The settings of past revisions, as far as a start reads them. Pure.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use serde_json::Value;
use uuid::Uuid;

use crate::{
    sessions::{
        rules::{COOLDOWN, SessionSettings},
        what_if::store::{CandidateValue, RecordedValue},
    },
    settings::{Number, SettingValue, Snapshot},
};

/// Values of deciding settings by key; `None` if the value does not fit the catalog.
type Values = HashMap<String, Option<SettingValue>>;

/// The settings of session starts by revision, and of the candidates of rollouts.
#[derive(Debug)]
pub(super) struct RecordedSettings {
    /// The declarations, and the settings that decide on no start.
    current: Arc<Snapshot>,
    /// In the order of revisions.
    states: Vec<State>,
    /// The values of candidates by proposal.
    candidates: HashMap<Uuid, Values>,
    /// The settings of candidates by state and proposal.
    cache: HashMap<(usize, Uuid), Option<Arc<SessionSettings>>>,
}

/// The settings from a revision on.
#[derive(Debug)]
struct State {
    first_revision: i64,
    values: HashMap<String, SettingValue>,
    /// `None` if the values are incomplete or no longer fit the catalog.
    settings: Option<Arc<SessionSettings>>,
}

impl RecordedSettings {
    /// Combines `values`, which are in the order of revisions. `current` has the declarations, and the settings that
    /// decide on no start.
    pub(super) fn new(
        current: &Arc<Snapshot>,
        keys: &[String],
        values: Vec<RecordedValue>,
        candidate_values: Vec<CandidateValue>,
    ) -> Self {
        let mut states: Vec<State> = Vec::new();
        let mut latest: HashMap<String, SettingValue> = HashMap::new();
        let mut values = values.into_iter().peekable();
        while let Some(recorded) = values.next() {
            let first_revision = recorded.revision;
            match read(current, &recorded.key, recorded.value.as_ref()) {
                Some(value) => drop(latest.insert(recorded.key, value)),
                None => drop(latest.remove(&recorded.key)),
            }
            // All changes of a revision make one state.
            if values.peek().is_some_and(|next| next.revision == first_revision) {
                continue;
            }
            let is_complete = keys.iter().all(|key| latest.contains_key(key));
            let settings =
                is_complete.then(|| settings(current, first_revision, latest.clone())).flatten();
            states.push(State { first_revision, values: latest.clone(), settings });
        }
        let mut candidates: HashMap<Uuid, Values> = HashMap::new();
        for CandidateValue { proposal, key, value } in candidate_values {
            let value = read(current, &key, value.as_ref());
            candidates.entry(proposal).or_default().insert(key, value);
        }
        let current = Arc::clone(current);
        Self { current, states, candidates, cache: HashMap::new() }
    }

    /// Returns the settings at `revision`, with the values of the candidate of `proposal`, if known.
    pub(super) fn at(
        &mut self,
        revision: i64,
        proposal: Option<Uuid>,
    ) -> Option<Arc<SessionSettings>> {
        let later = self.states.partition_point(|state| state.first_revision <= revision);
        let index = later.checked_sub(1)?;
        let state = self.states.get(index)?;
        // A candidate without a deciding setting starts by the rules of all others.
        let candidate = proposal.and_then(|id| Some((id, self.candidates.get(&id)?)));
        let (Some(_), Some((id, proposed))) = (&state.settings, candidate) else {
            return state.settings.clone();
        };
        // On demand: most revisions have no attempt of a candidate.
        let with_proposed = || {
            let mut values = state.values.clone();
            for (key, value) in proposed {
                values.insert(key.clone(), value.clone()?);
            }
            settings(&self.current, revision, values)
        };
        self.cache.entry((index, id)).or_insert_with(with_proposed).clone()
    }

    /// Returns the keys of which the candidates of replayed attempts had other values than `current`.
    pub(super) fn keys_of_candidates(&self, current: &Snapshot) -> BTreeSet<&str> {
        let proposals = self.cache.keys().filter_map(|(_, id)| self.candidates.get(id));
        let differing =
            proposals.flatten().filter(|(key, value)| current.value(key) != value.as_ref());
        differing.map(|(key, _)| key.as_str()).collect()
    }

    /// Returns the longest cooldown in minutes.
    pub(super) fn longest_cooldown(&self) -> i64 {
        let recorded =
            self.states.iter().filter_map(|state| Some(state.settings.as_ref()?.cooldown_minutes));
        let proposed =
            self.candidates.values().filter_map(|values| match values.get(COOLDOWN)? {
                Some(SettingValue::Number(Number::Integer(minutes))) => Some(*minutes),
                _ => None,
            });
        recorded.chain(proposed).max().unwrap_or_default()
    }
}

/// Returns the value of `key` by its declaration; `None` if a value of an earlier catalog has another type.
fn read(current: &Snapshot, key: &str, value: Option<&Value>) -> Option<SettingValue> {
    let declared = current.schema.find(key)?.value_type;
    SettingValue::from_stored(declared, value?).ok()
}

fn settings(
    current: &Snapshot,
    revision: i64,
    values: HashMap<String, SettingValue>,
) -> Option<Arc<SessionSettings>> {
    let mut snapshot = current.with_values(values);
    snapshot.revision = revision;
    SessionSettings::read(&snapshot).ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::{BRUN_E, Catalog};

    const REQUIRE_PLAN: &str = "BRUNE_ELIGIBILITY_REQUIRE_PLAN";

    fn candidate_values() -> Vec<CandidateValue> {
        let value = |proposal, key: &str, value| CandidateValue {
            proposal: Uuid::from_u128(proposal),
            key: key.to_owned(),
            value,
        };
        vec![
            value(1, COOLDOWN, Some(json!(75))),
            value(2, REQUIRE_PLAN, Some(json!(true))),
            value(2, COOLDOWN, None),
        ]
    }

    fn recorded(values: &[(&str, i64, Option<Value>)]) -> RecordedSettings {
        let schema = Catalog::parse(BRUN_E).unwrap().schema;
        let current = Arc::new(Snapshot::of_defaults(Arc::new(schema)).unwrap());
        let values = values.iter().map(|(key, revision, value)| RecordedValue {
            key: (*key).to_owned(),
            revision: *revision,
            value: value.clone(),
        });
        let keys = [COOLDOWN, REQUIRE_PLAN].map(str::to_owned);
        RecordedSettings::new(&current, &keys, values.collect(), candidate_values())
    }

    #[test]
    fn a_revision_has_the_newest_value_of_each_key() {
        let mut settings = recorded(&[
            (COOLDOWN, 1, Some(json!(30))),
            (REQUIRE_PLAN, 1, Some(json!(true))),
            (COOLDOWN, 3, Some(json!(60))),
            (REQUIRE_PLAN, 5, Some(json!(false))),
            (COOLDOWN, 5, Some(json!(90))),
        ]);
        let mut state = |revision| {
            let settings = settings.at(revision, None)?;
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
        let mut settings = recorded(&[
            (COOLDOWN, 1, Some(json!(30))),
            (REQUIRE_PLAN, 2, Some(json!(true))),
            (COOLDOWN, 3, Some(json!("half an hour"))),
            (COOLDOWN, 4, Some(json!(45))),
            (REQUIRE_PLAN, 5, None),
        ]);
        let cooldowns =
            [1, 2, 3, 4, 5].map(|revision| Some(settings.at(revision, None)?.cooldown_minutes));
        assert_eq!(cooldowns, [None, Some(30), None, Some(45), None]);
    }
    #[test]
    fn a_candidate_has_its_values_and_all_others_of_the_revision() {
        let mut settings = recorded(&[
            (COOLDOWN, 1, Some(json!(30))),
            (REQUIRE_PLAN, 1, Some(json!(true))),
            (REQUIRE_PLAN, 3, Some(json!(false))),
        ]);
        let mut state = |revision, proposal| {
            let settings = settings.at(revision, Some(Uuid::from_u128(proposal)))?;
            Some((settings.cooldown_minutes, settings.require_plan, settings.revision))
        };
        assert_eq!(state(2, 1), Some((75, true, 2)));
        assert_eq!([state(3, 1), state(3, 1)], [Some((75, false, 3)); 2]);
        // A value that was removed with a secret, and a proposal without a deciding setting.
        assert_eq!(state(2, 2), None);
        assert_eq!(state(3, 3), Some((30, false, 3)));
        assert_eq!(settings.longest_cooldown(), 75);
        let keys = settings.keys_of_candidates(&settings.current);
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), [COOLDOWN]);
    }
}
