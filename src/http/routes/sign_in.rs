//! `/admin/sign-in`, `/admin/me`, `/admin/sign-out`: a browser's way in, where the token is kept in a cookie that no
//! script reads.

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
        request::{body::Body, fields::Fields, query::Query},
        response::JsonResponse,
    },
    ids::UserId,
    sessions,
    settings::GlobalSettingsService,
};

/// What a browser signs in with.
#[derive(ToSchema)]
#[schema(as = SignIn)]
#[expect(dead_code, reason = "only its schema is used: bodies are read field by field")]
pub(in crate::http) struct SignInBody {
    /// A token with the role `SUPER_ADMIN`, of at most 3,800 bytes.
    token: String,
}

/// Who asks, and until when.
#[derive(Serialize, ToSchema)]
#[schema(as = Administrator)]
pub(in crate::http) struct Administrator {
    /// Who the token is for.
    #[schema(value_type = String)]
    subject: UserId,
    /// When the token expires.
    expires_at: DateTime<Utc>,
    /// The time here, for whoever counts down with a clock that is wrong.
    now: DateTime<Utc>,
    /// The name of the catalog.
    catalog: String,
    /// Whether the catalog has sessions: it declares every setting that a session start reads.
    sessions: bool,
}

impl Administrator {
    fn of(caller: Caller, now: DateTime<Utc>, settings: &GlobalSettingsService) -> Self {
        let schema = Arc::clone(&settings.current().schema);
        let (catalog, sessions) = (schema.catalog.clone(), sessions::are_declared(&schema));
        Self { subject: caller.user, expires_at: caller.until, now, catalog, sessions }
    }
}

problems! {
    SignInProblems: MalformedRequest, Unauthorized, Forbidden, CrossOrigin, RequestTimeout, PayloadTooLarge,
    UnsupportedMediaType, Internal, Unavailable
}

/// Takes a token and keeps it in a cookie of this browser, for the pages of this service.
#[utoipa::path(
    post,
    path = "/admin/sign-in",
    operation_id = "signInAdministrator",
    tag = "sign-in",
    request_body = SignInBody,
    responses(
        (status = 200, description = "Who it is for", body = Administrator, headers(
            ("Set-Cookie" = String, description = "The token, where no script reads it, until it expires"),
        )),
        SignInProblems,
    ),
)]
pub(in crate::http) async fn sign_in(
    _: SameOrigin,
    State(keys): State<TokenVerifier>,
    State(settings): State<GlobalSettingsService>,
    State(clock): State<Clock>,
    query: Query,
    body: Body,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    let mut fields = Fields::of(body.json)?;
    let token = fields.string("token");
    let token = fields.finish(|| token)?;
    let now = clock.now();
    let SuperAdmin(caller) = SuperAdmin::from_token(&token, &keys)?;
    let cookie = keys.cookie().store(&token, (caller.until - now).num_seconds())?;
    let answer = JsonResponse::ok(&Administrator::of(caller, now, &settings))?;
    Ok(answer.with(header::SET_COOKIE, &cookie))
}

problems! {
    MeProblems: MalformedRequest, Unauthorized, Forbidden, Internal
}

/// Who asks, and until when.
#[utoipa::path(
    get,
    path = "/admin/me",
    operation_id = "getAdministrator",
    tag = "sign-in",
    responses((status = 200, description = "Who asks", body = Administrator), MeProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn me(
    SuperAdmin(caller): SuperAdmin,
    State(settings): State<GlobalSettingsService>,
    State(clock): State<Clock>,
    query: Query,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    JsonResponse::ok(&Administrator::of(caller, clock.now(), &settings))
}

problems! {
    SignOutProblems: MalformedRequest, CrossOrigin
}

/// Takes the cookie away, be there one or not. The token itself stays good until it expires.
#[utoipa::path(
    post,
    path = "/admin/sign-out",
    operation_id = "signOutAdministrator",
    tag = "sign-in",
    responses(
        (status = 204, description = "There is no cookie any more", headers(
            ("Set-Cookie" = String, description = "None, at once"),
        )),
        SignOutProblems,
    ),
)]
pub(in crate::http) async fn sign_out(
    _: SameOrigin,
    State(keys): State<TokenVerifier>,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let cookie = [(header::SET_COOKIE, keys.cookie().clear())];
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}
