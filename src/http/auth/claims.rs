//! The claims of a token that mean something here, each checked so that a refusal can name it.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    http::auth::{Caller, SUPER_ADMIN, refusal::Refusal},
    ids::{UserId, UserIdError},
    text::check_optional_identifier,
};

/// How far the service's clock and the issuer's may differ, in seconds.
pub(super) const LEEWAY: u32 = 5;

/// The last time that is in seconds (in the year 5138); the milliseconds of today are beyond it.
const LAST_SECOND: f64 = 1e11;

/// Bytes of a plan's or a level's name in a token, which itself is bounded.
const WORD_BYTES: usize = 8 * 1024;

/// A whole set of claims. A claim that is null is missing.
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
}

impl Claims {
    /// Checks everything but the signature and the values of `iss` and `aud`, at `now` in seconds of the epoch.
    ///
    /// # Errors
    /// The first claim that breaks a rule.
    pub(super) fn check(&self, now: f64, max_life: u32) -> Result<Caller, Refusal> {
        let sub = text("sub", self.sub.as_ref())?.ok_or(Refusal::Missing("sub"))?;
        let user = UserId::parse(sub).map_err(|error| match error {
            UserIdError::Identifier(error) => Refusal::Identifier("sub", error),
            UserIdError::Reserved => Refusal::Reserved,
        })?;
        let expires = self.check_times(now, max_life)?;
        text("iss", self.iss.as_ref())?;
        let (plan, level) =
            (word("plan", self.plan.as_ref())?, word("level", self.level.as_ref())?);
        let is_admin = self.has_role(SUPER_ADMIN);
        #[expect(clippy::cast_possible_truncation, reason = "it was compared with the last second")]
        let until = DateTime::from_timestamp(expires as i64, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Ok(Caller { user, plan, level, is_admin, until })
    }

    /// When the token expires. Its life is counted from `iat`, or from `now` if it has none.
    fn check_times(&self, now: f64, max_life: u32) -> Result<f64, Refusal> {
        let leeway = f64::from(LEEWAY);
        let expires = seconds("exp", self.exp.as_ref())?.ok_or(Refusal::Missing("exp"))?;
        for (claim, value) in [("nbf", &self.nbf), ("iat", &self.iat)] {
            if seconds(claim, value.as_ref())?.is_some_and(|time| time > now + leeway) {
                return Err(Refusal::NotYet(claim));
            }
        }
        if expires + leeway < now {
            return Err(Refusal::Expired);
        }
        let issued = seconds("iat", self.iat.as_ref())?;
        let start = issued.unwrap_or(now + leeway);
        if expires - start > f64::from(max_life) {
            let since_iat = issued.is_some();
            return Err(Refusal::LivesTooLong { max: max_life.into(), since_iat });
        }
        Ok(expires)
    }

    /// The refusal for `aud`, which the library reports as missing when it is of another type.
    pub(super) fn audience(&self) -> Refusal {
        match self.aud {
            Some(_) => Refusal::Type("aud", "a string or a list of strings"),
            None => Refusal::Missing("aud"),
        }
    }

    /// `role` is one text and `roles` a list; any other shape grants nothing, and so does any other case
    /// or a longer name.
    fn has_role(&self, role: &str) -> bool {
        let listed = self.roles.as_array().is_some_and(|all| all.iter().any(|it| it == role));
        self.role == role || listed
    }
}

fn text<'a>(claim: &'static str, value: Option<&'a Value>) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    value.as_str().map(Some).ok_or(Refusal::Type(claim, "a string"))
}

/// The name of a plan or a level; a blank one names none.
fn word(claim: &'static str, value: Option<&Value>) -> Result<Option<String>, Refusal> {
    let Some(word) = text(claim, value)? else { return Ok(None) };
    check_optional_identifier(word, WORD_BYTES)
        .map_err(|error| Refusal::Identifier(claim, error))?;
    Ok(Some(word.to_owned()))
}

/// A time in seconds of the epoch, which may have a fraction (RFC 7519, 2).
fn seconds(claim: &'static str, value: Option<&Value>) -> Result<Option<f64>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    let time = value.as_f64().ok_or(Refusal::Type(claim, "a number"))?;
    if time < 0.0 {
        return Err(Refusal::Type(claim, "a positive number"));
    }
    if time > LAST_SECOND {
        return Err(Refusal::Milliseconds(claim));
    }
    Ok(Some(time))
}
