//! Settings that the environment still names: it is read for them once, and ignored from then on.

use crate::settings::{change, publish::Provided, snapshot::Snapshot, text::from_text};

/// A setting that is still given outside the database, where it has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The key.
    pub key: String,
    /// Whether what is given is another value than the one that stands, or none that may stand.
    pub differs: bool,
}

/// The settings of `snapshot` that are still `provided` outside, by key.
#[must_use]
pub fn drift(snapshot: &Snapshot, provided: &Provided<'_>) -> Vec<Drift> {
    let given = snapshot.schema.editable().filter_map(|it| Some((it, provided(&it.key)?.0)));
    let drift = given.map(|(definition, text)| {
        let read =
            |text: String| change::read(definition, &from_text(definition.value_type, &text)).ok();
        let value = text.ok().and_then(read);
        let differs = value.as_ref().is_none_or(|it| snapshot.value(&definition.key) != Some(it));
        Drift { key: definition.key.clone(), differs }
    });
    drift.collect()
}
