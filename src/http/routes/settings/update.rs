//! Changing settings.

use std::collections::{HashMap, HashSet};

use axum::{Extension, extract::State};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    http::{
        auth::write_quota::Writer,
        openapi::problems,
        problem::Problem,
        request::{
            body::Body,
            fields::{Fields, NUMBERS},
            query::Query,
        },
        response::JsonResponse,
        write::{WriteHeaders, WriteResponse, actor, answer, only_usual},
    },
    ids::RequestId,
    json::StrictJson,
    secret_scanner,
    settings::{ChangeResult, Edit, SettingsWriter},
};

/// Most changes of one request. A document with more settings is imported.
const MOST_CHANGES: usize = 1_000;

problems! {
    UpdateProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden, KeyLocked, RequestTimeout, VersionConflict, RevisionMismatch, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, VersionRequired, RateLimited, Internal, Unavailable, OutcomeUnknown
}

/// A batch of changes.
#[derive(ToSchema)]
#[schema(as = SettingsChange)]
#[expect(dead_code, reason = "only its schema is used: bodies are read field by field")]
pub(in crate::http) struct UpdateBody {
    /// Why, in 3 to 500 characters on one line, 3 of them visible.
    #[schema(min_length = 3, max_length = 500, example = "calmer evenings")]
    reason: String,
    /// What to change, at most 1,000 settings; all of it or nothing.
    #[schema(min_items = 1, max_items = 1_000)]
    changes: Vec<ChangeBody>,
}

/// One change.
#[derive(ToSchema)]
#[schema(as = SettingChange)]
#[expect(dead_code, reason = "only its schema is used: bodies are read field by field")]
pub(in crate::http) struct ChangeBody {
    /// The setting.
    #[schema(example = "BRUNE_COOLDOWN_MINUTES")]
    key: String,
    /// Its new value, of its type.
    #[schema(example = 45)]
    value: Value,
    /// The version it must still be at; may be left out with `If-Match`.
    #[schema(example = 2)]
    version: Option<i64>,
}

/// Changes settings: all of the batch or nothing of it.
#[utoipa::path(
    patch,
    path = "/admin/global-settings",
    operation_id = "changeSettings",
    tag = "settings",
    params(
        ("dry_run" = Option<bool>, Query, description = "Check everything, store nothing"),
        ("wait" = Option<String>, Query, description = "`applied`: answer when every live instance has the change; not of a dry run"),
        ("timeout_ms" = Option<i64>, Query, description = "How long that may take: 100 to 4000, 2000 when left out"),
        ("If-Match" = Option<String>, Header, description = "The revision that must be current, as `\"r<revision>\"`"),
        ("Prefer" = Option<String>, Header, description = "`handling=lenient` leaves out what may not be written"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat within 24 hours answers as the first time"),
    ),
    request_body = UpdateBody,
    responses(
        (status = 200, description = "What was changed, as it is stored", body = WriteResponse<ChangeResult>, headers(
            ("ETag" = String, description = "The revision that is current now, as `\"r<revision>\"`"),
            ("Preference-Applied" = Option<String>, description = "`handling=lenient`, when that was preferred"),
        )),
        (status = 202, description = "It is stored, and the instances that `applied.laggards` names did not have it in time", body = WriteResponse<ChangeResult>),
        UpdateProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn update(
    Writer(caller): Writer,
    State(writer): State<SettingsWriter>,
    Extension(request): Extension<RequestId>,
    query: Query,
    mut write: WriteHeaders,
    body: Result<Body, Problem>,
) -> Result<JsonResponse, Problem> {
    only_usual(query)?;
    let Body { json, bytes } = body.map_err(Problem::or_reason_required)?;
    let (reason, edits) = read_update(json)?;
    let actor = actor(&caller, reason, request)?;
    let explain = write.explain();
    let (terms, wait) = write.terms(&caller, &bytes);
    let changed = writer.update(&actor, &edits, &terms).await;
    let changed = changed.map_err(|err| {
        let places = Places::of(&edits);
        Problem::from(err).pointing(|key, code| places.find(key, code))
    });
    let changed = changed.map_err(explain)?;
    answer(&changed, &terms, wait).await
}

/// Where in a batch each key stands.
struct Places<'e> {
    exact: HashMap<&'e str, usize>,
    /// By the name that a lookalike shares with the key it resembles.
    lookalike: HashMap<String, usize>,
}

impl<'e> Places<'e> {
    fn of(edits: &'e [Edit]) -> Self {
        // From the end, so that of two the first remains.
        let edits = || edits.iter().enumerate().rev();
        let lookalike =
            |(at, edit): (usize, &Edit)| Some((secret_scanner::lookalike_skeleton(&edit.key)?, at));
        Self {
            exact: edits().map(|(at, edit)| (edit.key.as_str(), at)).collect(),
            lookalike: edits().filter_map(lookalike).collect(),
        }
    }

    /// Points to the fault `code` of `key`.
    fn find(&self, key: &str, code: &str) -> Option<String> {
        let exact = self.exact.get(key);
        // A locked key may have been meant by another name.
        let meant = || self.lookalike.get(&secret_scanner::lookalike_skeleton(key)?);
        let at = if code == "key_locked" { exact.or_else(meant) } else { exact }?;
        let member = match code {
            "unknown_key" | "key_locked" => "key",
            "version_required" => "version",
            _ => "value",
        };
        Some(format!("/changes/{at}/{member}"))
    }
}

fn read_update(json: StrictJson) -> Result<(Option<String>, Vec<Edit>), Problem> {
    let mut fields = Fields::of(json)?;
    let reason = fields.optional_string("reason");
    let edits = fields.objects("changes", MOST_CHANGES, |change| {
        let (key, value) = (change.string("key"), change.raw("value"));
        let version = change.optional_integer("version", NUMBERS);
        Some(Edit { key: key?, value: value?, version })
    });
    if let Some(edits) = &edits {
        if edits.is_empty() {
            fields.fault("changes", "empty", "must have at least one change");
        }
        let mut keys = HashSet::new();
        for edit in edits {
            if !keys.insert(edit.key.as_str()) {
                fields.fault("changes", "repeated_key", format!("{} stands twice", edit.key));
            }
        }
    }
    let edits = fields.finish(|| edits)?;
    Ok((reason, edits))
}
