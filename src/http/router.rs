//! Every route of the service, on one page.

use axum::{
    Router,
    body::Bytes,
    http::{HeaderValue, header},
    response::Response,
    routing::{MethodRouter, get},
};
use tower::util::MapResponseLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::{Modify as _, OpenApi as _};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    http::{
        AppState, Limits, Origins,
        openapi::{CommonRules, Document, without_sessions},
        routes::{
            audit, config, explain, fleet, health, ofrep, outbox, secrets,
            sessions as session_routes, settings, sign_in,
        },
        serve::middleware::with_middleware,
        state::Shared,
        ui,
    },
    sessions,
    settings::GlobalSettingsService,
};

/// The routes and what they say of themselves.
fn routes(origins: &Origins) -> OpenApiRouter<Shared> {
    let flags = OpenApiRouter::new()
        .routes(routes!(ofrep::evaluate_all))
        .routes(routes!(ofrep::evaluate))
        .routes(routes!(ofrep::events));
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(settings::list, settings::update))
        .routes(routes!(settings::history))
        .routes(routes!(settings::timeline))
        .routes(routes!(settings::entry))
        .routes(routes!(settings::roll_back))
        .routes(routes!(settings::stream))
        .routes(routes!(settings::find))
        .routes(routes!(config::list))
        .routes(routes!(config::audit))
        .routes(routes!(config::schema))
        .routes(routes!(config::export))
        .routes(routes!(config::import))
        .routes(routes!(config::find, config::put, config::reset))
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
        .routes(routes!(session_routes::list))
        .routes(routes!(session_routes::pins))
        .routes(routes!(session_routes::trace))
        .routes(routes!(session_routes::end_any))
        .routes(routes!(fleet::list))
        .routes(routes!(outbox::list))
        .routes(routes!(outbox::retry))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::healthz))
        .routes(routes!(health::metrics))
        .routes(routes!(explain::explain))
        .merge(ofrep::with_cors(flags, origins))
}

/// `routes`, and their document with what is true of many.
fn documented(routes: OpenApiRouter<Shared>) -> (Router<Shared>, utoipa::openapi::OpenApi) {
    let (routes, mut document) = routes.split_for_parts();
    CommonRules.modify(&mut document);
    (routes, document)
}

/// The OpenAPI document, as `/openapi.json` serves it.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented(routes(&Origins::default())).1
}

/// The service, ready to be served.
pub fn router(state: AppState, limits: &Limits) -> Router {
    let (scanner, metrics) =
        (state.settings.secret_scanner().clone(), state.settings.metrics().clone());
    let path_prefix = state.path_prefix.clone();
    let (mut routes, document) = documented(routes(&state.origins));
    if !path_prefix.is_empty() {
        // The one address that is given to clients who may reach the service past its proxy. No other: a proxy's rules
        // for a path must not be passed by asking for it twice.
        let events = get(ofrep::events);
        let events = OpenApiRouter::<Shared>::new().route(&path_prefix.join(ofrep::EVENTS), events);
        routes = routes.merge(Router::from(ofrep::with_cors(events, &state.origins)));
    }
    // The viewer styles itself inline; nothing else may, and it too loads nothing from elsewhere.
    let policy = HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'; frame-ancestors 'none'",
    );
    let viewer: Router = SwaggerUi::new("/docs")
        .config(Config::from("../openapi.json").validator_url("none"))
        .into();
    let viewer = viewer.layer(MapResponseLayer::new(to_relative));
    let viewer =
        viewer.layer(SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, policy));
    let document = described(&document, state.settings.clone());
    let routes = routes
        .with_state(Shared::from(state))
        .route("/openapi.json", document)
        .merge(viewer)
        .merge(ui::routes());
    with_middleware(routes, limits, scanner, metrics, path_prefix)
}

/// Makes the viewer's redirect to its document one from where it was asked for, whatever a proxy took off before.
fn to_relative(mut response: Response) -> Response {
    if let Some(location) = response.headers_mut().get_mut(header::LOCATION) {
        *location = HeaderValue::from_static("docs/");
    }
    response
}

/// The document as the current catalog has it: with sessions or without.
fn described(document: &utoipa::openapi::OpenApi, settings: GlobalSettingsService) -> MethodRouter {
    let whole = serde_json::to_value(document).unwrap_or_default();
    let full: Bytes = whole.to_string().into();
    let without: Bytes = without_sessions(whole).to_string().into();
    get(move || async move {
        let has_sessions = sessions::are_declared(&settings.current().schema);
        let text = if has_sessions { full.clone() } else { without.clone() };
        ([(header::CONTENT_TYPE, "application/json")], text)
    })
}
