//! The classification of a document's entries.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::SecondsFormat;

use crate::{
    secret_scanner::{SecretKind, SecretScanner},
    settings::{
        change::{self, Edit},
        document::{IncomingDocument, IncomingValue},
        entry::{Entry, LaterChange, StoredSetting, readable_entries},
        import::{
            entry::{Class, PlanEntry},
            options::OnUnknown,
        },
        rules::{self, Violation},
        schema::{Definition, KeyClass, Schema},
        text::from_text,
        value::SettingValue,
    },
};

/// Returns the document's entries as edits, without skipped entries.
pub(super) fn selected_edits(
    schema: &Schema,
    document: &IncomingDocument,
    on_unknown: OnUnknown,
) -> Vec<Edit> {
    let mut edits = document.edits();
    if on_unknown == OnUnknown::Skip {
        edits.retain(|edit| !matches!(schema.classify_lookalike(&edit.key), KeyClass::Unknown));
    }
    edits
}

/// Builds the entries of a plan, and collects the violations.
pub(super) struct PlanBuilder<'a> {
    schema: &'a Schema,
    scanner: &'a SecretScanner,
    current: &'a BTreeMap<String, Entry>,
    /// Keys that changed after the export of the document.
    changed_keys: HashSet<&'a str>,
    on_unknown: OnUnknown,
    violations: Vec<Violation>,
}

impl PlanBuilder<'_> {
    /// Returns the entries of `document` by key, the violations, and the values that look like secrets.
    pub(super) fn build(
        schema: &Schema,
        scanner: &SecretScanner,
        rows: Vec<StoredSetting>,
        since: &[LaterChange],
        document: &IncomingDocument,
        on_unknown: OnUnknown,
    ) -> (Vec<PlanEntry>, Vec<Violation>, Vec<(String, SecretKind)>) {
        let current = readable_entries(schema, rows);
        let changed_keys = since.iter().map(|change| change.key.as_str()).collect();
        let edits = selected_edits(schema, document, on_unknown);
        let secret_like = change::scan_values(scanner, schema, &edits);
        let violations = Vec::new();
        let mut builder = PlanBuilder {
            schema,
            scanner,
            current: &current,
            changed_keys,
            on_unknown,
            violations,
        };
        let entries = document.entries.iter().map(|(key, raw)| builder.entry(key, raw));
        let mut entries: Vec<_> = entries.collect();
        builder.check_result(&mut entries);
        // Sorted, so that plans of all formats are comparable.
        entries.sort_by(|first, second| first.key.cmp(&second.key));
        (entries, builder.violations, secret_like)
    }

    fn entry(&mut self, key: &str, raw: &IncomingValue) -> PlanEntry {
        match (self.schema.classify_lookalike(key), self.secret_kind(key, raw)) {
            // The value is dropped, so a secret in the value does no harm.
            (KeyClass::Locked(_), _) => {
                let detail = Some("is locked; skipped".to_owned());
                let key = key.to_owned();
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
            (KeyClass::Editable(definition), None) => self.editable(definition, raw),
        }
    }

    fn secret_kind(&self, key: &str, raw: &IncomingValue) -> Option<SecretKind> {
        let in_value = match raw {
            IncomingValue::Json(json) => self.scanner.scan_json(json),
            IncomingValue::Text(text) => self.scanner.scan(text),
        };
        in_value.or_else(|| self.scanner.scan(key))
    }

    /// Returns an entry for a rejected value, without the value.
    fn rejected(&mut self, class: Class, violation: Violation) -> PlanEntry {
        let (key, detail) = (violation.key.clone(), Some(violation.detail.clone()));
        self.violations.push(violation);
        let current = self.current.get(&key).map(|entry| entry.value.clone());
        PlanEntry { key, class, current, imported: None, detail }
    }

    fn editable(&mut self, definition: &Definition, raw: &IncomingValue) -> PlanEntry {
        let key = definition.key.clone();
        let current = self.current.get(&key).map(|entry| entry.value.clone());
        let json = match raw {
            IncomingValue::Json(json) => json.clone(),
            IncomingValue::Text(text) => from_text(definition.value_type, text),
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
        let detail = self.current.get(key).map(|entry| {
            format!(
                "changed here by {} at {}",
                entry.updated_by,
                entry.updated_at.to_rfc3339_opts(SecondsFormat::Micros, true)
            )
        });
        detail.unwrap_or_default()
    }

    /// Validates the constraints between settings on the values after the import.
    fn check_result(&mut self, entries: &mut [PlanEntry]) {
        let imported: BTreeMap<String, SettingValue> = entries
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), entry.imported.clone()?)))
            .collect();
        let after = |key: &str| {
            imported.get(key).or_else(|| self.current.get(key).map(|entry| &entry.value))
        };
        let keys: Vec<String> = imported.keys().cloned().collect();
        let broken = rules::check_partners(self.schema, &keys, after);
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
