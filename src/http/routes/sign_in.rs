//! `/admin/sign-in`, `/admin/me`, `/admin/sign-out`: a browser's session, with the token in a cookie out of reach of
//! scripts.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    clock::Clock,
    http::{
        auth::{Caller, SameOrigin, SuperAdmin, TokenVerifier},
        openapi::problems,
        problem::Problem,
        request::{
            body::Body,
            fields::body,
            query::{NoParameters, Query},
        },
        response::JsonResponse,
    },
    ids::UserId,
    sessions,
    settings::GlobalSettingsService,
};

body! {
    /// The credentials of a browser.
    struct SignIn {
        /// A token with the role `SUPER_ADMIN`, of at most 3,800 bytes.
        token: String,
    }
}

/// The signed-in administrator.
#[derive(Serialize, ToSchema)]
#[schema(as = Administrator)]
pub(in crate::http) struct Administrator {
    /// The subject of the token.
    #[schema(value_type = String)]
    subject: UserId,
    /// When the token expires.
    expires_at: DateTime<Utc>,
    /// The time of the service, for a countdown on a client with a wrong clock.
    now: DateTime<Utc>,
    /// The name of the catalog.
    catalog: String,
    /// Whether the catalog declares every setting of session starts.
    sessions: bool,
}

impl Administrator {
    fn of(caller: Caller, now: DateTime<Utc>, settings: &GlobalSettingsService) -> Self {
        // A single read: name and declarations must come from the same catalog.
        let schema = Arc::clone(&settings.current().schema);
        Self {
            subject: caller.user,
            expires_at: caller.until,
            now,
            catalog: schema.catalog.clone(),
            sessions: sessions::are_declared(&schema),
        }
    }
}

problems! {
    SignInProblems: MalformedRequest, Unauthorized, Forbidden, CrossOrigin, RequestTimeout, PayloadTooLarge,
    UnsupportedMediaType, Internal, Unavailable
}

/// Stores a token in a cookie of the browser, for the pages of the service.
#[utoipa::path(
    post,
    path = "/admin/sign-in",
    operation_id = "signInAdministrator",
    tag = "sign-in",
    request_body = SignIn,
    responses(
        (status = 200, description = "The administrator", body = Administrator, headers(
            ("Set-Cookie" = String, description = "The token, until it expires, out of reach of scripts"),
        )),
        SignInProblems,
    ),
)]
pub(in crate::http) async fn sign_in(
    // First: a page of another site must not plant a token (login CSRF).
    _: SameOrigin,
    State(keys): State<TokenVerifier>,
    State(settings): State<GlobalSettingsService>,
    State(clock): State<Clock>,
    _: Query<NoParameters>,
    Body { value: SignIn { token }, .. }: Body<SignIn>,
) -> Result<JsonResponse, Problem> {
    // A single reading: the cookie and the response must agree on the remaining time.
    let now = clock.now();
    // Verified before being stored: an invalid cookie would fail on every later request.
    let SuperAdmin(caller) = SuperAdmin::from_token(&token, &keys)?;
    let cookie = keys.cookie().store(&token, (caller.until - now).num_seconds())?;
    let response = JsonResponse::ok(&Administrator::of(caller, now, &settings))?;
    Ok(response.with(header::SET_COOKIE, &cookie))
}

problems! {
    MeProblems: MalformedRequest, Unauthorized, Forbidden, Internal
}

/// The signed-in administrator.
#[utoipa::path(
    get,
    path = "/admin/me",
    operation_id = "getAdministrator",
    tag = "sign-in",
    responses((status = 200, description = "The administrator", body = Administrator), MeProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn me(
    SuperAdmin(caller): SuperAdmin,
    State(settings): State<GlobalSettingsService>,
    State(clock): State<Clock>,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    JsonResponse::ok(&Administrator::of(caller, clock.now(), &settings))
}

problems! {
    SignOutProblems: MalformedRequest, CrossOrigin
}

/// Deletes the cookie, if any. The token stays valid until expiry.
#[utoipa::path(
    post,
    path = "/admin/sign-out",
    operation_id = "signOutAdministrator",
    tag = "sign-in",
    responses(
        (status = 204, description = "The cookie is deleted", headers(
            ("Set-Cookie" = String, description = "An empty cookie that expires at once"),
        )),
        SignOutProblems,
    ),
)]
pub(in crate::http) async fn sign_out(
    // A page of another site must not sign an administrator out.
    _: SameOrigin,
    State(keys): State<TokenVerifier>,
    _: Query<NoParameters>,
) -> Result<Response, Problem> {
    // The token is not verified: signing out must work with an expired token too.
    let cookie = [(header::SET_COOKIE, keys.cookie().clear())];
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}
