//! Settings that are still set in the environment, where they have no effect after the first start.

use crate::settings::{publish::Provided, rules, snapshot::Snapshot, text::from_text};

/// A setting that is still set outside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The key.
    pub key: String,
    /// Whether the outside value differs from the current value, or is invalid.
    pub differs: bool,
}

/// Returns the settings of `snapshot` that are still `provided` outside the database, by key.
#[must_use]
pub fn drift(snapshot: &Snapshot, provided: &Provided<'_>) -> Vec<Drift> {
    let mut drift = Vec::new();
    for definition in snapshot.schema.editable() {
        let Some((text, _)) = provided(&definition.key) else { continue };
        let value = text.ok().and_then(|text| {
            let json = from_text(definition.value_type, &text);
            rules::parse_value(definition, &json).ok()
        });
        let differs = value.is_none() || value.as_ref() != snapshot.value(&definition.key);
        drift.push(Drift { key: definition.key.clone(), differs });
    }
    drift
}
