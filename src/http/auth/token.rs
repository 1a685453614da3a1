//! Tokens: JWTs signed with HS256 and a secret of ours. The service chooses the algorithm, never the
//! token; what the token's header says of keys (`jwk`, `jku`, `kid`, ...) is not looked at.

use std::{fmt, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation, crypto::aws_lc, decode,
    decode_header, encode, errors::ErrorKind, get_current_timestamp,
};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    config::Auth,
    http::auth::{Caller, Fingerprint, cookie::Cookie},
    ids::UserId,
    text::forbidden,
};

/// The role that may read and change settings.
pub const SUPER_ADMIN: &str = "SUPER_ADMIN";

/// Bytes of a token that are looked at.
const TOKEN_BYTES: usize = 8 * 1024;

/// How far our clock and the issuer's may differ, in seconds.
const LEEWAY: u64 = 5;

/// How long a token may live that says when it was made.
const MAX_LIFE: TimeDelta = TimeDelta::hours(12);

/// How many tokens are remembered that were found sound.
const REMEMBERED: usize = 4_096;

/// Whom a [`pass`](Keys::pass) is for. It names no subject, so that it is never a token.
const PASS: &str = "brune:ofrep:events";

/// What credentials are checked against.
#[derive(Clone)]
pub struct Keys {
    inner: Arc<Inner>,
    cookie: Cookie,
}

struct Inner {
    secrets: Vec<DecodingKey>,
    /// The newest secret, to sign with.
    signing: Option<EncodingKey>,
    validation: Validation,
    internal: Option<Fingerprint>,
    max_life: TimeDelta,
    sound: Sound,
}

/// Tokens that were found sound, by their digests: whoever sends one with every request has it read once. A token
/// cannot be called back before it expires, so nothing but time can end what was found.
type Sound = Cache<[u8; 32], Caller>;

/// Why a token was refused; for tests only, since callers always get the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    TooLong,
    Unreadable,
    Critical,
    Algorithm,
    Signature,
    Expired,
    NotYet,
    LivesTooLong,
    Issuer,
    Audience,
    Claims,
    Subject,
}

/// The claims that mean something here. `iss` is a text or the token is refused.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    iat: Option<f64>,
    #[serde(rename = "iss")]
    _iss: Option<String>,
    #[serde(default)]
    role: Value,
    #[serde(default)]
    roles: Value,
    plan: Option<String>,
    level: Option<String>,
}

/// The claims of a [`pass`](Keys::pass).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pass {
    aud: String,
    exp: i64,
}

impl Keys {
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
            max_life: MAX_LIFE,
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

    /// The same, with another bound on the life of a token that says when it was made.
    #[must_use]
    pub fn with_max_life(self, max_life: TimeDelta) -> Self {
        let Inner { secrets, signing, validation, internal, .. } = &*self.inner;
        let (secrets, validation) = (secrets.clone(), validation.clone());
        let (signing, internal) = (signing.clone(), internal.clone());
        let sound = Sound::new(REMEMBERED);
        let inner = Inner { secrets, signing, validation, internal, max_life, sound };
        Self { inner: Arc::new(inner), ..self }
    }

    pub(super) fn knows_internal(&self, sent: &[u8]) -> bool {
        self.inner.internal.as_ref().is_some_and(|it| it.matches(sent))
    }

    pub(super) fn verify(&self, token: &str) -> Result<Caller, Refusal> {
        if TOKEN_BYTES < token.len() {
            return Err(Refusal::TooLong);
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
        // Why it was refused is asked for afterwards: the header of one that is sound is read once.
        let TokenData { header, claims } =
            self.decoded(token).map_err(|refusal| of_its_header(token).unwrap_or(refusal))?;
        refuse_extensions(&header)?;
        self.check_life(&claims)?;
        let user = UserId::parse(&claims.sub).ok_or(Refusal::Subject)?;
        // They are stored with the session, and Postgres takes no NUL.
        let mut words = claims.plan.iter().chain(&claims.level);
        if words.any(|word| word.chars().any(|c| forbidden(c).is_some())) {
            return Err(Refusal::Claims);
        }
        let is_admin = claims.has_role(SUPER_ADMIN);
        #[expect(clippy::cast_possible_truncation, reason = "it saturates, and then never expires")]
        let until =
            DateTime::from_timestamp(claims.exp as i64, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Ok(Caller { user, plan: claims.plan, level: claims.level, is_admin, until })
    }

    /// What opens the stream of refetch events until `expires`, in seconds of the epoch, and nothing else.
    pub(in crate::http) fn pass(&self, expires: i64) -> Option<String> {
        let claims = Pass { aud: PASS.to_owned(), exp: expires };
        encode(&Header::new(Algorithm::HS256), &claims, self.inner.signing.as_ref()?).ok()
    }

    /// Until when `pass` is good, if it is.
    pub(in crate::http) fn admits(&self, pass: &str) -> Option<DateTime<Utc>> {
        if TOKEN_BYTES < pass.len() {
            return None;
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.set_audience(&[PASS]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        let mut read =
            self.inner.secrets.iter().filter_map(|it| decode::<Pass>(pass, it, &validation).ok());
        DateTime::from_timestamp(read.next()?.claims.exp, 0)
    }

    /// Header and claims, if any of the secrets signed them.
    fn decoded(&self, token: &str) -> Result<TokenData<Claims>, Refusal> {
        let mut refusal = Refusal::Signature;
        for secret in &self.inner.secrets {
            match decode::<Claims>(token, secret, &self.inner.validation) {
                Ok(data) => return Ok(data),
                Err(err) => refusal = Refusal::from(err.kind()),
            }
            if refusal != Refusal::Signature {
                break;
            }
        }
        Err(refusal)
    }

    /// What the library does not check of a token that says when it was made.
    fn check_life(&self, claims: &Claims) -> Result<(), Refusal> {
        let Some(iat) = claims.iat else { return Ok(()) };
        #[expect(clippy::cast_precision_loss, reason = "a float holds every second of the epoch")]
        let (latest, life) =
            ((get_current_timestamp() + LEEWAY) as f64, self.inner.max_life.num_seconds() as f64);
        if latest < iat {
            return Err(Refusal::NotYet);
        }
        if life < claims.exp - iat { Err(Refusal::LivesTooLong) } else { Ok(()) }
    }
}

/// Whether the token of `caller`, which was sound once, has not expired since.
fn is_alive(caller: &Caller) -> bool {
    let now = i64::try_from(get_current_timestamp()).unwrap_or(i64::MAX);
    now <= caller.until.timestamp()
}

/// What is wrong with the header by itself, whatever else is wrong with the token.
fn of_its_header(token: &str) -> Option<Refusal> {
    match decode_header(token) {
        Ok(header) => refuse_extensions(&header).err(),
        Err(_) => Some(Refusal::Unreadable),
    }
}

/// `crit` names extensions that a reader has to understand (RFC 7515, 4.1.11), and we know none.
fn refuse_extensions(header: &Header) -> Result<(), Refusal> {
    if header.crit.is_some() { Err(Refusal::Critical) } else { Ok(()) }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(***)")
    }
}

impl Claims {
    /// `role` is one text and `roles` a list; any other shape grants nothing, and so does any other case
    /// or a longer name.
    fn has_role(&self, role: &str) -> bool {
        let listed = self.roles.as_array().is_some_and(|all| all.iter().any(|it| it == role));
        self.role == role || listed
    }
}

impl From<&ErrorKind> for Refusal {
    fn from(kind: &ErrorKind) -> Self {
        use ErrorKind as E;
        match kind {
            E::InvalidSignature => Self::Signature,
            E::InvalidAlgorithm => Self::Algorithm,
            E::ExpiredSignature => Self::Expired,
            E::ImmatureSignature => Self::NotYet,
            E::InvalidIssuer => Self::Issuer,
            E::InvalidAudience => Self::Audience,
            _ => Self::Claims,
        }
    }
}

/// The library's defaults take tokens without `iss` and `aud` even where these are checked, and grant a
/// minute after `exp`; every line here closes one of these gaps.
fn validation(auth: &Auth) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    let mut required = vec!["exp", "sub"];
    validation.leeway = LEEWAY;
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
