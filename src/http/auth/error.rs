//! Authentication errors; their texts never repeat the credentials.

use std::fmt;

use jsonwebtoken::errors::ErrorKind;

use crate::{ids::UserIdError, text::IdentifierError};

/// The reason of a 401. The text is logged and sent to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum AuthError {
    /// The request has no credentials.
    NoCredentials,
    /// The `Authorization` header has another scheme, or no token.
    Scheme,
    /// A header or cookie occurs more than once.
    Repeated(&'static str),
    /// The key in this header does not match.
    Key(&'static str),
    /// The token in the URL of an event stream is invalid or has expired.
    StreamToken,
    /// The token exceeds this size in bytes.
    TooLong(usize),
    /// The token does not have the three parts of a JWT.
    NotAJwt,
    /// The header is not a JSON object, or has a member twice.
    Header,
    /// The header has a member that changes how the token is signed or parsed.
    HeaderMember(&'static str),
    /// The algorithm is not HS256.
    Algorithm,
    /// No secret of the service produced the signature.
    Signature,
    /// The claims are not a JSON object, or have a claim twice.
    Claims,
    /// A required claim is missing.
    Missing(&'static str),
    /// A claim has another type than expected.
    Type(&'static str, &'static str),
    /// A claim is not a valid identifier.
    Identifier(&'static str, IdentifierError),
    /// `sub` is reserved for the service.
    Reserved,
    /// A time is too large for seconds.
    Milliseconds(&'static str),
    /// `exp` is in the past.
    Expired,
    /// `nbf` or `iat` is in the future.
    NotYet(&'static str),
    /// The lifetime, counted from `iat` or from now, exceeds the maximum.
    LivesTooLong {
        /// The maximum in seconds.
        max: i64,
        /// Whether the token has `iat`.
        since_iat: bool,
    },
    /// `iss` or `aud` differs from the configuration.
    Mismatch(&'static str),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials => f.write_str(Self::NO_CREDENTIALS),
            Self::Scheme => f.write_str("the Authorization header must be `Bearer` and a token"),
            Self::Repeated(name) => write!(f, "{name} was sent more than once"),
            Self::Key(header) => write!(f, "{header} does not match"),
            Self::StreamToken => f.write_str("the event stream's token is invalid or has expired"),
            Self::TooLong(bytes) => write!(f, "the token is longer than {bytes} bytes"),
            Self::NotAJwt => {
                f.write_str("not a JWT: a token has three base64url parts separated by dots")
            }
            Self::Header => {
                f.write_str("the token's header is not a JSON object, or has a member twice")
            }
            Self::HeaderMember(name) => {
                write!(f, "the token's header must not have the member `{name}`")
            }
            Self::Algorithm => f.write_str("`alg` in the token's header must be HS256"),
            Self::Signature => f.write_str("the token's signature does not match"),
            Self::Claims => f.write_str("the claims are not a JSON object, or have a claim twice"),
            Self::Missing(claim) => write!(f, "`{claim}` is missing"),
            Self::Type(claim, expected) => write!(f, "`{claim}` must be {expected}"),
            Self::Identifier(claim, error) => write!(f, "`{claim}` {error}"),
            Self::Reserved => write!(f, "`sub` {}", UserIdError::Reserved),
            Self::Milliseconds(claim) => {
                write!(f, "`{claim}` must be in seconds since 1970, not in milliseconds")
            }
            Self::Expired => f.write_str("the token has expired (`exp` is in the past)"),
            Self::NotYet(claim) => write!(f, "`{claim}` is in the future"),
            Self::LivesTooLong { max, since_iat } => {
                let start = if *since_iat { "after `iat`" } else { "from now, without `iat`" };
                write!(f, "`exp` must be at most {max} seconds {start} (JWT_MAX_LIFE)")
            }
            Self::Mismatch(claim) => write!(f, "`{claim}` does not match"),
        }
    }
}

impl AuthError {
    /// The text of [`Self::NoCredentials`].
    pub(in crate::http) const NO_CREDENTIALS: &str =
        "missing credentials: send `Authorization: Bearer` and a token";

    /// Returns whether the request had credentials (RFC 6750, 3.1).
    pub(in crate::http) fn has_credentials(self) -> bool {
        self != Self::NoCredentials
    }

    /// Maps an error of `jsonwebtoken` after the checks of [`Claims`](super::claims::Claims) passed.
    pub(super) fn from_library(kind: &ErrorKind) -> Self {
        use ErrorKind as E;
        match kind {
            // The header is checked before and the claims are read after, so the signature is bad.
            E::InvalidSignature | E::Base64(_) => Self::Signature,
            E::InvalidAlgorithm => Self::Algorithm,
            E::ExpiredSignature => Self::Expired,
            E::ImmatureSignature => Self::NotYet("nbf"),
            E::InvalidIssuer => Self::Mismatch("iss"),
            E::InvalidAudience => Self::Mismatch("aud"),
            E::MissingRequiredClaim(claim) | E::InvalidClaimFormat(claim) => match claim.as_str() {
                "iss" => Self::Missing("iss"),
                "aud" => Self::Missing("aud"),
                "sub" => Self::Missing("sub"),
                "nbf" => Self::Type("nbf", "a number"),
                _ => Self::Missing("exp"),
            },
            // The signature matched, so any other kind is an error in the JSON of the claims.
            _ => Self::Claims,
        }
    }
}
