//! Keys and rules for tokens.

use std::path::PathBuf;

use chrono::TimeDelta;
use validator::Validate;

use super::{
    ConfigError, ConfigErrors, Environment, Mode, Secret, development, directories, reader::Reader,
};

/// Authentication: accepted issuers and keys.
#[derive(Debug, Clone, Validate)]
pub struct Auth {
    /// The signing secrets of tokens (`JWT_SECRET`, one per line), newest first. Empty only in development, until
    /// [`Config::with_development_secret`](super::Config::with_development_secret).
    pub jwt_secrets: Vec<Secret>,
    /// The required `iss` of tokens (`JWT_ISSUER`).
    pub issuer: Option<String>,
    /// The required `aud` of tokens (`JWT_AUDIENCE`).
    pub audience: Option<String>,
    /// The key of trusted services (`INTERNAL_API_KEY`).
    pub internal_api_key: Option<Secret>,
    /// The longest life of a token in seconds (`JWT_MAX_LIFE`).
    // At least a minute, so that clocks may differ; at most a week, because no token can be revoked.
    #[validate(range(min = 60, max = 604_800, code = "JWT_MAX_LIFE"))]
    pub max_life: u32,
}

impl Auth {
    /// The default of `JWT_MAX_LIFE`: 12 hours in seconds.
    pub const DEFAULT_MAX_LIFE: u32 = 12 * 60 * 60;

    /// Returns `life`, at most [`Self::max_life`].
    #[must_use]
    pub fn cap_life(&self, life: TimeDelta) -> TimeDelta {
        life.min(TimeDelta::seconds(self.max_life.into()))
    }

    /// Reads the authentication settings, without the rest of the configuration. Outside production the development
    /// secret is the default.
    ///
    /// # Errors
    /// Every invalid or missing variable.
    pub fn load(environment: &Environment) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(environment);
        let mode = Mode::read(&mut reader);
        let auth = Self::read(&mut reader);
        auth.require_in(mode, &mut reader);
        // Errors of the configuration come before a file is created.
        let auth = reader.finish(Some(auth))?;
        auth.with_development_secret(mode, directories::data_dir(environment))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let auth = Self {
            jwt_secrets: reader.rotating_secrets("JWT_SECRET", 32),
            issuer: reader.text("JWT_ISSUER"),
            audience: reader.text("JWT_AUDIENCE"),
            internal_api_key: reader.header_secret("INTERNAL_API_KEY", 16),
            max_life: reader.number("JWT_MAX_LIFE", Self::DEFAULT_MAX_LIFE),
        };
        reader.validate(&auth);
        auth
    }

    /// Reports a missing signing secret in production.
    pub(super) fn require_in(&self, mode: Mode, reader: &mut Reader<'_>) {
        if mode == Mode::Production && self.jwt_secrets.is_empty() {
            let fix = "set it to at least 32 bytes, such as the output of `openssl rand -hex 32`";
            reader.reject_missing("JWT_SECRET", fix);
        }
    }

    pub(super) fn with_development_secret(
        mut self,
        mode: Mode,
        dir: Result<PathBuf, ConfigError>,
    ) -> Result<Self, ConfigErrors> {
        if mode != Mode::Production && self.jwt_secrets.is_empty() {
            self.jwt_secrets.push(development::jwt_secret(&dir?)?);
        }
        Ok(self)
    }
}
