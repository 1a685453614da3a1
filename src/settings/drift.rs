//! Settings still set in the environment, without effect after the first start.

use crate::settings::{publish::Provided, rules, snapshot::Snapshot, text::from_text};

/// A setting still set outside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The key.
    pub key: String,
    /// Whether the outside value differs from the current value, or is invalid.
    pub differs: bool,
}

/// Returns the settings of `snapshot` still `provided` outside the database, by key.
#[must_use]
pub fn drift(snapshot: &Snapshot, provided: &Provided<'_>) -> Vec<Drift> {
    let mut drift = Vec::new();
    for definition in snapshot.schema.editable() {
        let Some((text, _)) = provided(&definition.key) else { continue };
        // Only compared, never returned: the text may be a secret under the wrong name.
        let value = text.ok().and_then(|text| {
            let json = from_text(definition.value_type, &text);
            rules::parse_value(definition, &json).ok()
        });
        let differs = value.is_none() || value.as_ref() != snapshot.value(&definition.key);
        drift.push(Drift { key: definition.key.clone(), differs });
    }
    drift
}
