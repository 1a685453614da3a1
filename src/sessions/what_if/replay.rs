//! The replay of one recorded attempt after another, by the rules of a start. Pure.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::sessions::{
    eligibility::{self, Bounds, History, IneligibleReason},
    rules::SessionSettings,
    what_if::{
        peak::Sessions,
        recorded::RecordedSettings,
        store::Row,
        tally::{Change, Tally},
    },
};

/// The code of an attempt during a session that the user has only after the change.
const SESSION_ACTIVE: &str = "session_active";

/// How long a newly admitted session lasts, which no record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AdmittedLength {
    /// The session ends at once.
    None,
    /// The session lasts as long as it may.
    Full,
}

/// The sessions of a user so far.
#[derive(Debug, Default, Clone)]
struct Track {
    last_ended_at: Option<DateTime<Utc>>,
    day_start: DateTime<Utc>,
    started_today: i64,
}

impl Track {
    fn history(&self, bounds: &Bounds) -> History {
        let is_today = self.day_start == bounds.day_start;
        let started_today = if is_today { self.started_today } else { 0 };
        History { last_ended_at: self.last_ended_at, started_today }
    }

    fn add(&mut self, bounds: &Bounds, ended_at: DateTime<Utc>) {
        self.started_today = self.history(bounds).started_today + 1;
        self.day_start = bounds.day_start;
        self.last_ended_at = Some(ended_at);
    }

    /// Returns the codes against the attempt of `row`, by the rules of a start.
    fn check(&self, row: &Row, settings: &SessionSettings) -> Vec<&'static str> {
        let bounds = Bounds::at(row.at, settings);
        let (plan, level) = (row.plan.as_deref(), row.level.as_deref());
        let account = eligibility::check_account(plan, level, settings);
        let history = eligibility::check_history(&self.history(&bounds), &bounds, settings);
        account.iter().chain(&history).map(IneligibleReason::code).collect()
    }

    /// Whether the last session still runs at `at`.
    fn is_running(&self, at: DateTime<Utc>) -> bool {
        self.last_ended_at.is_some_and(|ended_at| ended_at > at)
    }
}

/// The attempts after the change, with one assumption about newly admitted sessions.
#[derive(Debug)]
struct Simulation {
    length: AdmittedLength,
    track: Track,
    tally: Tally,
}

impl Simulation {
    fn new(length: AdmittedLength) -> Self {
        Self { length, track: Track::default(), tally: Tally::default() }
    }

    fn add(&mut self, row: &Row, is_reproduced: bool, settings: &SessionSettings) {
        // The rules do not explain the record, so a difference would not be one of the change.
        if !is_reproduced {
            self.keep(row, settings);
            return;
        }
        let codes = if self.track.is_running(row.at) {
            vec![SESSION_ACTIVE]
        } else {
            self.track.check(row, settings)
        };
        match (&row.codes, codes.is_empty()) {
            (None, true) => self.keep(row, settings),
            (None, false) => self.tally.count(row, Change::NewlyRefused(&codes)),
            (Some(recorded), true) => {
                let ended_at = match self.length {
                    AdmittedLength::None => row.at,
                    AdmittedLength::Full => row.at + maximum(settings),
                };
                self.track.add(&Bounds::at(row.at, settings), ended_at);
                self.tally.count(row, Change::NewlyAdmitted(recorded));
                self.tally.add_session(row.at, ended_at);
            }
            (Some(_), false) => (),
        }
    }

    /// Adds the recorded session, until the new maximum.
    fn keep(&mut self, row: &Row, settings: &SessionSettings) {
        // A refusal and a failed start have no session.
        let Some(recorded_end) = row.ended_at else { return };
        let ended_at = recorded_end.min(row.at + maximum(settings));
        if ended_at < recorded_end {
            self.tally.count(row, Change::CutShorter(recorded_end - ended_at));
        }
        self.track.add(&Bounds::at(row.at, settings), ended_at);
        self.tally.add_session(row.at, ended_at);
    }
}

fn maximum(settings: &SessionSettings) -> TimeDelta {
    TimeDelta::minutes(settings.session_max_minutes.into())
}

/// What the records say, whatever the change is.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) attempts: i64,
    /// The attempts whose decision the recorded settings give again.
    pub(super) reproduced: i64,
    pub(super) duration: TimeDelta,
    pub(super) sessions: Sessions,
}

/// A replay of recorded attempts, in the order of [`for_each_attempt`](super::store::for_each_attempt).
#[derive(Debug)]
pub(super) struct Replay {
    since: DateTime<Utc>,
    settings: RecordedSettings,
    settings_after: Arc<SessionSettings>,
    user_id: String,
    /// The sessions of the user as recorded.
    track: Track,
    recorded: Recorded,
    simulations: [Simulation; 2],
}

impl Replay {
    /// Replays attempts since `since` under `settings_after`; earlier rows are history.
    pub(super) fn new(
        since: DateTime<Utc>,
        settings: RecordedSettings,
        settings_after: SessionSettings,
    ) -> Self {
        let simulations = [AdmittedLength::None, AdmittedLength::Full].map(Simulation::new);
        Self {
            since,
            settings,
            settings_after: Arc::new(settings_after),
            user_id: String::new(),
            track: Track::default(),
            recorded: Recorded::default(),
            simulations,
        }
    }

    /// Returns the records, and the differences without and with the full length of newly admitted sessions.
    pub(super) fn finish(self) -> (Recorded, [Tally; 2]) {
        (self.recorded, self.simulations.map(|simulation| simulation.tally))
    }

    /// Returns the settings of the records.
    pub(super) fn settings(&self) -> &RecordedSettings {
        &self.settings
    }

    /// Returns the number of replayed attempts.
    pub(super) fn attempts(&self) -> i64 {
        self.recorded.attempts
    }

    /// Replays an attempt, or adds an earlier session to the history.
    pub(super) fn add(&mut self, row: &Row) {
        if row.user_id != self.user_id {
            self.user_id.clone_from(&row.user_id);
            self.track = Track::default();
            for simulation in &mut self.simulations {
                simulation.track = Track::default();
            }
        }
        if row.at < self.since {
            self.add_history(row);
        } else {
            self.add_attempt(row);
        }
    }

    fn add_history(&mut self, row: &Row) {
        let Some(ended_at) = row.ended_at else { return };
        let bounds = Bounds::at(row.at, &self.settings_after);
        self.track.add(&bounds, ended_at);
        self.recorded.sessions.push(row.at.max(self.since), ended_at);
        for simulation in &mut self.simulations {
            simulation.track.add(&bounds, ended_at);
            simulation.tally.sessions.push(row.at.max(self.since), ended_at);
        }
    }

    fn add_attempt(&mut self, row: &Row) {
        let settings = self.settings.at(row.revision, row.proposal);
        let is_reproduced = settings.is_some_and(|settings| {
            let codes = self.track.check(row, &settings);
            codes == row.codes.as_deref().unwrap_or_default()
        });
        self.recorded.attempts += 1;
        self.recorded.reproduced += i64::from(is_reproduced);
        for simulation in &mut self.simulations {
            simulation.add(row, is_reproduced, &self.settings_after);
        }
        if let Some(ended_at) = row.ended_at {
            self.track.add(&Bounds::at(row.at, &self.settings_after), ended_at);
            self.recorded.duration += ended_at - row.at;
            self.recorded.sessions.push(row.at, ended_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        sessions::what_if::{report::Difference, store::RecordedValue},
        settings::{BRUN_E, Catalog, Snapshot},
    };

    const KEYS: [&str; 5] = [
        "BRUNE_COOLDOWN_MINUTES",
        "BRUNE_MAX_SESSIONS_PER_DAY",
        "BRUNE_ELIGIBILITY_REQUIRE_PLAN",
        "BRUNE_ELIGIBILITY_ALLOWED_LEVELS",
        "BRUNE_SESSION_MAX_MINUTES",
    ];

    /// The settings that decide on a start.
    #[derive(Debug, Clone)]
    struct Rules {
        cooldown: i64,
        per_day: i64,
        require_plan: bool,
        levels: Vec<&'static str>,
        minutes: i32,
    }

    impl Rules {
        fn values(&self) -> [serde_json::Value; 5] {
            let Self { cooldown, per_day, require_plan, levels, minutes } = self;
            [json!(cooldown), json!(per_day), json!(require_plan), json!(levels), json!(minutes)]
        }
    }

    fn rules() -> impl Strategy<Value = Rules> {
        let levels = prop::sample::subsequence(vec!["junior", "senior"], 0..=2);
        (0_i64..120, 1_i64..5, any::<bool>(), levels, 1_i32..60).prop_map(
            |(cooldown, per_day, require_plan, levels, minutes)| Rules {
                cooldown,
                per_day,
                require_plan,
                levels,
                minutes,
            },
        )
    }

    /// Returns the settings of each of `states`, by revision from 1.
    fn recorded(states: &[Rules]) -> RecordedSettings {
        let schema = Catalog::parse(BRUN_E).unwrap().schema;
        let current = Arc::new(Snapshot::of_defaults(Arc::new(schema)).unwrap());
        let values = (1..).zip(states).flat_map(|(revision, rules)| {
            KEYS.into_iter().zip(rules.values()).map(move |(key, value)| RecordedValue {
                key: key.to_owned(),
                revision,
                value: Some(value),
            })
        });
        let keys = KEYS.map(str::to_owned);
        RecordedSettings::new(&current, &keys, values.collect(), Vec::new())
    }

    /// The attempt of a user: minutes since the last, whether the user has a plan, whether the provider fails, the length
    /// of the session, and the level.
    type Try = (i64, bool, bool, i64, Option<&'static str>);

    fn tries() -> impl Strategy<Value = Vec<Vec<Try>>> {
        let level = prop::option::of(prop::sample::select(vec!["junior", "senior"]));
        let attempt =
            (0_i64..300, prop::bool::weighted(0.9), prop::bool::weighted(0.1), 0_i64..70, level);
        prop::collection::vec(prop::collection::vec(attempt, 0..25), 0..4)
    }

    fn start() -> DateTime<Utc> {
        "2026-11-28T09:00:00Z".parse().unwrap()
    }

    /// Returns the codes against `row`, from all `sessions` of the user. `None` while a session runs.
    fn decide(
        row: &Row,
        sessions: &[(DateTime<Utc>, DateTime<Utc>)],
        settings: &SessionSettings,
    ) -> Option<Vec<String>> {
        if sessions.iter().any(|(_, end)| *end > row.at) {
            return None;
        }
        let bounds = Bounds::at(row.at, settings);
        let today = sessions.iter().filter(|(begin, _)| *begin >= bounds.day_start).count();
        let history = History {
            last_ended_at: sessions.iter().map(|(_, end)| *end).max(),
            started_today: i64::try_from(today).unwrap(),
        };
        let account =
            eligibility::check_account(row.plan.as_deref(), row.level.as_deref(), settings);
        let reasons = eligibility::check_history(&history, &bounds, settings);
        Some(account.iter().chain(&reasons).map(|reason| reason.code().to_owned()).collect())
    }

    /// Makes the records of `tries` under `states`, of which the next one applies after every seventh try.
    fn record(tries: &[Vec<Try>], states: &[Rules]) -> Vec<Row> {
        let mut settings = recorded(states);
        let mut rows = Vec::new();
        for (user, tries) in tries.iter().enumerate() {
            let mut at = start();
            let mut sessions = Vec::new();
            for (number, &(minutes, has_plan, fails, length, level)) in tries.iter().enumerate() {
                at += TimeDelta::minutes(minutes);
                let revision = (number / 7 + 1).min(states.len());
                let mut row = Row {
                    user_id: format!("user-{user}"),
                    plan: has_plan.then(|| "pro".to_owned()),
                    level: level.map(str::to_owned),
                    at,
                    revision: i64::try_from(revision).unwrap(),
                    proposal: None,
                    ended_at: None,
                    codes: None,
                };
                let current = settings.at(row.revision, None).unwrap();
                // An attempt during a session is answered with 409, and is not recorded.
                let Some(codes) = decide(&row, &sessions, &current) else { continue };
                if !codes.is_empty() {
                    row.codes = Some(codes);
                } else if !fails {
                    let end = at + TimeDelta::minutes(length).min(maximum(&current));
                    sessions.push((at, end));
                    row.ended_at = Some(end);
                }
                rows.push(row);
            }
        }
        rows
    }

    fn replay(
        rows: &[Row],
        states: &[Rules],
        rules_after: &Rules,
        since: DateTime<Utc>,
    ) -> (Recorded, [Tally; 2]) {
        let settings = recorded(slice::from_ref(rules_after)).at(1, None).unwrap().as_ref().clone();
        let mut replay = Replay::new(since, recorded(states), settings);
        for row in rows {
            replay.add(row);
        }
        replay.finish()
    }

    proptest! {
        #[test]
        fn a_replay_with_the_recorded_settings_changes_nothing(
            tries in tries(), rules in rules(), skipped in 0_i64..3_000
        ) {
            let states = [rules];
            let rows = record(&tries, &states);
            // Earlier sessions are history; a reader leaves out earlier refusals.
            let since = start() + TimeDelta::minutes(skipped);
            let rows: Vec<_> = rows.into_iter().filter(|row| row.at >= since || row.ended_at.is_some()).collect();
            let (records, tallies) = replay(&rows, &states, &states[0], since);
            let attempts = rows.iter().filter(|row| row.at >= since).count();
            prop_assert_eq!(records.attempts, i64::try_from(attempts).unwrap());
            prop_assert_eq!(records.reproduced, records.attempts);
            let peak = records.sessions.peak();
            for tally in tallies {
                prop_assert_eq!(tally.newly_refused.attempts, 0);
                prop_assert_eq!(tally.newly_admitted.attempts, 0);
                prop_assert_eq!(tally.cut_sessions, 0);
                prop_assert_eq!(tally.duration, records.duration);
                prop_assert_eq!(tally.sessions.peak(), peak);
                prop_assert!(tally.examples.is_empty());
            }
        }

        #[test]
        fn a_replay_agrees_with_a_simulation_that_looks_at_all_sessions(
            tries in tries(), states in prop::collection::vec(rules(), 1..4), rules_after in rules()
        ) {
            let rows = record(&tries, &states);
            let (records, [short, full]) = replay(&rows, &states, &rules_after, start());
            prop_assert_eq!(records.reproduced, records.attempts);
            for (tally, is_full) in [(short, false), (full, true)] {
                let expected = simulate(&rows, &rules_after, is_full);
                let refusals = tally.newly_refused.attempts;
                let admissions = tally.newly_admitted.attempts;
                prop_assert_eq!((refusals, admissions, tally.cut_sessions, tally.duration), expected);
            }
        }
    }

    /// Returns the newly refused and admitted attempts, the sessions that are cut, and the duration of all sessions.
    fn simulate(rows: &[Row], rules_after: &Rules, is_full: bool) -> (i64, i64, i64, TimeDelta) {
        let settings = recorded(slice::from_ref(rules_after)).at(1, None).unwrap().as_ref().clone();
        let mut result = (0, 0, 0, TimeDelta::zero());
        for user in rows.chunk_by(|row, next| row.user_id == next.user_id) {
            let mut sessions = Vec::new();
            for row in user {
                let is_admitted =
                    decide(row, &sessions, &settings).is_some_and(|codes| codes.is_empty());
                let recorded_end = match (&row.codes, is_admitted) {
                    (None, false) => {
                        result.0 += 1;
                        continue;
                    }
                    (Some(_), false) => continue,
                    (Some(_), true) => {
                        result.1 += 1;
                        Some(if is_full { row.at + maximum(&settings) } else { row.at })
                    }
                    (None, true) => row.ended_at,
                };
                let Some(recorded_end) = recorded_end else { continue };
                let end = recorded_end.min(row.at + maximum(&settings));
                result.2 += i64::from(end < recorded_end);
                result.3 += end - row.at;
                sessions.push((row.at, end));
            }
        }
        result
    }

    fn open() -> Rules {
        Rules { cooldown: 0, per_day: 5, require_plan: false, levels: Vec::new(), minutes: 30 }
    }

    #[test]
    fn a_refused_start_no_longer_delays_the_next() {
        // Sessions at 0 and 60 minutes; a cooldown of 45 minutes refuses neither, a cooldown of 50 the second.
        let tries = [vec![
            (0, true, false, 15, None),
            (60, true, false, 15, None),
            (60, true, false, 15, None),
        ]];
        let rows = record(&tries, &[open()]);
        let refusals = |cooldown| {
            let (_, [tally, _]) = replay(&rows, &[open()], &Rules { cooldown, ..open() }, start());
            tally.newly_refused.attempts
        };
        assert_eq!(refusals(45), 0);
        // The third start is 105 minutes after the end of the first, so only the second is refused.
        assert_eq!(refusals(50), 1);
        assert_eq!(refusals(106), 2);
    }

    #[test]
    fn an_unexplained_record_is_kept_and_counted() {
        let tries = [vec![(0, true, false, 15, None), (60, false, false, 15, None)]];
        let rows = record(&tries, &[open()]);
        let strict = Rules { require_plan: true, ..open() };
        // The records claim settings that would have refused the second start.
        let (records, tallies) = replay(&rows, slice::from_ref(&strict), &strict, start());
        assert_eq!((records.attempts, records.reproduced), (2, 1));
        for tally in tallies {
            assert_eq!(tally.newly_refused.attempts, 0);
            assert_eq!(tally.duration, TimeDelta::minutes(30));
        }
        let unknown = Rules { cooldown: 0, ..open() };
        let (records, _) = replay(&rows, &[], &unknown, start());
        assert_eq!((records.attempts, records.reproduced), (2, 0));
    }

    #[test]
    fn examples_are_of_different_users_and_name_the_difference() {
        let long = |_| vec![(0, true, false, 30, Some("junior")), (100, true, false, 30, None)];
        let tries: Vec<_> = (0..30).map(long).collect();
        let rows = record(&tries, &[open()]);
        let rules_after = Rules { levels: vec!["junior"], minutes: 10, ..open() };
        let (_, [tally, _]) = replay(&rows, &[open()], &rules_after, start());
        assert_eq!((tally.newly_refused.attempts, tally.cut_sessions), (30, 30));
        assert_eq!(tally.cut_time, TimeDelta::minutes(600));
        assert_eq!(
            tally.newly_refused.by_reason,
            [(Some("level_not_allowed".to_owned()), 30)].into()
        );
        assert_eq!(tally.newly_refused.by_level, [(None, 30)].into());
        let users: std::collections::BTreeSet<_> = tally.examples[&Difference::CutShorter]
            .iter()
            .map(|example| &example.user_id)
            .collect();
        assert_eq!(users.len(), 20);
        let refusal = &tally.examples[&Difference::NewlyRefused][0];
        assert_eq!(
            (refusal.reasons.as_slice(), refusal.minutes),
            (["level_not_allowed".to_owned()].as_slice(), None)
        );
    }
}
