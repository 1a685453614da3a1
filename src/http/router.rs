//! Every route of the service, on one page.

use axum::{
    Router,
    http::{HeaderMap, HeaderValue},
    routing::{MethodRouter, get},
};
use utoipa::{Modify as _, OpenApi as _};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{
        AppState, Limits, Origins,
        openapi::{Document, RouteRules, without_sessions},
        routes::{
            audit, config, explain, fleet, freezes, health, ofrep, outbox, proposals, releases,
            secrets, sessions as session_routes, settings, sign_in,
        },
        serve::{
            compression::{StaticBody, compressed},
            middleware::with_middleware,
        },
        state::Shared,
        ui, viewer,
    },
    sessions,
    settings::GlobalSettingsService,
};

/// Returns the routes with descriptions.
fn routes(origins: &Origins) -> OpenApiRouter<Shared> {
    let flags = OpenApiRouter::new()
        .routes(routes!(ofrep::evaluate_all))
        .routes(routes!(ofrep::evaluate))
        .routes(routes!(ofrep::events));
    // A route belongs here only if its answers never hold a secret (`http/serve/compression.rs` says why).
    let lists = OpenApiRouter::new()
        .routes(routes!(settings::history))
        .routes(routes!(settings::timeline))
        .routes(routes!(config::audit))
        .routes(routes!(config::schema))
        .routes(routes!(session_routes::list))
        .routes(routes!(session_routes::pins))
        .routes(routes!(fleet::list))
        .routes(routes!(outbox::list))
        .routes(routes!(health::metrics));
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(settings::list, settings::update))
        .routes(routes!(settings::entry))
        .routes(routes!(settings::roll_back))
        .routes(routes!(settings::stream))
        .routes(routes!(settings::find))
        .routes(routes!(config::list))
        .routes(routes!(config::export))
        .routes(routes!(config::import))
        .routes(routes!(config::find, config::put, config::reset))
        .merge(proposal_routes())
        .routes(routes!(freezes::list, freezes::freeze))
        .routes(routes!(freezes::end))
        .merge(release_routes())
        .routes(routes!(audit::verify))
        .routes(routes!(sign_in::sign_in))
        .routes(routes!(sign_in::me))
        .routes(routes!(sign_in::sign_out))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::clean_up))
        .routes(routes!(secrets::environment))
        .routes(routes!(session_routes::start))
        .routes(routes!(session_routes::find))
        .routes(routes!(session_routes::end))
        .routes(routes!(session_routes::trace))
        .routes(routes!(session_routes::end_any))
        .routes(routes!(session_routes::starts))
        .routes(routes!(session_routes::stop_starts))
        .routes(routes!(session_routes::resume_starts))
        .routes(routes!(session_routes::what_if))
        .routes(routes!(outbox::retry))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::healthz))
        .routes(routes!(explain::explain))
        // CORS covers only the flags: no other route serves pages of other origins.
        .merge(ofrep::with_cors(flags, origins))
        .merge(compressed(lists))
}

fn proposal_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(proposals::list, proposals::propose))
        .routes(routes!(proposals::find, proposals::edit))
        .routes(routes!(proposals::edition))
        .routes(routes!(proposals::give_verdict))
        .routes(routes!(proposals::apply))
        .routes(routes!(proposals::withdraw))
        .routes(routes!(session_routes::find_rollout, proposals::move_rollout))
        .routes(routes!(session_routes::preview_rollout))
        .routes(routes!(session_routes::end_candidate_sessions))
}

fn release_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(releases::list, releases::make))
        .routes(routes!(releases::find))
        .routes(routes!(releases::diff))
        .routes(routes!(releases::archive))
}

/// Splits `routes` into the router and the document, with the rules of many routes.
fn documented(routes: OpenApiRouter<Shared>) -> (Router<Shared>, utoipa::openapi::OpenApi) {
    let (routes, mut document) = routes.split_for_parts();
    RouteRules.modify(&mut document);
    (routes, document)
}

/// Returns the OpenAPI document of `/openapi.json`.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    // CORS adds no operation, so any origins give the same document.
    documented(routes(&Origins::default())).1
}

/// Returns the complete service.
pub fn router(state: AppState, limits: &Limits) -> Router {
    let scanner = state.scanner.clone();
    let metrics = state.metrics.clone();
    let path_prefix = state.path_prefix.clone();
    let (mut routes, document) = documented(routes(&state.origins));
    if !path_prefix.is_empty() {
        // Clients get this address and may bypass the proxy. Other routes must not be reachable under the prefix: a
        // request could bypass the proxy's rules for a path by repeating the prefix.
        let events = get(ofrep::events);
        let events = OpenApiRouter::<Shared>::new().route(&path_prefix.join(ofrep::EVENTS), events);
        routes = routes.merge(Router::from(ofrep::with_cors(events, &state.origins)));
    }
    let document = described(document, state.settings.clone());
    let routes = routes
        .with_state(Shared::from(state))
        .route("/openapi.json", document)
        .merge(viewer::routes())
        .merge(ui::routes());
    // Outermost, so the viewer and the console get the same checks and headers.
    with_middleware(routes, limits, scanner, metrics, path_prefix, Some(ofrep::problem_format))
}

/// Serves the document with the routes of sessions or without, as the current catalog declares.
fn described(document: utoipa::openapi::OpenApi, settings: GlobalSettingsService) -> MethodRouter {
    // The document takes several megabytes, which the rest of the start can use again.
    let text = serde_json::to_string(&document).unwrap_or_default();
    drop(document);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let body = |document: &serde_json::Value| {
        StaticBody::new(HeaderValue::from_static("application/json"), document.to_string())
    };
    // Both forms are made once: the catalog can change while the process runs.
    let full = body(&document);
    let reduced = body(&without_sessions(document));
    get(move |headers: HeaderMap| async move {
        let has_sessions = sessions::are_declared(&settings.current().schema);
        let body = if has_sessions { &full } else { &reduced };
        body.respond(&headers).await
    })
}
