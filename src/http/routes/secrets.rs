//! Secrets, and what else is provisioned outside.

use axum::{Extension, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::{Provision, Source},
    database::Pool,
    http::{
        auth::{SuperAdmin, write_quota::Writer},
        openapi::problems,
        problem::Problem,
        request::{body::Body, fields::Fields, query::Query},
        response::JsonResponse,
        write::actor,
    },
    ids::RequestId,
    outbox::Outbox,
    secret_scanner::SecretScanner,
    secrets::{self, Cleanup, CleanupResult, Secrets},
    settings::{self, Definition, GlobalSettingsService, Kind, SettingValue},
};

/// Shown for a control that looks like a secret: an address with a password, for one.
const HIDDEN: &str = "***";

/// Most names of one clean-up; no catalog declares as many secrets.
const MOST_NAMES: usize = 1_000;

problems! {
    SecretsProblems: MalformedRequest, Unauthorized, Forbidden, Internal, Unavailable
}

/// Whether each secret is provided, and from where; never a value.
#[utoipa::path(
    get,
    path = "/admin/secrets",
    tag = "secrets",
    operation_id = "listSecrets",
    responses((status = 200, description = "The secrets, by name", body = Secrets), SecretsProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(provision): State<Provision>,
    query: Query,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    JsonResponse::ok(&secrets::status(&pool, &settings, &provision).await?)
}

/// What to clean up.
#[derive(ToSchema)]
#[schema(as = SecretCleanupRequest)]
#[expect(dead_code, reason = "only its schema is used: bodies are read field by field")]
pub(in crate::http) struct CleanupBody {
    /// Why, in 3 to 500 characters on one line, 3 of them visible.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
    /// These secrets only.
    #[schema(max_items = 1_000)]
    names: Option<Vec<String>>,
}

problems! {
    CleanupProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, UnknownKey, RequestTimeout,
    PayloadTooLarge, UnsupportedMediaType, RateLimited, Internal, Unavailable, OutcomeUnknown
}

/// Removes what an older release left of secrets in the database, where they are provided otherwise.
#[utoipa::path(
    post,
    path = "/admin/secrets/cleanup",
    tag = "secrets",
    operation_id = "cleanUpSecrets",
    params(("dry_run" = Option<bool>, Query, description = "Say what would be removed, remove nothing")),
    request_body = CleanupBody,
    responses((status = 200, description = "What was removed, and what was kept and why", body = CleanupResult), CleanupProblems),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "a handler takes what it is given, part by part")]
pub(in crate::http) async fn clean_up(
    Writer(caller): Writer,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(scanner): State<SecretScanner>,
    State(outbox): State<Outbox>,
    State(provision): State<Provision>,
    Extension(request): Extension<RequestId>,
    mut query: Query,
    body: Result<Body, Problem>,
) -> Result<JsonResponse, Problem> {
    let Body { json, .. } = body.map_err(Problem::or_reason_required)?;
    let dry_run = query.boolean("dry_run");
    query.finish()?;
    let mut fields = Fields::of(json)?;
    let reason = fields.optional_string("reason");
    let names = fields.optional_strings("names", MOST_NAMES);
    fields.finish(|| Some(()))?;
    let actor = actor(&caller, reason, request)?;
    let cleanup = Cleanup { names, dry_run };
    let cleaned =
        secrets::clean_up(&pool, &settings, &scanner, &outbox, &provision, &actor, &cleanup);
    JsonResponse::ok(&cleaned.await?)
}

/// What is fixed until restart, and what is still set outside without effect.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct EnvironmentReport {
    /// The controls that only the environment sets, by name.
    controls: Vec<Control>,
    /// The settings that the environment still names, where they are ignored; by key.
    drift: Vec<DriftEntry>,
}

/// A control of the infrastructure's.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Control {
    /// Its variable.
    name: String,
    /// What counts; null when nobody says anything, `***` when it looks like a secret.
    value: Option<String>,
    /// `env` or `default`.
    source: &'static str,
    /// Always true.
    restart_required: bool,
    /// What it does.
    description: String,
}

/// A setting that is still set in the environment.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct DriftEntry {
    /// The key.
    key: String,
    /// Whether it says something else than the setting.
    differs: bool,
}

/// The environment's controls, and settings that are still set there.
#[utoipa::path(
    get,
    path = "/admin/environment",
    tag = "secrets",
    operation_id = "getEnvironment",
    responses((status = 200, description = "The controls and the drift", body = EnvironmentReport), SecretsProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn environment(
    _: SuperAdmin,
    State(settings): State<GlobalSettingsService>,
    State(scanner): State<SecretScanner>,
    State(provision): State<Provision>,
    query: Query,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    let snapshot = settings.snapshot();
    let controls = snapshot.schema.all().filter(|it| it.kind == Kind::Environment);
    let controls = controls.map(|it| Control::of(it, &provision, &scanner)).collect();
    let provided = |key: &str| provision.text(key).map(|(text, _)| (Ok(text.to_owned()), "env"));
    let drift = settings::drift(&snapshot, &provided).into_iter();
    let drift = drift.map(|it| DriftEntry { key: it.key, differs: it.differs }).collect();
    JsonResponse::ok(&EnvironmentReport { controls, drift })
}

impl Control {
    fn of(definition: &Definition, provision: &Provision, scanner: &SecretScanner) -> Self {
        let given = provision.text(&definition.key);
        let shown = |text: &str| match scanner.scan(text) {
            Some(_) => HIDDEN.to_owned(),
            None => text.to_owned(),
        };
        let value = given.map(|(text, _)| shown(text));
        Self {
            name: definition.key.clone(),
            value: value.or_else(|| definition.default.as_ref().map(spelt)),
            source: if given.is_some() { Source::Env.as_str() } else { Source::Default.as_str() },
            restart_required: true,
            description: definition.description.clone(),
        }
    }
}

/// A default as a variable would spell it.
fn spelt(default: &SettingValue) -> String {
    match default {
        SettingValue::String(text) => text.clone(),
        SettingValue::StringArray(items) => items.join(","),
        value => value.to_json().to_string(),
    }
}
