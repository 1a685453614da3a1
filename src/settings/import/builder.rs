//! The classification of a document's entries.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use chrono::SecondsFormat;

use crate::{
    json::StrictJson,
    secret_scanner::{SecretKind, SecretScanner},
    settings::{
        change::{self, Edit},
        document::IncomingDocument,
        entry::Entry,
        import::{
            entry::{Class, PlanEntry},
            options::OnUnknown,
        },
        rules::{self, Violation},
        schema::{Definition, KeyClass, Schema},
        snapshot::Snapshot,
        text::from_text,
        value::SettingValue,
    },
};

/// The settings that a document is compared with.
pub(super) enum CurrentSettings {
    /// The settings in memory, at the revision of the plan.
    Snapshot(Arc<Snapshot>),
    /// The stored settings, some of which may be invalid.
    Stored(BTreeMap<String, Entry>),
}

impl CurrentSettings {
    fn find(&self, key: &str) -> Option<&Entry> {
        match self {
            Self::Snapshot(snapshot) => snapshot.find(key),
            Self::Stored(entries) => entries.get(key),
        }
    }

    fn value(&self, key: &str) -> Option<&SettingValue> {
        self.find(key).map(|entry| &entry.value)
    }
}

/// Returns the document's edits, without skipped entries.
pub(super) fn selected_edits<'a>(
    schema: &'a Schema,
    document: &'a IncomingDocument,
    on_unknown: OnUnknown,
) -> impl Iterator<Item = &'a Edit> + Clone {
    document.edits.iter().filter(move |edit| {
        on_unknown != OnUnknown::Skip
            || !matches!(schema.classify_lookalike(&edit.key), KeyClass::Unknown)
    })
}

/// Builds the entries of a plan, and collects the violations.
pub(super) struct PlanBuilder<'a> {
    schema: &'a Schema,
    scanner: &'a SecretScanner,
    current: &'a CurrentSettings,
    /// Keys that changed after the export of the document.
    changed_keys: HashSet<&'a str>,
    on_unknown: OnUnknown,
    violations: Vec<Violation>,
}

impl<'a> PlanBuilder<'a> {
    /// Returns the entries of `document` by key, the violations, and the values that look like secrets.
    pub(super) fn build(
        schema: &'a Schema,
        scanner: &'a SecretScanner,
        current: &'a CurrentSettings,
        changed_keys: &'a [String],
        document: &IncomingDocument,
        on_unknown: OnUnknown,
    ) -> (Vec<PlanEntry>, Vec<Violation>, Vec<(String, SecretKind)>) {
        let changed_keys = changed_keys.iter().map(String::as_str).collect();
        let secret_like =
            change::scan_values(scanner, schema, selected_edits(schema, document, on_unknown));
        let violations = Vec::new();
        let mut builder =
            PlanBuilder { schema, scanner, current, changed_keys, on_unknown, violations };
        let entries = document.edits.iter().map(|edit| builder.entry(edit, document.is_untyped));
        let mut entries: Vec<_> = entries.collect();
        builder.check_result(&mut entries);
        // Sorted, so that plans of all formats are comparable.
        entries.sort_by(|first, second| first.key.cmp(&second.key));
        (entries, builder.violations, secret_like)
    }

    fn entry(&mut self, edit: &Edit, is_untyped: bool) -> PlanEntry {
        let Edit { key, value, .. } = edit;
        match (self.schema.classify_lookalike(key), self.secret_kind(edit)) {
            // The value is dropped, so a secret in the value does no harm.
            (KeyClass::Locked(_), _) => {
                let detail = Some("is locked; skipped".to_owned());
                let key = key.clone();
                PlanEntry { key, class: Class::Locked, current: None, imported: None, detail }
            }
            // Before the scan for secrets, because skipped values are dropped.
            (KeyClass::Unknown, _) if self.on_unknown == OnUnknown::Skip => {
                let detail = Some(format!("{}; skipped", Violation::unknown(key).detail));
                // An undeclared name may itself be a secret.
                let key = change::public_name(self.scanner, self.schema, key);
                PlanEntry { key, class: Class::Unknown, current: None, imported: None, detail }
            }
            (_, Some(kind)) => {
                let name = change::public_name(self.scanner, self.schema, key);
                self.rejected(Class::Invalid, Violation::secret_like(&name, kind))
            }
            (KeyClass::Unknown, None) => self.rejected(Class::Unknown, Violation::unknown(key)),
            (KeyClass::Editable(definition), None) => self.editable(definition, value, is_untyped),
        }
    }

    fn secret_kind(&self, edit: &Edit) -> Option<SecretKind> {
        self.scanner.scan_json(&edit.value).or_else(|| self.scanner.scan(&edit.key))
    }

    /// Returns an entry for a rejected value, without the value.
    fn rejected(&mut self, class: Class, violation: Violation) -> PlanEntry {
        let (key, detail) = (violation.key.clone(), Some(violation.detail.clone()));
        self.violations.push(violation);
        let current = self.current.value(&key).cloned();
        PlanEntry { key, class, current, imported: None, detail }
    }

    fn editable(
        &mut self,
        definition: &Definition,
        value: &StrictJson,
        is_untyped: bool,
    ) -> PlanEntry {
        let key = definition.key.clone();
        let current = self.current.value(&key).cloned();
        let json = match value {
            StrictJson::String(text) if is_untyped => {
                Cow::Owned(from_text(definition.value_type, text))
            }
            json => Cow::Borrowed(json),
        };
        match rules::parse_value(definition, &json) {
            Err(violations) => {
                let detail = violations
                    .iter()
                    .map(|violation| violation.detail.as_str())
                    .collect::<Vec<_>>()
                    .join("; ");
                self.violations.extend(violations);
                PlanEntry {
                    key,
                    class: Class::Invalid,
                    current,
                    imported: None,
                    detail: Some(detail),
                }
            }
            Ok(value) => {
                let is_same = current.as_ref() == Some(&value);
                // The document may be based on an outdated value.
                let is_changed = self.changed_keys.contains(key.as_str());
                let class = match (is_same, is_changed) {
                    // An equal value never conflicts, even after a concurrent change.
                    (true, _) => Class::Same,
                    (false, true) => Class::Conflict,
                    (false, false) => Class::Change,
                };
                let detail = (class == Class::Conflict).then(|| self.conflict_detail(&key));
                PlanEntry { key, class, current, imported: Some(value), detail }
            }
        }
    }

    fn conflict_detail(&self, key: &str) -> String {
        let detail = self.current.find(key).map(|entry| {
            format!(
                "changed here by {} at {}",
                entry.updated_by,
                // Microseconds are the resolution of timestamps in Postgres.
                entry.updated_at.to_rfc3339_opts(SecondsFormat::Micros, true)
            )
        });
        detail.unwrap_or_default()
    }

    /// Validates the constraints between settings on the values after the import.
    fn check_result(&mut self, entries: &mut [PlanEntry]) {
        let imported: HashMap<&str, &SettingValue> = entries
            .iter()
            .filter_map(|entry| Some((entry.key.as_str(), entry.imported.as_ref()?)))
            .collect();
        let after = |key: &str| imported.get(key).copied().or_else(|| self.current.value(key));
        let broken = rules::check_partners(self.schema, imported.keys().copied(), after);
        drop(imported);
        if broken.is_empty() {
            return;
        }
        // Several entries may denote one key: a locked key has many lookalikes.
        let mut positions_by_key = HashMap::<String, Vec<usize>>::new();
        for (position, entry) in entries.iter().enumerate() {
            positions_by_key.entry(entry.key.clone()).or_default().push(position);
        }
        for Violation { key, detail, .. } in &broken {
            let (positions, detail) = if let Some(positions) = positions_by_key.get(key) {
                (positions.clone(), detail.clone())
            } else {
                // The document changes a partner of the violated setting, but not the setting.
                let partners = self.schema.partners(key).iter();
                let positions =
                    partners.filter_map(|partner| positions_by_key.get(partner)).flatten();
                let changes = |position: &usize| {
                    entries.get(*position).is_some_and(|entry| entry.class != Class::Same)
                };
                (positions.copied().filter(changes).collect(), format!("{key} {detail}"))
            };
            for position in positions {
                if let Some(entry) = entries.get_mut(position) {
                    entry.class = Class::Invalid;
                    entry.detail = Some(detail.clone());
                }
            }
        }
        self.violations.extend(broken);
    }
}
