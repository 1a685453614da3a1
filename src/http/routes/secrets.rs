//! Secrets and controls provisioned outside of the service.

use crate::{
    config::Provision,
    database::Pool,
    http::{
        auth::{SuperAdmin, write_quota::RateLimitedAdmin},
        openapi::problems,
        problem::Problem,
        request::{
            body::Body,
            fields::body,
            query::{NoParameters, Query, query},
        },
        response::JsonResponse,
        write::ChangeNote,
    },
    ids::RequestId,
    outbox::Outbox,
    secret_scanner::SecretScanner,
    secrets::{self, Cleanup, CleanupResult, EnvironmentReport, Secrets},
    settings::{GlobalSettingsService, SettingsWriter},
};
use axum::extract::State;

problems! {
    SecretsProblems: MalformedRequest, Unauthorized, Forbidden, Internal, Unavailable
}

/// The presence and the source of each secret; never a value.
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
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    JsonResponse::ok(&secrets::status(&pool, &settings, &provision).await?)
}

body! {
    /// The secrets to clean up.
    struct SecretCleanupRequest {
        /// The reason
        note: ChangeNote,
        /// The only secrets to clean up.
        #[validate(length(max = 1_000))]
        names: Option<Vec<String>>,
    }
}

query! {
    /// The parameters of a clean-up.
    struct CleanupParameters {
        /// List the secrets to remove, remove nothing
        dry_run: bool = false,
    }
}

problems! {
    CleanupProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, UnknownKey, RequestTimeout,
    PayloadTooLarge, UnsupportedMediaType, RateLimited, Internal, Unavailable, OutcomeUnknown
}

/// Removes secrets stored in the database by an older release, if provided otherwise.
#[utoipa::path(
    post,
    path = "/admin/secrets/cleanup",
    tag = "secrets",
    operation_id = "cleanUpSecrets",
    params(CleanupParameters),
    request_body = SecretCleanupRequest,
    responses((status = 200, description = "The secrets that were removed, and the others with the reason", body = CleanupResult), CleanupProblems),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn clean_up(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(scanner): State<SecretScanner>,
    State(writer): State<SettingsWriter>,
    State(outbox): State<Outbox>,
    State(provision): State<Provision>,
    request: RequestId,
    Query(CleanupParameters { dry_run }): Query<CleanupParameters>,
    Body { value: SecretCleanupRequest { note, names }, .. }: Body<SecretCleanupRequest>,
) -> Result<JsonResponse, Problem> {
    let actor = note.actor(caller, request);
    // No idempotency key is needed: a repeated clean-up finds nothing left to remove.
    let cleanup = Cleanup { names, dry_run };
    let result =
        secrets::clean_up(&pool, &settings, &scanner, &outbox, &provision, &actor, &cleanup);
    let result = result.await;
    if matches!(result, Err(secrets::Error::SecretLike(_))) {
        // For the audit entry of the refusal.
        writer.scan_text(&actor, actor.reason.as_str(), dry_run).await?;
    }
    JsonResponse::ok(&result?)
}

/// The controls of the environment, and ignored variables of settings.
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
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    JsonResponse::ok(&secrets::environment(&settings.snapshot(), &provision, &scanner))
}
