//! The claims of a token, each checked so that an error can name the claim.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    http::auth::{
        caller::{Caller, SUPER_ADMIN},
        error::AuthError,
    },
    ids::{UserId, UserIdError},
    text::check_optional_identifier,
};

/// The tolerated difference of the service's and the issuer's clocks, in seconds.
pub(super) const LEEWAY: u32 = 5;

/// The largest time in seconds (in the year 5138). Times in milliseconds are larger.
const LAST_SECOND: f64 = 1e11;

/// The longest name of a plan or level, in bytes.
const NAME_BYTES: usize = 8 * 1024;

/// The supported claims. A null claim counts as missing.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    sub: Option<Value>,
    #[serde(default)]
    exp: Option<Value>,
    #[serde(default)]
    iat: Option<Value>,
    #[serde(default)]
    nbf: Option<Value>,
    #[serde(default)]
    iss: Option<Value>,
    #[serde(default)]
    aud: Option<Value>,
    #[serde(default)]
    role: Value,
    #[serde(default)]
    roles: Value,
    #[serde(default)]
    plan: Option<Value>,
    #[serde(default)]
    level: Option<Value>,
    #[serde(default)]
    act: Option<Value>,
}

impl Claims {
    /// Checks all claims except the values of `iss` and `aud`, at `now` in seconds since 1970.
    ///
    /// # Errors
    /// The first invalid claim.
    pub(super) fn check(&self, now: f64, max_life: u32) -> Result<Caller, AuthError> {
        let sub = text("sub", self.sub.as_ref())?.ok_or(AuthError::Missing("sub"))?;
        let user = UserId::parse(sub).map_err(|error| match error {
            UserIdError::Identifier(error) => AuthError::Identifier("sub", error),
            UserIdError::Reserved => AuthError::Reserved,
        })?;
        let expires = self.check_times(now, max_life)?;
        // RFC 7519, 4.1.1 requires a string, but the library would accept a list as well.
        text("iss", self.iss.as_ref())?;
        let plan = name("plan", self.plan.as_ref())?;
        let level = name("level", self.level.as_ref())?;
        let is_admin = self.has_role(SUPER_ADMIN);
        // Truncated, not rounded: a cached caller must not outlive the token.
        #[expect(clippy::cast_possible_truncation, reason = "`seconds` has checked the range")]
        let until = DateTime::from_timestamp(expires as i64, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        // A malformed claim counts too: only a token without the claim is certainly the user's own.
        let is_delegated = self.act.is_some();
        Ok(Caller { user, plan, level, is_admin, is_delegated, until })
    }

    /// Returns when the token expires. The lifetime starts at `iat`, or at `now` without `iat`.
    fn check_times(&self, now: f64, max_life: u32) -> Result<f64, AuthError> {
        let leeway = f64::from(LEEWAY);
        let expires = seconds("exp", self.exp.as_ref())?.ok_or(AuthError::Missing("exp"))?;
        // The lifetime counts from `iat`, so a future `iat` would extend the lifetime.
        for (claim, value) in [("nbf", &self.nbf), ("iat", &self.iat)] {
            if seconds(claim, value.as_ref())?.is_some_and(|time| time > now + leeway) {
                return Err(AuthError::NotYet(claim));
            }
        }
        if expires + leeway < now {
            return Err(AuthError::Expired);
        }
        let issued = seconds("iat", self.iat.as_ref())?;
        // Without `iat`, the token may have been issued just now, by a clock that is ahead.
        let start = issued.unwrap_or(now + leeway);
        if expires - start > f64::from(max_life) {
            let since_iat = issued.is_some();
            return Err(AuthError::LivesTooLong { max: max_life.into(), since_iat });
        }
        Ok(expires)
    }

    /// Returns the error for `aud`: the library reports a claim of another type as missing.
    pub(super) fn audience(&self) -> AuthError {
        match self.aud {
            Some(_) => AuthError::Type("aud", "a string or a list of strings"),
            None => AuthError::Missing("aud"),
        }
    }

    /// Compares `role`, a string, and `roles`, a list of strings.
    fn has_role(&self, role: &str) -> bool {
        // Exactly: a prefix, another case or another type must not grant the role.
        let listed = self.roles.as_array().is_some_and(|all| all.iter().any(|name| name == role));
        self.role == role || listed
    }
}

fn text<'a>(claim: &'static str, value: Option<&'a Value>) -> Result<Option<&'a str>, AuthError> {
    let Some(value) = value else { return Ok(None) };
    value.as_str().map(Some).ok_or(AuthError::Type(claim, "a string"))
}

/// Returns the name of a plan or level; a blank name counts as absent.
fn name(claim: &'static str, value: Option<&Value>) -> Result<Option<String>, AuthError> {
    let Some(name) = text(claim, value)? else { return Ok(None) };
    check_optional_identifier(name, NAME_BYTES)
        .map_err(|error| AuthError::Identifier(claim, error))?;
    Ok(Some(name.to_owned()))
}

/// Returns a time in seconds since 1970, with an optional fraction (RFC 7519, 2).
fn seconds(claim: &'static str, value: Option<&Value>) -> Result<Option<f64>, AuthError> {
    let Some(value) = value else { return Ok(None) };
    let time = value.as_f64().ok_or(AuthError::Type(claim, "a number"))?;
    if time < 0.0 {
        return Err(AuthError::Type(claim, "a positive number"));
    }
    // JavaScript counts in milliseconds, so this mistake gets an error of its own.
    if time > LAST_SECOND {
        return Err(AuthError::Milliseconds(claim));
    }
    Ok(Some(time))
}
