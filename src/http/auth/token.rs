//! Tokens: JWTs signed with HS256 and a shared secret. The service chooses the algorithm, never the token; the header
//! cannot name a key (`jwk`, `jku`, `kid`, ...).

use std::{fmt, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto::aws_lc,
    dangerous::insecure_decode_claims, decode, encode, errors::ErrorKind, get_current_timestamp,
};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    config::{Auth, Secret},
    http::auth::{
        caller::Caller,
        claims::{Claims, LEEWAY},
        cookie::Cookie,
        error::AuthError,
        header,
    },
};

/// The longest accepted token, in bytes.
const TOKEN_BYTES: usize = 8 * 1024;

/// The capacity of the cache of verified tokens.
const CACHED_TOKENS: usize = 4_096;

/// The audience of a stream token. Without a subject, a stream token is not a valid user token.
const STREAM_AUDIENCE: &str = "brune:ofrep:events";

/// Verifies tokens and the internal key. Cheap to clone.
#[derive(Clone)]
pub struct TokenVerifier {
    inner: Arc<Inner>,
    cookie: Cookie,
}

struct Inner {
    decoding_keys: Vec<DecodingKey>,
    /// The newest secret, for signing.
    signing_key: Option<EncodingKey>,
    validation: Validation,
    internal_key: Option<Fingerprint>,
    /// The maximum lifetime of a token in seconds.
    max_life: u32,
    /// Verified tokens by the digest of their signature, so that a token is parsed once. Tokens cannot be revoked, so an
    /// entry is valid until the token expires.
    ///
    /// A token is its signed part and the signature, a MAC of 256 bits that only a holder of the secret can compute. An
    /// entry matches if both are equal: the signed part byte by byte, the signature by its SHA-256, so that the cache
    /// contains no usable token. A digest of the whole token would be no stronger, and takes several times as long.
    verified_tokens: Cache<[u8; 32], Arc<VerifiedToken>>,
}

/// A token that was verified, without its signature.
struct VerifiedToken {
    /// The token up to the signature. Not compared in constant time: only the signature is secret.
    signed_part: Box<str>,
    caller: Caller,
}

/// The claims of a [stream token](TokenVerifier::issue_stream_token).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamClaims {
    aud: String,
    exp: i64,
}

impl TokenVerifier {
    /// Creates a verifier for the secrets of `auth`. The configuration rejects secrets under 32 bytes.
    #[must_use]
    pub fn new(auth: &Auth) -> Self {
        // Two enabled crypto backends make the library panic at the first token unless a provider is installed. The
        // call fails only if a provider is installed already.
        let _ = aws_lc::DEFAULT_PROVIDER.install_default();
        let secrets = auth.jwt_secrets.iter().map(|secret| secret.expose().as_bytes());
        // An empty key would accept tokens that anybody signed.
        let secrets: Vec<&[u8]> = secrets.filter(|secret| !secret.is_empty()).collect();
        let inner = Inner {
            signing_key: secrets.iter().find_map(|secret| EncodingKey::from_secret(secret).ok()),
            decoding_keys: secrets
                .iter()
                .filter_map(|secret| DecodingKey::from_secret(secret).ok())
                .collect(),
            validation: validation(auth),
            internal_key: auth.internal_api_key.as_ref().map(Fingerprint::new),
            max_life: auth.max_life,
            verified_tokens: Cache::new(CACHED_TOKENS),
        };
        Self { inner: Arc::new(inner), cookie: Cookie::for_public_url(None) }
    }

    /// Sets the URL at which browsers reach the service.
    #[must_use]
    pub fn with_public_url(self, public_url: Option<&str>) -> Self {
        Self { cookie: Cookie::for_public_url(public_url), ..self }
    }

    /// Returns the cookie in which a browser stores a token.
    pub(in crate::http) fn cookie(&self) -> Cookie {
        self.cookie
    }

    /// Compares `key` with the internal key.
    pub(super) fn matches_internal_key(&self, key: &[u8]) -> bool {
        self.inner.internal_key.as_ref().is_some_and(|fingerprint| fingerprint.matches(key))
    }

    /// Verifies `token` and returns its subject.
    pub(super) fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        Ok(self.verified(token)?.caller.clone())
    }

    /// Verifies `token` and returns when the token expires, without copying the subject.
    pub(super) fn verify_expiry(&self, token: &str) -> Result<DateTime<Utc>, AuthError> {
        Ok(self.verified(token)?.caller.until)
    }

    /// Verifies `token`, or finds the token in the cache.
    fn verified(&self, token: &str) -> Result<Arc<VerifiedToken>, AuthError> {
        // Checked first, so a long text costs neither a digest nor a parse.
        if token.len() > TOKEN_BYTES {
            return Err(AuthError::TooLong(TOKEN_BYTES));
        }
        let (signed_part, signature) = token.rsplit_once('.').ok_or(AuthError::NotAJwt)?;
        let digest = Sha256::digest(signature).into();
        let is_same = |cached: &Arc<VerifiedToken>| *cached.signed_part == *signed_part;
        let cached = self.inner.verified_tokens.get(&digest).filter(is_same);
        if let Some(verified) = cached.filter(|verified| is_unexpired(&verified.caller)) {
            return Ok(verified);
        }
        let caller = self.verify_uncached(token)?;
        let verified = Arc::new(VerifiedToken { signed_part: signed_part.into(), caller });
        // Only valid tokens are cached: invalid texts could evict every entry.
        self.inner.verified_tokens.insert(digest, Arc::clone(&verified));
        Ok(verified)
    }

    fn verify_uncached(&self, token: &str) -> Result<Caller, AuthError> {
        header::check(token)?;
        let claims = self.decode(token)?;
        if !header::has_object_claims(token) {
            return Err(AuthError::Claims);
        }
        claims.check(now(), self.inner.max_life)
    }

    /// Issues a token that authorizes only the stream of refetch events, until `expires` in seconds since 1970.
    /// Returns `None` without a secret.
    pub(in crate::http) fn issue_stream_token(&self, expires: i64) -> Option<String> {
        let claims = StreamClaims { aud: STREAM_AUDIENCE.to_owned(), exp: expires };
        let key = self.inner.signing_key.as_ref()?;
        encode(&Header::new(Algorithm::HS256), &claims, key).ok()
    }

    /// Verifies a stream token and returns when the token expires.
    pub(in crate::http) fn verify_stream_token(&self, token: &str) -> Option<DateTime<Utc>> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY.into();
        // A user token has no such audience, so it cannot open the stream.
        validation.set_audience(&[STREAM_AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        let keys = &self.inner.decoding_keys;
        let data = keys.iter().find_map(|key| decode::<StreamClaims>(token, key, &validation).ok());
        DateTime::from_timestamp(data?.claims.exp, 0)
    }

    /// Returns the claims if a secret matches the signature and the library accepts the claims.
    fn decode(&self, token: &str) -> Result<Claims, AuthError> {
        for key in &self.inner.decoding_keys {
            let error = match decode::<Claims>(token, key, &self.inner.validation) {
                Ok(data) => return Ok(data.claims),
                Err(err) => AuthError::from_library(err.kind()),
            };
            // During a rotation, a wrong signature means only that another secret signed the token.
            if error != AuthError::Signature {
                return Err(self.name_claim(token, error));
            }
        }
        Err(AuthError::Signature)
    }

    /// Returns the error of the invalid claim, or `general` if the checks here pass.
    fn name_claim(&self, token: &str, general: AuthError) -> AuthError {
        if !header::has_object_claims(token) {
            return AuthError::Claims;
        }
        // The library verifies the signature before any claim, so the claims are authentic.
        let Ok(claims) = insecure_decode_claims::<Claims>(token) else { return AuthError::Claims };
        match claims.check(now(), self.inner.max_life) {
            Err(error) => error,
            Ok(_) if general == AuthError::Missing("aud") => claims.audience(),
            Ok(_) => general,
        }
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenVerifier(***)")
    }
}

/// The digest of a key.
#[derive(Clone)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn new(secret: &Secret) -> Self {
        Self(Sha256::digest(secret.expose()).into())
    }

    /// Compares in constant time.
    fn matches(&self, key: &[u8]) -> bool {
        // Digests have the same length, so the comparison does not reveal the length of the key.
        self.0.ct_eq(&<[u8; 32]>::from(Sha256::digest(key))).into()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Returns the time in seconds since 1970.
fn now() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a float holds every second of the epoch")]
    let now = get_current_timestamp() as f64;
    now
}

/// Returns whether the verified token of `caller` has not expired since.
fn is_unexpired(caller: &Caller) -> bool {
    let now = i64::try_from(get_current_timestamp()).unwrap_or(i64::MAX);
    now <= caller.until.timestamp()
}

/// Configures the library.
fn validation(auth: &Auth) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    let mut required = vec!["exp", "sub"];
    // By default, the library tolerates a minute after `exp` and ignores `nbf`.
    validation.leeway = LEEWAY.into();
    validation.validate_nbf = true;
    // Without a configured audience, the library would refuse every token with `aud`.
    validation.validate_aud = auth.audience.is_some();
    // The library checks `iss` and `aud` only if present, so both are required as well.
    if let Some(issuer) = &auth.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    if let Some(audience) = &auth.audience {
        validation.set_audience(&[audience]);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    validation
}

/// The claims of a new token.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Grant {
    /// The subject.
    pub sub: String,
    /// The role, such as [`SUPER_ADMIN`](super::SUPER_ADMIN).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The user's plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The user's level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

/// Issues a token that a [`TokenVerifier`] of `auth` accepts from `now` until `life` later; for development and tests.
///
/// # Errors
/// `auth` has no secret.
pub fn issue(
    auth: &Auth,
    grant: &Grant,
    now: DateTime<Utc>,
    life: TimeDelta,
) -> Result<String, jsonwebtoken::errors::Error> {
    #[derive(Serialize)]
    struct SignedClaims<'a> {
        #[serde(flatten)]
        grant: &'a Grant,
        iat: i64,
        exp: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        iss: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        aud: Option<&'a str>,
    }

    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
    let secret = auth.jwt_secrets.first().ok_or(ErrorKind::InvalidKeyFormat)?;
    let claims = SignedClaims {
        grant,
        iat: now.timestamp(),
        exp: (now + life).timestamp(),
        iss: auth.issuer.as_deref(),
        aud: auth.audience.as_deref(),
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes())?;
    encode(&Header::new(Algorithm::HS256), &claims, &key)
}
