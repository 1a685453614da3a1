//! Extractors that authenticate a request. A handler with such an argument cannot run without credentials.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, HeaderName, header::AUTHORIZATION, request::Parts},
};
use chrono::{DateTime, Utc};

use crate::{
    http::{
        auth::{
            caller::{Caller, SUPER_ADMIN},
            error::AuthError,
            expected_subject::check_subject,
            same_origin::check_origin,
            token::TokenVerifier,
        },
        problem::{Code, Problem},
    },
    json::FieldError,
};

const INTERNAL_API_KEY: HeaderName = HeaderName::from_static("x-internal-api-key");

/// The header that the `OpenFeature` protocol uses for the internal key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A header that may hold the internal key, with its name as documented.
type KeyHeader = (HeaderName, &'static str);

const INTERNAL_KEY_HEADER: KeyHeader = (INTERNAL_API_KEY, "X-Internal-Api-Key");
const API_KEY_HEADER: KeyHeader = (API_KEY, "X-API-Key");

/// When the internal key expires.
const NEVER: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

/// A super administrator, by token or cookie. Rejects other callers with 403, and requests without a valid token
/// with 401.
#[derive(Debug)]
pub struct SuperAdmin(
    /// The administrator.
    pub Caller,
);

/// A caller with a valid token. Rejects other requests with 401.
#[derive(Debug)]
pub struct SignedIn(
    /// The user.
    pub Caller,
);

/// An internal service with the internal key, or a caller with a valid token. Rejects other requests with 401.
#[derive(Debug)]
pub enum InternalOrUser {
    /// The request has the internal key.
    Internal,
    /// The request has a token.
    User(Caller),
}

/// A client that may read settings as flags: a caller with a valid token, or an internal service with the internal key
/// in `X-API-Key` or `X-Internal-Api-Key`. A token takes precedence. Rejects other requests with 401.
#[derive(Debug)]
pub(in crate::http) struct Reader {
    /// When the credentials expire.
    pub(in crate::http) until: DateTime<Utc>,
}

impl<S> FromRequestParts<S> for SignedIn
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let keys = TokenVerifier::from_ref(state);
        Ok(Self(keys.verify(bearer_token(&parts.headers)?)?))
    }
}

impl<S> FromRequestParts<S> for SuperAdmin
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let keys = TokenVerifier::from_ref(state);
        // A browser attaches the cookie by itself; the header is always intended.
        if parts.headers.contains_key(AUTHORIZATION) {
            return Self::authorize(keys.verify(bearer_token(&parts.headers)?)?);
        }
        Self::authorize(cookie_caller(parts, &keys)?)
    }
}

impl SuperAdmin {
    /// Verifies `token` and the role of its subject.
    pub(in crate::http) fn from_token(token: &str, keys: &TokenVerifier) -> Result<Self, Problem> {
        Self::authorize(keys.verify(token)?)
    }

    fn authorize(caller: Caller) -> Result<Self, Problem> {
        if caller.is_admin {
            return Ok(Self(caller));
        }
        Err(Problem::new(Code::Forbidden, format!("requires the role {SUPER_ADMIN}")))
    }
}

impl<S> FromRequestParts<S> for InternalOrUser
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let keys = TokenVerifier::from_ref(state);
        if !headers.contains_key(INTERNAL_API_KEY) {
            return Ok(Self::User(keys.verify(bearer_token(headers)?)?));
        }
        if headers.contains_key(AUTHORIZATION) {
            // The credentials decide for whom the session starts, so neither may win silently.
            let detail = "send X-Internal-Api-Key or Authorization, not both";
            let error =
                FieldError { pointer: None, ..FieldError::at("", "two_credentials", detail) };
            return Err(Problem::malformed(error));
        }
        check_internal_key(headers, INTERNAL_KEY_HEADER, &keys)?;
        Ok(Self::Internal)
    }
}

impl<S> FromRequestParts<S> for Reader
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let keys = TokenVerifier::from_ref(state);
        // A token wins over a key: every reader gets the same flags, so no conflict arises.
        if headers.contains_key(AUTHORIZATION) {
            return Ok(Self { until: keys.verify_expiry(bearer_token(headers)?)? });
        }
        let has_api_key = headers.contains_key(API_KEY);
        let key_header = if has_api_key { API_KEY_HEADER } else { INTERNAL_KEY_HEADER };
        check_internal_key(headers, key_header, &keys)?;
        Ok(Self { until: NEVER })
    }
}

fn check_internal_key(
    headers: &HeaderMap,
    (header, name): KeyHeader,
    keys: &TokenVerifier,
) -> Result<(), AuthError> {
    let mut values = headers.get_all(header).iter();
    let key = values.next().ok_or(AuthError::NoCredentials)?;
    // A proxy may check another value than the service.
    if values.next().is_some() {
        return Err(AuthError::Repeated(name));
    }
    if keys.matches_internal_key(key.as_bytes()) { Ok(()) } else { Err(AuthError::Key(name)) }
}

/// Returns the token of the `Authorization` header.
fn bearer_token(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::NoCredentials)?;
    // A proxy may check another value than the service.
    if values.next().is_some() {
        return Err(AuthError::Repeated("Authorization"));
    }
    value.to_str().ok().and_then(bearer).ok_or(AuthError::Scheme)
}

/// Verifies the token in the cookie.
fn cookie_caller(parts: &Parts, keys: &TokenVerifier) -> Result<Caller, Problem> {
    let token = keys.cookie().token(&parts.headers)?;
    // Before the origin: an expired session is a 401, and the console asks to sign in again.
    let caller = keys.verify(token)?;
    // Browsers attach the cookie to requests of any page, so a change must prove its origin.
    if !parts.method.is_safe() {
        check_origin(&parts.headers)?;
    }
    check_subject(&parts.headers, &caller.user)?;
    Ok(caller)
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        Self::unauthorized(&error.to_string(), error.has_credentials())
    }
}

/// Returns the token of a `Bearer` header.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    // The scheme is case-insensitive (RFC 9110, 11.1).
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
