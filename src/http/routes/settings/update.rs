//! Changing settings.

use std::{
    collections::{BTreeSet, HashMap},
    convert::identity,
};

use axum::extract::State;
use validator::ValidationError;

use crate::{
    http::{
        auth::write_quota::RateLimitedAdmin,
        openapi::problems,
        problem::Problem,
        request::{
            body::Body,
            fields::body,
            query::Query,
            rules::{Slot, violation},
            value::MAX_INTEGER,
        },
        response::JsonResponse,
        write::{ChangeNote, WriteHeaders, WriteParameters, WriteResponder, WriteResponse},
    },
    ids::RequestId,
    json::StrictJson,
    secret_scanner,
    settings::{ChangeResult, Edit, SettingsWriter},
};

/// Maximum length of a key in an error. No valid key is longer.
const MAX_QUOTED_CHARS: usize = 128;

problems! {
    UpdateProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden, KeyLocked, ApprovalRequired, DelegatedToken, RequestTimeout, VersionConflict, ChangeFrozen, RolloutRunning, RolloutConflict, RevisionMismatch, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, VersionRequired, RateLimited, Internal, Unavailable, OutcomeUnknown
}

body! {
    /// A batch of changes.
    struct SettingsChange {
        /// The reason
        note: ChangeNote,
        /// The changes, saved all or none. A larger batch is a document to import.
        #[validate(length(min = 1, max = 1_000), custom(function = unique_keys))]
        changes: Vec<SettingChange>,
    }
}

body! {
    /// A change.
    struct SettingChange {
        /// The setting.
        #[example("BRUNE_COOLDOWN_MINUTES")]
        key: String,
        /// The new value, of the setting's type.
        #[example(45)]
        value: StrictJson,
        /// The version that must be current; may be left out with `If-Match`.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        #[example(2)]
        version: Option<i64>,
    }
}

/// Requires that no two changes have the same key.
pub(in crate::http) fn unique_keys(
    changes: &Slot<Vec<SettingChange>>,
) -> Result<(), ValidationError> {
    check_unique_keys(changes.0.iter().flatten())
}

/// Requires that no two of `changes` have the same key.
pub(in crate::http) fn check_unique_keys<'c>(
    changes: impl Iterator<Item = &'c SettingChange>,
) -> Result<(), ValidationError> {
    // A repeated key would make the result depend on the order of the changes.
    let mut keys = BTreeSet::new();
    let repeated: BTreeSet<_> = changes
        .filter(|change| !keys.insert(change.key.as_str()))
        .map(|change| change.key.as_str())
        .collect();
    if repeated.is_empty() {
        return Ok(());
    }
    // An unknown key may be as long as the body, so the error quotes its beginning.
    let quoted = |key: &str| key.chars().take(MAX_QUOTED_CHARS).collect::<String>();
    let details = repeated.into_iter().map(|key| format!("{} must not be repeated", quoted(key)));
    let details: Vec<_> = details.collect();
    // `rules::custom` makes an error of each line.
    Err(violation("changes", "repeated_key", details.join("\n")))
}

impl From<SettingChange> for Edit {
    fn from(change: SettingChange) -> Self {
        Self { key: change.key, value: change.value, version: change.version }
    }
}

/// Changes settings, all or none.
#[utoipa::path(
    patch,
    path = "/admin/global-settings",
    operation_id = "changeSettings",
    tag = "settings",
    params(WriteParameters, WriteHeaders),
    request_body = SettingsChange,
    responses(
        (status = 200, description = "The changes as they are stored", body = WriteResponse<ChangeResult>, headers(
            ("ETag" = String, description = "The current revision, as `\"r<revision>\"`"),
            ("Preference-Applied" = Option<String>, description = "`handling=lenient`, when that was preferred"),
        )),
        (status = 202, description = "The changes are stored, and the instances in `applied.laggards` did not apply them in time", body = WriteResponse<ChangeResult>),
        UpdateProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn update(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    Query(parameters): Query<WriteParameters>,
    headers: WriteHeaders,
    responder: WriteResponder,
    Body { value: change, bytes }: Body<SettingsChange>,
) -> Result<JsonResponse, Problem> {
    let edits: Vec<_> = change.changes.into_iter().map(Edit::from).collect();
    let options = headers.options(&caller, &parameters, &bytes);
    let actor = change.note.actor(caller, request);
    let outcome = writer.update(&actor, &edits, &options).await;
    let outcome =
        outcome.map_err(|err| headers.explain(with_positions(Problem::from(err), &edits)))?;
    responder.respond_with_changes(&parameters, outcome, options.lenient, identity).await
}

/// Adds the position in `changes` to each error of a key.
pub(in crate::http) fn with_positions(problem: Problem, edits: &[Edit]) -> Problem {
    let positions = Positions::of(edits);
    problem.with_pointers(|key, code| positions.pointer(key, code))
}

/// The position of each key in a batch.
struct Positions<'e> {
    exact: HashMap<&'e str, usize>,
    /// By the skeleton shared by lookalikes.
    lookalike: HashMap<String, usize>,
}

impl<'e> Positions<'e> {
    fn of(edits: &'e [Edit]) -> Self {
        // In reverse: of two similar keys, the first must remain.
        let edits = || edits.iter().enumerate().rev();
        let lookalike = |(index, edit): (usize, &Edit)| {
            Some((secret_scanner::lookalike_skeleton(&edit.key)?, index))
        };
        Self {
            exact: edits().map(|(index, edit)| (edit.key.as_str(), index)).collect(),
            lookalike: edits().filter_map(lookalike).collect(),
        }
    }

    /// Returns the pointer to the error `code` of `key`.
    fn pointer(&self, key: &str, code: &str) -> Option<String> {
        let exact = self.exact.get(key);
        // The error of a locked key may come from a lookalike.
        let lookalike = || self.lookalike.get(&secret_scanner::lookalike_skeleton(key)?);
        let index = if code == "key_locked" { exact.or_else(lookalike) } else { exact }?;
        let member = match code {
            "unknown_key" | "key_locked" => "key",
            "version_required" => "version",
            _ => "value",
        };
        Some(format!("/changes/{index}/{member}"))
    }
}
