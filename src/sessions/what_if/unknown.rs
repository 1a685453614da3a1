//! What a replay cannot say, in sentences. Pure.

use crate::{
    sessions::{
        rules::{
            self, COOLDOWN, DECIDING_KEYS, MAX_MINUTES, MODEL, MODEL_ALLOWLIST, PROMPT_ID,
            PROMPT_VERSION,
        },
        what_if::report::WhatIf,
    },
    settings::{Preview, Snapshot},
};

/// The share of reproduced decisions below which the records and the rules disagree.
const TRUSTED_SHARE: f64 = 0.95;

/// Returns what is unknown about the changed keys.
pub(super) fn sentences(preview: &Preview, report: &WhatIf) -> Vec<String> {
    let mut sentences = Vec::new();
    for change in &report.changed {
        sentences.extend(about(&change.key, preview));
    }
    let decides = |key: &str| key != MAX_MINUTES && DECIDING_KEYS.contains(&key);
    if report.changed.iter().any(|change| decides(&change.key)) {
        let text = "Whether users would try again at other times, or not at all: the replay has the recorded attempts, \
            and of several refusals of a user in one minute only the first is recorded.";
        sentences.push(text.to_owned());
    }
    if report.newly_admitted.attempts.most > 0 {
        let text = "How long the newly admitted sessions would have lasted: the ranges are from no time to the maximum.";
        sentences.push(text.to_owned());
    }
    sentences
}

fn about(key: &str, preview: &Preview) -> Option<String> {
    match key {
        PROMPT_ID | PROMPT_VERSION | MODEL | rules::INSTRUCTIONS => Some(format!(
            "What {key} does within a session: a replay cannot ask the provider whether sessions start, last or are better."
        )),
        MODEL_ALLOWLIST => Some(format!(
            "Nothing is replayed for {key}: the list restricts the values of another setting, and no start reads the list."
        )),
        MAX_MINUTES if is_greater(key, preview) => Some(
            "How much longer sessions would have lasted that reached the recorded maximum: they count with their \
             recorded length."
                .to_owned(),
        ),
        COOLDOWN | MAX_MINUTES => None,
        key if DECIDING_KEYS.contains(&key) => None,
        key => Some(format!("Nothing is replayed for {key}: no session start reads the setting.")),
    }
}

fn is_greater(key: &str, preview: &Preview) -> bool {
    let minutes = |snapshot: &Snapshot| snapshot.get_integer(key).ok();
    minutes(&preview.after) > minutes(&preview.before)
}

/// Returns what limits the trust in `report`. `moved_keys` are outside of the change and had other values in the window.
pub(super) fn warnings(report: &WhatIf, moved_keys: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    if report.attempts == 0 {
        warnings
            .push("No attempts were recorded in the window, so nothing was replayed.".to_owned());
    }
    if report.reproduced.is_some_and(|share| share < TRUSTED_SHARE) {
        let text = "The recorded settings do not explain many of the recorded decisions, which were left as they are: \
            sessions may have been written by SQL, or by another release.";
        warnings.push(text.to_owned());
    }
    if report.attempts > 0 && !moved_keys.is_empty() {
        warnings.push(format!(
            "Other settings had other values in the window ({}): the differences include their changes.",
            moved_keys.join(", ")
        ));
    }
    for limit in &report.limits_reached {
        warnings.push(match *limit {
            "attempts" => format!(
                "The window has more than 200,000 attempts: it begins at {} instead.",
                report.since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            ),
            _ => "The time was over before all attempts were replayed: the numbers are of a random sample of the users."
                .to_owned(),
        });
    }
    warnings
}
