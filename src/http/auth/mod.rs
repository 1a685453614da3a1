//! Who is asking. A handler that takes one of these types cannot be reached without it.

mod claims;
mod cookie;
mod header;
mod refusal;
mod token;
pub(in crate::http) mod write_quota;

use std::fmt;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, HeaderName, header::AUTHORIZATION, request::Parts},
};
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

pub(in crate::http) use cookie::SameOrigin;
pub(in crate::http) use refusal::Refusal;
pub use token::{Grant, SUPER_ADMIN, TokenVerifier, issue};

use crate::{
    config::Secret,
    http::problem::{Code, Problem},
    ids::UserId,
    json::FieldError,
};

const INTERNAL_API_KEY: HeaderName = HeaderName::from_static("x-internal-api-key");

/// The name that the `OpenFeature` protocol has for such a key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The headers of the internal key, with their names as people write them.
const INTERNAL: (HeaderName, &str) = (INTERNAL_API_KEY, "X-Internal-Api-Key");
const API: (HeaderName, &str) = (API_KEY, "X-API-Key");

/// When a key expires.
const FOREVER: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

/// Who a valid token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its subject.
    pub user: UserId,
    /// The user's plan, if the token names one.
    pub plan: Option<String>,
    /// The user's level, if the token names one.
    pub level: Option<String>,
    /// Whether the user has the role [`SUPER_ADMIN`].
    pub is_admin: bool,
    /// When the token expires.
    pub until: DateTime<Utc>,
}

/// A super administrator, with a token or with the cookie that holds one; others are a 403, and callers without a
/// valid token a 401.
#[derive(Debug)]
pub struct SuperAdmin(
    /// Who it is.
    pub Caller,
);

/// Anyone with a valid token; others are a 401.
#[derive(Debug)]
pub struct SignedIn(
    /// Who it is.
    pub Caller,
);

/// Another service of ours with the internal key, or anyone with a valid token; others are a 401.
#[derive(Debug)]
pub enum InternalOrUser {
    /// The internal key was sent.
    Internal,
    /// A token was sent.
    User(Caller),
}

impl<S> FromRequestParts<S> for SignedIn
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(caller(&parts.headers, &TokenVerifier::from_ref(state))?))
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
        // A header is meant; a cookie may only have come along.
        if parts.headers.contains_key(AUTHORIZATION) {
            return Self::of(caller(&parts.headers, &keys)?);
        }
        Self::of(cookie::caller(parts, &keys)?)
    }
}

impl SuperAdmin {
    /// Whom `token` speaks for.
    pub(in crate::http) fn holding(token: &str, keys: &TokenVerifier) -> Result<Self, Problem> {
        Self::of(keys.verify(token)?)
    }

    fn of(caller: Caller) -> Result<Self, Problem> {
        if caller.is_admin {
            return Ok(Self(caller));
        }
        Err(Problem::new(Code::Forbidden, format!("this needs the role {SUPER_ADMIN}")))
    }
}

impl<S> FromRequestParts<S> for InternalOrUser
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (headers, keys) = (&parts.headers, TokenVerifier::from_ref(state));
        if !headers.contains_key(INTERNAL_API_KEY) {
            return Ok(Self::User(caller(headers, &keys)?));
        }
        if headers.contains_key(AUTHORIZATION) {
            // Which of the two is meant would be a guess, and a guess decides whom the start is for.
            let detail = "send X-Internal-Api-Key or Authorization, not both";
            let fault =
                FieldError { pointer: None, ..FieldError::at("", "two_credentials", detail) };
            return Err(Problem::malformed(fault));
        }
        Ok(internal(headers, INTERNAL, &keys).map(|()| Self::Internal)?)
    }
}

/// Whoever may read settings as flags: anyone with a valid token, or another service of ours with the internal
/// key in `X-API-Key` or `X-Internal-Api-Key`; others are a 401. A token counts before a key.
#[derive(Debug)]
pub(in crate::http) struct Reader {
    /// When the token expires; of a key, never.
    pub(in crate::http) until: DateTime<Utc>,
}

impl<S> FromRequestParts<S> for Reader
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (headers, keys) = (&parts.headers, TokenVerifier::from_ref(state));
        if headers.contains_key(AUTHORIZATION) {
            return Ok(Self { until: caller(headers, &keys)?.until });
        }
        let sent = if headers.contains_key(API_KEY) { API } else { INTERNAL };
        Ok(internal(headers, sent, &keys).map(|()| Self { until: FOREVER })?)
    }
}

/// Checks the internal key in one header, given with its name as people write it.
fn internal(
    headers: &HeaderMap,
    (header, name): (HeaderName, &'static str),
    keys: &TokenVerifier,
) -> Result<(), Refusal> {
    let mut sent = headers.get_all(header).iter();
    let key = sent.next().ok_or(Refusal::NoCredentials)?;
    if sent.next().is_some() {
        return Err(Refusal::Repeated(name));
    }
    if keys.knows_internal(key.as_bytes()) { Ok(()) } else { Err(Refusal::Key(name)) }
}

fn caller(headers: &HeaderMap, keys: &TokenVerifier) -> Result<Caller, Refusal> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let first = sent.next().ok_or(Refusal::NoCredentials)?;
    if sent.next().is_some() {
        return Err(Refusal::Repeated("Authorization"));
    }
    let token = first.to_str().ok().and_then(bearer).ok_or(Refusal::Scheme)?;
    keys.verify(token)
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::unauthorized(&refusal.to_string(), refusal.has_credentials())
    }
}

/// The token of a `Bearer` header; the scheme's case does not matter (RFC 9110).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A key that is compared without telling by the time it takes how much of a guess was right.
#[derive(Clone)]
struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(secret: &Secret) -> Self {
        Self(Sha256::digest(secret.expose()).into())
    }

    fn matches(&self, sent: &[u8]) -> bool {
        // Of digests, since the comparison itself tells the lengths apart.
        self.0.ct_eq(&<[u8; 32]>::from(Sha256::digest(sent))).into()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests;
