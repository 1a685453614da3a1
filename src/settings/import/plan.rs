//! What importing a document would do.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    compute,
    database::{self, Pool, TransactionError},
    idempotency,
    secret_scanner::{SecretKind, SecretScanner},
    settings::{
        change::{self, Edit, Error as ChangeError, SecretFound},
        document::{Incoming, Raw},
        entry::{Entry, Since, Stored, readable_entries},
        import::{Error, OnConflict, OnUnknown},
        publish::from_text,
        reload,
        rules::{self, Violation},
        schema::{Definition, KeyClass, Schema},
        service::GlobalSettingsService,
        store::{self, Head},
        value::SettingValue,
    },
};

/// What an entry of a document means for the settings as they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It would change the setting.
    Change,
    /// The setting has the value already.
    Same,
    /// It would change the setting, which was changed here after the document was written.
    Conflict,
    /// The key is not written here.
    Locked,
    /// The catalog declares no such key.
    Unknown,
    /// The value breaks a rule.
    Invalid,
}

/// One entry of a plan.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PlanEntry {
    /// The key.
    pub key: String,
    /// What it means.
    pub class: Class,
    /// The value that current.
    #[schema(value_type = Option<serde_json::Value>)]
    pub current: Option<SettingValue>,
    /// The value of the document; never told for a key that may hold a secret.
    #[schema(value_type = Option<serde_json::Value>)]
    pub imported: Option<SettingValue>,
    /// What is wrong, or who was faster.
    pub detail: Option<String>,
}

/// What importing a document would do.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportPlan {
    /// What binds an import to this plan.
    pub plan_id: String,
    /// The revision that was current when it was drawn up.
    pub base_revision: i64,
    /// The document's entries, by key.
    pub entries: Vec<PlanEntry>,
    /// How many of each class.
    #[schema(value_type = Object)]
    pub counts: BTreeMap<Class, usize>,
    #[serde(skip)]
    violations: Vec<Violation>,
    #[serde(skip)]
    secret_like: Vec<(String, SecretKind)>,
}

impl ImportPlan {
    /// Why the document would not be imported. `None` if it would be.
    #[must_use]
    pub fn refusal(&self, on_conflict: OnConflict) -> Option<Error> {
        if !self.secret_like.is_empty() {
            let values = self.secret_like.clone();
            return Some(ChangeError::SecretLike(SecretFound { reason: None, values }).into());
        }
        if !self.violations.is_empty() {
            return Some(ChangeError::Invalid(self.violations.clone()).into());
        }
        let conflicts = self.entries.iter().filter(|it| it.class == Class::Conflict);
        let conflicts: Vec<_> = conflicts.cloned().collect();
        let refused = !conflicts.is_empty() && on_conflict == OnConflict::Refuse;
        refused.then_some(Error::Conflict(conflicts))
    }
}

/// What importing `incoming`, whose bytes have this `digest`, would do; stores nothing.
pub async fn plan(
    pool: &Pool,
    settings: &GlobalSettingsService,
    incoming: &Incoming,
    digest: &[u8],
    on_unknown: OnUnknown,
) -> Result<ImportPlan, Error> {
    let permit = compute::read_permit(settings.snapshot().schema.reading_size()).await;
    let (head, rows, since) = database::read_with_retry(pool, async |conn| {
        let head = store::head(conn).await?;
        let rows = store::all(conn).await?;
        let since = match incoming.revision {
            Some(revision) => store::since_revision(conn, revision).await?,
            None => Vec::new(),
        };
        Ok::<_, TransactionError>((head, rows, since))
    })
    .await?;
    drop(permit);
    if settings.current().schema.revision != head.catalog_revision {
        reload::refresh(pool, settings).await?;
    }
    let snapshot = settings.snapshot();
    let scanner = settings.secret_scanner();
    if let Some(theirs) = incoming.catalog.clone().filter(|it| *it != snapshot.schema.catalog) {
        let may_be_told = scanner.scan(&theirs).is_none();
        let theirs = if may_be_told { theirs } else { change::UNDECLARED.to_owned() };
        return Err(Error::OtherCatalog { theirs, ours: snapshot.schema.catalog.clone() });
    }
    let size = incoming.size.max(snapshot.schema.reading_size());
    let draw = || PlanBuilder::of(&snapshot.schema, scanner, rows, &since, incoming, on_unknown);
    let (entries, violations, secret_like) = compute::run(size, draw).await;
    let mut counts = BTreeMap::new();
    for entry in &entries {
        *counts.entry(entry.class).or_default() += 1;
    }
    let plan_id = plan_id(&head, digest, on_unknown);
    let base_revision = head.revision;
    Ok(ImportPlan { plan_id, base_revision, entries, counts, violations, secret_like })
}

fn plan_id(head: &Head, digest: &[u8], on_unknown: OnUnknown) -> String {
    let (revision, catalog) = (head.revision.to_be_bytes(), head.catalog_revision.to_be_bytes());
    let mut parts = vec![&revision[..], &catalog[..], digest];
    if on_unknown == OnUnknown::Skip {
        parts.push(b"on_unknown=skip");
    }
    uuid::Uuid::new_v8(first_bytes(&idempotency::fingerprint(&parts))).to_string()
}

/// The document's entries without those that are skipped.
pub(super) fn wanted(schema: &Schema, incoming: &Incoming, on_unknown: OnUnknown) -> Vec<Edit> {
    let mut edits = incoming.wishes();
    if on_unknown == OnUnknown::Skip {
        edits.retain(|edit| !matches!(schema.classify_lookalike(&edit.key), KeyClass::Unknown));
    }
    edits
}

/// The names of the entries that are skipped, in the document's order.
pub(super) fn skipped(settings: &GlobalSettingsService, incoming: &Incoming) -> Vec<String> {
    let (snapshot, scanner) = (settings.snapshot(), settings.secret_scanner());
    let keys = incoming.entries.iter().map(|(key, _)| key);
    let unknown =
        keys.filter(|key| matches!(snapshot.schema.classify_lookalike(key), KeyClass::Unknown));
    unknown.map(|key| change::name(scanner, &snapshot.schema, key)).collect()
}

fn first_bytes(digest: &[u8]) -> [u8; 16] {
    std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default())
}

struct PlanBuilder<'a> {
    schema: &'a Schema,
    scanner: &'a SecretScanner,
    current: &'a BTreeMap<String, Entry>,
    /// The keys that were changed after the document was written.
    moved: HashSet<&'a str>,
    on_unknown: OnUnknown,
    violations: Vec<Violation>,
}

impl PlanBuilder<'_> {
    /// The entries of `incoming` by key, and everything that is wrong with them.
    fn of(
        schema: &Schema,
        scanner: &SecretScanner,
        rows: Vec<Stored>,
        since: &[Since],
        incoming: &Incoming,
        on_unknown: OnUnknown,
    ) -> (Vec<PlanEntry>, Vec<Violation>, Vec<(String, SecretKind)>) {
        let current = readable_entries(schema, rows);
        let moved = since.iter().map(|change| change.key.as_str()).collect();
        let edits = wanted(schema, incoming, on_unknown);
        let secret_like = change::find_in_values(scanner, schema, &edits);
        let violations = Vec::new();
        let mut drawing =
            PlanBuilder { schema, scanner, current: &current, moved, on_unknown, violations };
        let entries = incoming.entries.iter().map(|(key, raw)| drawing.entry(key, raw));
        let mut entries: Vec<_> = entries.collect();
        drawing.check_whole(&mut entries);
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        (entries, drawing.violations, secret_like)
    }

    fn entry(&mut self, key: &str, raw: &Raw) -> PlanEntry {
        match (self.schema.classify_lookalike(key), self.likeness(key, raw)) {
            // Its value goes nowhere, whatever it is.
            (KeyClass::Locked(_), _) => {
                let detail = Some("is not written here; skipped".to_owned());
                let key = key.to_owned();
                PlanEntry { key, class: Class::Locked, current: None, imported: None, detail }
            }
            (KeyClass::Unknown, _) if self.on_unknown == OnUnknown::Skip => {
                let detail = Some(format!("{}; skipped", Violation::unknown(key).detail));
                let key = change::name(self.scanner, self.schema, key);
                PlanEntry { key, class: Class::Unknown, current: None, imported: None, detail }
            }
            (_, Some(likeness)) => {
                let name = change::name(self.scanner, self.schema, key);
                self.wrong(Class::Invalid, Violation::secret_like(&name, likeness))
            }
            (KeyClass::Unknown, None) => self.wrong(Class::Unknown, Violation::unknown(key)),
            (KeyClass::Editable(definition), None) => self.editable(definition, raw),
        }
    }

    fn likeness(&self, key: &str, raw: &Raw) -> Option<SecretKind> {
        let of_value = match raw {
            Raw::Json(json) => self.scanner.scan_json(json),
            Raw::Text(text) => self.scanner.scan(text),
        };
        of_value.or_else(|| self.scanner.scan(key))
    }

    /// An entry that is told without its value.
    fn wrong(&mut self, class: Class, violation: Violation) -> PlanEntry {
        let (key, detail) = (violation.key.clone(), Some(violation.detail.clone()));
        self.violations.push(violation);
        let current = self.current.get(&key).map(|entry| entry.value.clone());
        PlanEntry { key, class, current, imported: None, detail }
    }

    fn editable(&mut self, definition: &Definition, raw: &Raw) -> PlanEntry {
        let key = definition.key.clone();
        let current = self.current.get(&key).map(|entry| entry.value.clone());
        let json = match raw {
            Raw::Json(json) => json.clone(),
            Raw::Text(text) => from_text(definition.value_type, text),
        };
        match change::read(definition, &json) {
            Err(violations) => {
                let detail =
                    violations.iter().map(|it| it.detail.as_str()).collect::<Vec<_>>().join("; ");
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
                let same = current.as_ref() == Some(&value);
                let moved = self.moved.contains(key.as_str());
                let class = match (same, moved) {
                    (true, _) => Class::Same,
                    (false, true) => Class::Conflict,
                    (false, false) => Class::Change,
                };
                let detail = (class == Class::Conflict).then(|| self.faster(&key));
                PlanEntry { key, class, current, imported: Some(value), detail }
            }
        }
    }

    fn faster(&self, key: &str) -> String {
        let told = self.current.get(key).map(|entry| {
            format!(
                "changed here by {} at {}",
                entry.updated_by,
                entry.updated_at.to_rfc3339_opts(SecondsFormat::Micros, true)
            )
        });
        told.unwrap_or_default()
    }

    /// Rules that tie settings together are held against what the import would leave.
    fn check_whole(&mut self, entries: &mut [PlanEntry]) {
        let imported: BTreeMap<String, SettingValue> =
            entries.iter().filter_map(|it| Some((it.key.clone(), it.imported.clone()?))).collect();
        let after =
            |key: &str| imported.get(key).or_else(|| self.current.get(key).map(|it| &it.value));
        let keys: Vec<String> = imported.keys().cloned().collect();
        let broken = rules::check_tied(self.schema, &keys, after);
        // More than one entry may mean the same key: a document names a locked one in many ways.
        let mut places = HashMap::<String, Vec<usize>>::new();
        for (at, entry) in entries.iter().enumerate() {
            places.entry(entry.key.clone()).or_default().push(at);
        }
        for Violation { key, detail, .. } in &broken {
            let (positions, detail) = if let Some(named) = places.get(key) {
                (named.clone(), detail.clone())
            } else {
                // A setting that the document leaves alone is broken by one that it is tied to and that changes.
                let partners = self.schema.partners(key).iter();
                let positions = partners.filter_map(|partner| places.get(partner)).flatten();
                let changes =
                    |at: &usize| entries.get(*at).is_some_and(|entry| entry.class != Class::Same);
                (positions.copied().filter(changes).collect(), format!("{key} {detail}"))
            };
            for at in positions {
                if let Some(entry) = entries.get_mut(at) {
                    (entry.class, entry.detail) = (Class::Invalid, Some(detail.clone()));
                }
            }
        }
        self.violations.extend(broken);
    }
}
