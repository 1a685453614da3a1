//! Tokens: JWTs signed with HS256 and a secret of ours. The service chooses the algorithm, never the
//! token; what the token's header says of keys (`jwk`, `jku`, `kid`, ...) is not looked at.

use std::{fmt, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto::aws_lc,
    dangerous::insecure_decode_claims, decode, encode, errors::ErrorKind, get_current_timestamp,
};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    config::Auth,
    http::auth::{
        Caller, Fingerprint,
        claims::{Claims, LEEWAY},
        cookie::Cookie,
        header,
        refusal::Refusal,
    },
};

/// The role that may read and change settings.
pub const SUPER_ADMIN: &str = "SUPER_ADMIN";

/// Bytes of a token that are looked at.
const TOKEN_BYTES: usize = 8 * 1024;

/// How many tokens are remembered that were found sound.
const REMEMBERED: usize = 4_096;

/// Whom a [`pass`](Keys::pass) is for. It names no subject, so that it is never a token.
const PASS: &str = "brune:ofrep:events";

/// What credentials are checked against.
#[derive(Clone)]
pub struct TokenVerifier {
    inner: Arc<Inner>,
    cookie: Cookie,
}

struct Inner {
    secrets: Vec<DecodingKey>,
    /// The newest secret, to sign with.
    signing: Option<EncodingKey>,
    validation: Validation,
    internal: Option<Fingerprint>,
    /// Most seconds that a token may live.
    max_life: u32,
    sound: Sound,
}

/// Tokens that were found sound, by their digests: whoever sends one with every request has it read once. A token
/// cannot be called back before it expires, so nothing but time can end what was found.
type Sound = Cache<[u8; 32], Caller>;

/// The claims of a [`pass`](Keys::pass).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pass {
    aud: String,
    exp: i64,
}

impl TokenVerifier {
    /// Those that `auth` names. Secrets of fewer than 32 bytes are refused by the configuration.
    #[must_use]
    pub fn new(auth: &Auth) -> Self {
        // Another crate could switch on a second backend, and the library would panic at the first token.
        // It is an error only if one was chosen before, which is as good.
        let _ = aws_lc::DEFAULT_PROVIDER.install_default();
        let keys = auth.jwt_secrets.iter().filter(|it| !it.expose().is_empty());
        let mut signing =
            keys.clone().filter_map(|it| EncodingKey::from_secret(it.expose().as_bytes()).ok());
        let inner = Inner {
            signing: signing.next(),
            secrets: keys
                .filter_map(|it| DecodingKey::from_secret(it.expose().as_bytes()).ok())
                .collect(),
            validation: validation(auth),
            internal: auth.internal_api_key.as_ref().map(Fingerprint::of),
            max_life: auth.max_life,
            sound: Sound::new(REMEMBERED),
        };
        Self { inner: Arc::new(inner), cookie: Cookie::at(None) }
    }

    /// The same, for a service that browsers reach at `public_url`.
    #[must_use]
    pub fn reached_at(self, public_url: Option<&str>) -> Self {
        Self { cookie: Cookie::at(public_url), ..self }
    }

    /// Where a browser keeps a token.
    pub(in crate::http) fn cookie(&self) -> Cookie {
        self.cookie
    }

    pub(super) fn knows_internal(&self, sent: &[u8]) -> bool {
        self.inner.internal.as_ref().is_some_and(|it| it.matches(sent))
    }

    pub(super) fn verify(&self, token: &str) -> Result<Caller, Refusal> {
        if token.len() > TOKEN_BYTES {
            return Err(Refusal::TooLong(TOKEN_BYTES));
        }
        let digest = Sha256::digest(token).into();
        if let Some(known) = self.inner.sound.get(&digest).filter(is_alive) {
            return Ok(known);
        }
        let caller = self.read(token)?;
        self.inner.sound.insert(digest, caller.clone());
        Ok(caller)
    }

    fn read(&self, token: &str) -> Result<Caller, Refusal> {
        header::check(token)?;
        let claims = self.decoded(token)?;
        if !header::has_object(token) {
            return Err(Refusal::Claims);
        }
        claims.check(now(), self.inner.max_life)
    }

    /// What opens the stream of refetch events until `expires`, in seconds of the epoch, and nothing else.
    pub(in crate::http) fn pass(&self, expires: i64) -> Option<String> {
        let claims = Pass { aud: PASS.to_owned(), exp: expires };
        encode(&Header::new(Algorithm::HS256), &claims, self.inner.signing.as_ref()?).ok()
    }

    /// Until when `pass` is good, if it is.
    pub(in crate::http) fn admits(&self, pass: &str) -> Option<DateTime<Utc>> {
        if pass.len() > TOKEN_BYTES {
            return None;
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY.into();
        validation.set_audience(&[PASS]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        let mut read =
            self.inner.secrets.iter().filter_map(|it| decode::<Pass>(pass, it, &validation).ok());
        DateTime::from_timestamp(read.next()?.claims.exp, 0)
    }

    /// The claims, if any of the secrets signed them and the library accepts them.
    fn decoded(&self, token: &str) -> Result<Claims, Refusal> {
        let mut refusal = Refusal::Signature;
        for secret in &self.inner.secrets {
            match decode::<Claims>(token, secret, &self.inner.validation) {
                Ok(data) => return Ok(data.claims),
                Err(err) => refusal = Refusal::of_library(err.kind()),
            }
            if refusal != Refusal::Signature {
                return Err(self.named(token, refusal));
            }
        }
        Err(refusal)
    }

    /// The claim that a token breaks a rule with; `general` if our own checks find nothing. The signature has been
    /// verified, since the library reads no claim before.
    fn named(&self, token: &str, general: Refusal) -> Refusal {
        if !header::has_object(token) {
            return Refusal::Claims;
        }
        let Ok(claims) = insecure_decode_claims::<Claims>(token) else { return Refusal::Claims };
        match claims.check(now(), self.inner.max_life) {
            Err(refusal) => refusal,
            Ok(_) if general == Refusal::Missing("aud") => claims.audience(),
            Ok(_) => general,
        }
    }
}

/// The time in seconds of the epoch.
fn now() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a float holds every second of the epoch")]
    let now = get_current_timestamp() as f64;
    now
}

/// Whether the token of `caller`, which was sound once, has not expired since.
fn is_alive(caller: &Caller) -> bool {
    let now = i64::try_from(get_current_timestamp()).unwrap_or(i64::MAX);
    now <= caller.until.timestamp()
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(***)")
    }
}

/// The library's defaults take tokens without `iss` and `aud` even where these are checked, and grant a
/// minute after `exp`; every line here closes one of these gaps.
fn validation(auth: &Auth) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    let mut required = vec!["exp", "sub"];
    validation.leeway = LEEWAY.into();
    validation.validate_nbf = true;
    validation.validate_aud = auth.audience.is_some();
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

/// What a new token says of its bearer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Grant {
    /// Who it is for.
    pub sub: String,
    /// The role, such as [`SUPER_ADMIN`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The user's plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The user's level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

/// A token that [`Keys`] of the same `auth` take from `now` until `life` later; for development and
/// tests. An error if there is no secret to sign with.
pub fn issue(
    auth: &Auth,
    grant: &Grant,
    now: DateTime<Utc>,
    life: TimeDelta,
) -> Result<String, jsonwebtoken::errors::Error> {
    #[derive(Serialize)]
    struct Signed<'a> {
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
    let claims = Signed {
        grant,
        iat: now.timestamp(),
        exp: (now + life).timestamp(),
        iss: auth.issuer.as_deref(),
        aud: auth.audience.as_deref(),
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes())?;
    encode(&Header::new(Algorithm::HS256), &claims, &key)
}
