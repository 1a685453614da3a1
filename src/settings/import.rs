//! From a document into the settings: first a plan, then the same write path as every other change.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    audit::{Action, Actor},
    compute,
    database::{self, Failure, Pool},
    idempotency,
    json::Json,
    settings::{
        change::{self, Changed, Edit, Error as ChangeError, Terms},
        document::{Incoming, Raw},
        entry::{Entry, Since, Stored},
        publish::from_text,
        reload,
        rules::{self, Violation},
        schema::{Definition, Named, Schema},
        secret_like::{Firewall, Likeness},
        service::GlobalSettingsService,
        store,
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
    /// The value that stands.
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
}

/// What to do with entries that were changed here after the document was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Import nothing.
    Refuse,
    /// The document wins.
    Overwrite,
    /// What stands wins.
    Skip,
}

/// How a document is to be imported.
#[derive(Debug, Clone)]
pub struct ImportTerms {
    /// The plan that was reviewed.
    pub plan_id: Option<String>,
    /// What to do with conflicts.
    pub on_conflict: OnConflict,
    /// What makes a repeat the same request.
    pub idempotency: Option<idempotency::Key>,
}

/// Why a document was not imported; nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is of another catalog.
    #[error("the document is of catalog {theirs}, and this is {ours}")]
    OtherCatalog {
        /// The document's.
        theirs: String,
        /// The service's.
        ours: String,
    },
    /// Something moved since the plan was drawn up.
    #[error("the settings have moved since the plan was drawn up")]
    PlanOutdated,
    /// Keys were changed here after the document was written.
    #[error("{} settings were changed here after the document was written", .0.len())]
    Conflict(Vec<PlanEntry>),
    /// The change was refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The declarations could not be read.
    #[error(transparent)]
    Reload(#[from] reload::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Failure),
}

/// What importing `incoming`, whose bytes have this `digest`, would do; stores nothing.
pub async fn plan(
    pool: &Pool,
    settings: &GlobalSettingsService,
    incoming: &Incoming,
    digest: &[u8],
) -> Result<ImportPlan, Error> {
    let turn = compute::turn(settings.snapshot().schema.reading_size()).await;
    let (head, rows, since) = database::look(pool, async |conn| {
        let head = store::head(conn).await?;
        let rows = store::all(conn).await?;
        let since = match incoming.revision {
            Some(revision) => store::since_revision(conn, revision).await?,
            None => Vec::new(),
        };
        Ok::<_, Failure>((head, rows, since))
    })
    .await?;
    drop(turn);
    if settings.current().schema.revision != head.catalog_revision {
        reload::refresh(pool, settings).await?;
    }
    let snapshot = settings.snapshot();
    let firewall = settings.firewall();
    if let Some(theirs) = incoming.catalog.clone().filter(|it| *it != snapshot.schema.catalog) {
        let may_be_told = firewall.likeness(&theirs).is_none();
        let theirs = if may_be_told { theirs } else { change::UNDECLARED.to_owned() };
        return Err(Error::OtherCatalog { theirs, ours: snapshot.schema.catalog.clone() });
    }
    let size = incoming.size.max(snapshot.schema.reading_size());
    let draw = || Drawing::of(&snapshot.schema, firewall, rows, &since, incoming);
    let (entries, violations) = compute::run(size, draw).await;
    let mut counts = BTreeMap::new();
    for entry in &entries {
        *counts.entry(entry.class).or_default() += 1;
    }
    let base = head.revision;
    let parts = [&base.to_be_bytes()[..], &head.catalog_revision.to_be_bytes()[..], digest];
    let plan_id = uuid::Uuid::new_v8(first_bytes(&idempotency::fingerprint(&parts))).to_string();
    Ok(ImportPlan { plan_id, base_revision: base, entries, counts, violations })
}

fn first_bytes(digest: &[u8]) -> [u8; 16] {
    std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default())
}

struct Drawing<'a> {
    schema: &'a Schema,
    firewall: &'a Firewall,
    stands: &'a BTreeMap<String, Entry>,
    /// The keys that were changed after the document was written.
    moved: HashSet<&'a str>,
    violations: Vec<Violation>,
}

impl Drawing<'_> {
    /// The entries of `incoming` by key, and everything that is wrong with them.
    fn of(
        schema: &Schema,
        firewall: &Firewall,
        rows: Vec<Stored>,
        since: &[Since],
        incoming: &Incoming,
    ) -> (Vec<PlanEntry>, Vec<Violation>) {
        let stored = rows.into_iter().filter_map(Stored::into_entry);
        let stands: BTreeMap<String, Entry> =
            stored.filter_map(|(key, entry)| Some((key, entry?))).collect();
        let moved = since.iter().map(|change| change.key.as_str()).collect();
        let mut drawing =
            Drawing { schema, firewall, stands: &stands, moved, violations: Vec::new() };
        let entries = incoming.entries.iter().map(|(key, raw)| drawing.entry(key, raw));
        let mut entries: Vec<_> = entries.collect();
        drawing.check_whole(&mut entries);
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        (entries, drawing.violations)
    }

    fn entry(&mut self, key: &str, raw: &Raw) -> PlanEntry {
        match (self.schema.aimed_at(key), self.likeness(key, raw)) {
            // Its value goes nowhere, whatever it is.
            (Named::Locked(_), _) => {
                let detail = Some("is not written here; skipped".to_owned());
                let key = key.to_owned();
                PlanEntry { key, class: Class::Locked, current: None, imported: None, detail }
            }
            (_, Some(likeness)) => {
                let name = change::name(self.firewall, self.schema, key);
                self.wrong(Class::Invalid, Violation::secret_like(&name, likeness))
            }
            (Named::Unknown, None) => self.wrong(Class::Unknown, Violation::unknown(key)),
            (Named::Editable(definition), None) => self.editable(definition, raw),
        }
    }

    fn likeness(&self, key: &str, raw: &Raw) -> Option<Likeness> {
        let of_value = match raw {
            Raw::Json(json) => self.firewall.in_json(json),
            Raw::Text(text) => self.firewall.likeness(text),
        };
        of_value.or_else(|| self.firewall.likeness(key))
    }

    /// An entry that is told without its value.
    fn wrong(&mut self, class: Class, violation: Violation) -> PlanEntry {
        let (key, detail) = (violation.key.clone(), Some(violation.detail.clone()));
        self.violations.push(violation);
        let current = self.stands.get(&key).map(|entry| entry.value.clone());
        PlanEntry { key, class, current, imported: None, detail }
    }

    fn editable(&mut self, definition: &Definition, raw: &Raw) -> PlanEntry {
        let key = definition.key.clone();
        let current = self.stands.get(&key).map(|entry| entry.value.clone());
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
        let told = self.stands.get(key).map(|entry| {
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
            |key: &str| imported.get(key).or_else(|| self.stands.get(key).map(|it| &it.value));
        let keys: Vec<String> = imported.keys().cloned().collect();
        let broken = rules::check_tied(self.schema, &keys, after);
        // More than one entry may mean the same key: a document names a locked one in many ways.
        let mut places = HashMap::<String, Vec<usize>>::new();
        for (at, entry) in entries.iter().enumerate() {
            places.entry(entry.key.clone()).or_default().push(at);
        }
        let mut refuse = |at: usize, detail: String| {
            if let Some(entry) = entries.get_mut(at) {
                (entry.class, entry.detail) = (Class::Invalid, Some(detail));
            }
        };
        for Violation { key, detail, .. } in &broken {
            if let Some(named) = places.get(key) {
                for at in named {
                    refuse(*at, detail.clone());
                }
                continue;
            }
            // A setting that the document leaves alone is broken by one that it is tied to.
            let partners = self.schema.partners(key).iter().filter_map(|it| places.get(it));
            for at in partners.flatten() {
                refuse(*at, format!("{key} {detail}"));
            }
        }
        self.violations.extend(broken);
    }
}

/// Imports a document, all or nothing, as one change set.
pub async fn import(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    incoming: &Incoming,
    digest: &[u8],
    terms: &ImportTerms,
) -> Result<Changed, Error> {
    change::screen(pool, settings, actor, &incoming.wishes(), false).await?;
    if let Some(key) = &terms.idempotency {
        // Before anything is compared: the first import has moved the settings itself.
        let first = database::look(pool, async |conn| {
            Ok::<_, ChangeError>(idempotency::find(conn, key).await??)
        });
        if let Some(first) = first.await? {
            return Ok(first);
        }
    }
    // Without a plan to hold to, a change in between is planned anew; with one, it is refused.
    for _ in 0..8 {
        let plan = plan(pool, settings, incoming, digest).await?;
        if terms.plan_id.as_ref().is_some_and(|it| *it != plan.plan_id) {
            return Err(Error::PlanOutdated);
        }
        let base = plan.base_revision;
        let edits = edits(plan, terms.on_conflict)?;
        let terms = Terms {
            revisions: Some(vec![base]),
            lenient: true,
            dry_run: false,
            idempotency: terms.idempotency.clone(),
        };
        match change::update_as(Action::Import, pool, settings, actor, &edits, &terms).await {
            Err(ChangeError::Mismatch { .. }) => (),
            done => return Ok(done?),
        }
    }
    Err(Error::PlanOutdated)
}

/// What is to be written, locked entries included: the write path leaves those out and says so.
fn edits(plan: ImportPlan, on_conflict: OnConflict) -> Result<Vec<Edit>, Error> {
    if !plan.violations.is_empty() {
        return Err(ChangeError::Invalid(plan.violations).into());
    }
    let conflicts = plan.entries.iter().filter(|it| it.class == Class::Conflict);
    let conflicts: Vec<_> = conflicts.cloned().collect();
    if !conflicts.is_empty() && on_conflict == OnConflict::Refuse {
        return Err(Error::Conflict(conflicts));
    }
    let wanted = plan.entries.into_iter().filter(|it| match it.class {
        Class::Change | Class::Same | Class::Locked => true,
        Class::Conflict => on_conflict == OnConflict::Overwrite,
        Class::Unknown | Class::Invalid => false,
    });
    let edit = |entry: PlanEntry| {
        let value = entry.imported.as_ref().map_or(Json::Null, Json::from);
        Edit { key: entry.key, value, version: None }
    };
    Ok(wanted.map(edit).collect())
}
