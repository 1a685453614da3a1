//! The only reader of the environment: variables, the `.env` file of the working directory, and secret files.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    ConfigError, Secret, dotenv,
    file::{self, FileError},
};
use crate::text;

/// The directory where container engines mount secrets.
const RUN_SECRETS: &str = "/run/secrets";

/// Secrets that open the database, so the database cannot provide them.
const DATABASE_SECRETS: [&str; 4] =
    ["DATABASE_URL", "DATABASE_DIRECT_URL", "DATABASE_MIGRATE_URL", "POSTGRES_PASSWORD"];

/// The file of variables in the working directory.
const DOTENV: &str = ".env";

/// The most bytes of a secret file; a longer file is not a secret.
const MAX_SECRET_BYTES: usize = 64 * 1024;

/// The variables that hold paths, which may be any bytes.
const PATHS: [&str; 3] = ["BRUNE_DATA_DIR", "BRUNE_CATALOG", "BRUNE_PG_BIN_DIR"];

const FIX_UTF8: &str = "set it again, or unset it";

/// The source of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A variable of the process.
    Env,
    /// A line of the `.env` file.
    EnvFile,
    /// The file named by `X_FILE`.
    File,
    /// A file in `$CREDENTIALS_DIRECTORY` or `/run/secrets`.
    Credential,
    /// A row that an older release left in the database.
    LegacyDb,
    /// The default.
    Default,
}

impl Source {
    /// Returns the name in API responses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::EnvFile => "env_file",
            Self::File => "file",
            Self::Credential => "credential",
            Self::LegacyDb => "legacy_db",
            Self::Default => "default",
        }
    }
}

/// The variables of the process and of `.env`, and the directories of secrets.
///
/// `Debug` prints names only.
#[derive(Clone, Default)]
pub struct Environment {
    process: BTreeMap<OsString, OsString>,
    dotenv: BTreeMap<String, String>,
    dotenv_errors: Vec<ConfigError>,
    secrets_dir: Option<PathBuf>,
    legacy: BTreeMap<String, Secret>,
    is_root: bool,
}

impl Environment {
    /// Reads the environment of this process. `Config::load` reports the errors of the `.env` file with all others.
    #[must_use]
    pub fn from_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the only reader of the environment")]
        let process = std::env::vars_os().collect();
        let environment = Self {
            process,
            // A directory without access belongs to another program.
            secrets_dir: Some(PathBuf::from(RUN_SECRETS)).filter(|dir| dir.join(".").is_dir()),
            is_root: rustix::process::geteuid().is_root(),
            ..Self::default()
        };
        environment.with_dotenv_file(Path::new(DOTENV))
    }

    fn with_dotenv_file(self, path: &Path) -> Self {
        match file::text(path, text::DOCUMENT_BYTES) {
            Ok(text) => self.with_dotenv(&text),
            Err(FileError::Io(err)) if err.kind() == io::ErrorKind::NotFound => self,
            Err(error) => {
                let error = ConfigError::new(DOTENV, error.to_string(), "fix it or move it away");
                Self { dotenv_errors: vec![error], ..self }
            }
        }
    }

    /// Creates an environment of `pairs` only, for tests: no `.env`, no secret files, not root.
    #[must_use]
    pub fn from_pairs<K: Into<OsString>, V: Into<OsString>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let process = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { process, ..Self::default() }
    }

    /// Adds `text` as the `.env` file.
    #[must_use]
    pub fn with_dotenv(mut self, text: &str) -> Self {
        match dotenv::parse(text) {
            Ok(entries) => {
                self.dotenv = entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
            }
            Err(errors) => {
                let errors = errors.into_iter().map(|error| {
                    let place = format!("{DOTENV} {}", error.place());
                    ConfigError::new(place, error.reason.to_string(), "or remove the line")
                });
                self.dotenv_errors = errors.collect();
            }
        }
        self
    }

    /// Adds the secrets that an older release left in the database, as the last source of secrets.
    #[must_use]
    pub fn with_legacy(mut self, rows: impl IntoIterator<Item = (String, Secret)>) -> Self {
        let rows = rows.into_iter();
        // A secret that opens the database would be known only after opening.
        self.legacy = rows.filter(|(name, _)| !DATABASE_SECRETS.contains(&name.as_str())).collect();
        self
    }

    /// Returns the unchecked text of `key` from the process or `.env`, never from a file. `None` if unset or not UTF-8.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<(String, Source)> {
        match self.process.get(OsStr::new(key)) {
            Some(value) => Some((value.to_str()?.to_owned(), Source::Env)),
            None => Some((self.dotenv.get(key)?.clone(), Source::EnvFile)),
        }
    }

    /// Returns the initial value of the setting `key` from the process or `.env`, unless blank.
    ///
    /// # Errors
    /// The value is not UTF-8, has a forbidden character, or is enclosed in quotes.
    pub fn initial_value(&self, key: &str) -> Result<Option<(String, Source)>, ConfigError> {
        let Some((text, source)) = self.value_of(key)? else { return Ok(None) };
        check_one_line(key, &text)?;
        Ok(Some((text, source)).filter(|(text, _)| !text.trim().is_empty()))
    }

    /// Returns the secret `name` from the first of `name`, `name_FILE`, `$CREDENTIALS_DIRECTORY/name`,
    /// `/run/secrets/name`, and the database of an older release.
    ///
    /// # Errors
    /// `name` and `name_FILE` are both set, or the source holds no valid secret.
    pub fn secret(&self, name: &str) -> Result<Option<(Secret, Source)>, ConfigError> {
        let file_variable = format!("{name}_FILE");
        match (self.value_of(name)?, self.path(&file_variable)) {
            (Some(_), Some(_)) => {
                let problem = format!("both {name} and {file_variable} are set");
                Err(ConfigError::new(name, problem, "unset one of the two"))
            }
            (Some((text, source)), None) => Ok(Some((parse_secret(name, &text)?, source))),
            (None, Some(path)) => {
                check_path(&file_variable, &path)?;
                let secret = secret_in(&file_variable, &path).map_err(|(_, error)| error)?;
                Ok(Some((secret, Source::File)))
            }
            (None, None) => self.credential(name),
        }
    }

    fn credential(&self, name: &str) -> Result<Option<(Secret, Source)>, ConfigError> {
        // Only from the process: systemd sets the variable, and `.env` must not redirect secrets.
        let credentials = self.process_path("CREDENTIALS_DIRECTORY");
        for dir in credentials.iter().chain(&self.secrets_dir) {
            match secret_in(name, &dir.join(name)) {
                Ok(secret) => return Ok(Some((secret, Source::Credential))),
                Err((io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, _)) => (),
                Err((_, error)) => return Err(error),
            }
        }
        Ok(self.legacy.get(name).map(|secret| (secret.clone(), Source::LegacyDb)))
    }

    /// Returns the text of `name`: one line with a visible character.
    pub(super) fn text(&self, name: &str) -> Result<Option<(String, Source)>, ConfigError> {
        let Some((text, source)) = self.value_of(name)? else { return Ok(None) };
        check_one_line(name, &text)?;
        check_visible(name, &text)?;
        Ok(Some((text, source)))
    }

    /// Returns the text of `name` from the process or `.env`.
    fn value_of(&self, name: &str) -> Result<Option<(String, Source)>, ConfigError> {
        // Compose files turn unset variables into empty ones, so empty means unset.
        let Some(value) = self.process.get(OsStr::new(name)) else {
            let text = self.dotenv.get(name).filter(|text| !text.is_empty());
            return Ok(text.map(|text| (text.clone(), Source::EnvFile)));
        };
        let text =
            value.to_str().ok_or_else(|| ConfigError::new(name, "is not UTF-8", FIX_UTF8))?;
        check_unquoted(name, text)?;
        Ok(Some((text.to_owned(), Source::Env)).filter(|(text, _)| !text.is_empty()))
    }

    /// Returns the path in `name`, which may be any bytes.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        if self.process.contains_key(OsStr::new(name)) {
            return self.process_path(name);
        }
        self.dotenv.get(name).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    fn process_path(&self, name: &str) -> Option<PathBuf> {
        self.process.get(OsStr::new(name)).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    pub(super) fn is_root(&self) -> bool {
        self.is_root
    }

    /// Returns the errors of `.env` lines, of paths, and of `BRUNE_*` variables that are not UTF-8.
    pub(super) fn errors(&self) -> Vec<ConfigError> {
        let not_utf8 = self.process.iter().filter(|(_, value)| value.to_str().is_none());
        let not_utf8 = not_utf8
            .filter_map(|(name, _)| name.to_str())
            // Variables of other programs may be any bytes.
            .filter(|name| name.starts_with("BRUNE_"))
            .map(|name| ConfigError::new(name, "is not UTF-8", FIX_UTF8));
        let paths = PATHS.iter().filter_map(|name| check_path(name, &self.path(name)?).err());
        self.dotenv_errors.iter().cloned().chain(not_utf8).chain(paths).collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("process", &self.process.keys())
            .field("dotenv", &self.dotenv.keys())
            .finish_non_exhaustive()
    }
}

fn check_one_line(name: &str, text: &str) -> Result<(), ConfigError> {
    text::check(text).map_err(|character| forbidden(name, character))
}

fn forbidden(name: &str, character: text::ForbiddenCharacter) -> ConfigError {
    let fix = match character.character {
        '\r' => "remove it: the file has Windows line ends; convert the file with `dos2unix`",
        _ => "remove it",
    };
    ConfigError::new(name, format!("must not contain {character}"), fix)
}

fn check_visible(name: &str, text: &str) -> Result<(), ConfigError> {
    if text::visible_length(text) > 0 {
        return Ok(());
    }
    let problem = "must have at least one visible character";
    Err(ConfigError::new(name, problem, "set a value, or unset it"))
}

/// Rejects text in quotes: a shell and a reader of `.env` files remove quotes and a container engine keeps them, so the
/// intended value is unknown.
fn check_unquoted(name: &str, text: &str) -> Result<(), ConfigError> {
    if !text::is_quoted(text) {
        return Ok(());
    }
    let fix = "remove the quotes: `docker run --env-file` and systemd's credentials pass quotes on";
    Err(ConfigError::new(name, "must not be enclosed in quotes", fix))
}

/// Parses a secret, which may have several lines. A trailing line end is removed.
fn parse_secret(name: &str, text: &str) -> Result<Secret, ConfigError> {
    let secret = text::without_line_end(text);
    // Files of secrets may have been written with quotes, too.
    check_unquoted(name, secret)?;
    text::check_lines(secret).map_err(|character| forbidden(name, character))?;
    check_visible(name, secret)?;
    Ok(Secret::new(secret.to_owned()))
}

fn check_path(name: &str, path: &Path) -> Result<(), ConfigError> {
    let Some(text) = path.to_str() else { return Ok(()) };
    check_one_line(name, text)?;
    check_unquoted(name, text)
}

/// Reads the secret in the file at `path` for `variable`. The kind in the error tells a missing file apart.
fn secret_in(variable: &str, path: &Path) -> Result<Secret, (io::ErrorKind, ConfigError)> {
    const FIX: &str = "write only the secret to a readable file, or unset the variable";
    let text = file::text(path, MAX_SECRET_BYTES).map_err(|error| {
        // A path without a file may be the secret itself, in the wrong variable.
        let file = if path.exists() {
            format!("the file {}", path.display())
        } else {
            format!("the file that {variable} names")
        };
        (error.kind(), ConfigError::new(variable, format!("{file} {error}"), FIX))
    })?;
    if text::visible_length(&text) == 0 {
        let problem = format!("the file {} is empty", path.display());
        return Err((io::ErrorKind::InvalidData, ConfigError::new(variable, problem, FIX)));
    }
    parse_secret(variable, &text).map_err(|error| {
        let problem = format!("the file {} {}", path.display(), error.problem);
        (io::ErrorKind::InvalidData, ConfigError { problem, ..error })
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Database, Needs};
    use super::*;

    #[test]
    fn a_missing_dotenv_file_is_fine_and_an_unreadable_file_is_an_error() {
        let environment = Environment::default().with_dotenv_file(Path::new("/nowhere/.env"));
        assert!(environment.errors().is_empty());
        let environment = Environment::default().with_dotenv_file(Path::new("/"));
        assert_eq!(
            environment.errors()[0].to_string(),
            ".env: is not a file; fix it or move it away"
        );
    }

    #[test]
    fn root_uses_the_system_data_directory() {
        let environment =
            Environment { is_root: true, ..Environment::from_pairs([("HOME", "/home/ana")]) };
        match Config::load(&environment, Needs::Serve).unwrap().database {
            Database::Embedded(embedded) => assert_eq!(embedded.dir, Path::new("/var/lib/brune")),
            Database::Url(_) => panic!("not embedded"),
        }
    }

    #[test]
    fn a_secret_mounted_by_a_container_engine_is_read() {
        let dir = std::env::temp_dir().join(format!("brune-secrets-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("OPENAI_API_KEY"), "sk-1\n").unwrap();
        let environment = Environment { secrets_dir: Some(dir.clone()), ..Environment::default() };
        let result = environment.secret("OPENAI_API_KEY");
        std::fs::remove_dir_all(dir).unwrap();
        let (secret, source) = result.unwrap().unwrap();
        assert_eq!((secret.expose(), source), ("sk-1", Source::Credential));
        assert!(environment.secret("JWT_SECRET").unwrap().is_none());
    }
}
