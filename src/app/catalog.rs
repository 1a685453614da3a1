//! The configured catalog, and the values and secrets that the environment provides for its keys.

use std::{fmt, fs};

use crate::{
    app::error::Error,
    config::{Config, Environment, Source},
    secret_scanner::SecretScanner,
    settings::{BRUN_E, Catalog, Kind},
    text,
};

/// Reads and checks the configured catalog.
///
/// # Errors
/// The file cannot be read or is not a valid catalog.
pub fn catalog(config: &Config) -> Result<Catalog, Error> {
    let Some(path) = &config.catalog else {
        return Catalog::parse(BRUN_E).map_err(|err| Error::Catalog(err.of_file("built in")));
    };
    let error =
        |err: &dyn fmt::Display| Error::Catalog(format!("BRUNE_CATALOG {}: {err}", path.display()));
    let bytes = fs::read(path).map_err(|err| error(&err))?;
    let text = text::decode(&bytes, usize::MAX).map_err(|err| error(&err))?;
    Catalog::parse(text).map_err(|err| Error::Catalog(err.of_file(&path.display().to_string())))
}

/// Creates the scanner that keeps secrets out of settings. It knows the secrets of this process.
#[must_use]
pub fn secret_scanner(
    config: &Config,
    catalog: &Catalog,
    environment: &Environment,
) -> SecretScanner {
    // Secrets that only the product uses are in this process's environment, too.
    let declared = catalog.schema.all().filter(|definition| definition.kind == Kind::Secret);
    let provided =
        declared.filter_map(|definition| Some(environment.secret(&definition.key).ok()??.0));
    SecretScanner::with_known_secrets(config.known_secrets().into_iter().chain(provided))
}

/// Returns the initial value of `key` from the environment or `.env` with its source, or the error in the value. A blank
/// value is none.
pub(super) fn initial_value(
    environment: &Environment,
    key: &str,
) -> Option<(Result<String, String>, &'static str)> {
    match environment.initial_value(key).transpose()? {
        Ok((text, Source::EnvFile)) => Some((Ok(text), ".env")),
        Ok((text, _)) => Some((Ok(text), "the environment")),
        Err(error) => Some((Err(error.detail()), "the environment or .env")),
    }
}
