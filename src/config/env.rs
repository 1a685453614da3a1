//! The only reader of the environment: variables, the `.env` file of the working directory, and the
//! files that secrets come in.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{Fault, Secret, dotenv, file};
use crate::text;

/// Where container engines put secrets.
const RUN_SECRETS: &str = "/run/secrets";

/// Secrets that open the database, and so cannot be kept in it.
const BEFORE_THE_DATABASE: [&str; 4] =
    ["DATABASE_URL", "DATABASE_DIRECT_URL", "DATABASE_MIGRATE_URL", "POSTGRES_PASSWORD"];

/// The file that is read beside the process's own variables, in the working directory.
const DOTENV: &str = ".env";

/// The most bytes of a file that holds a secret: a longer one was meant for something else.
const SECRET_BYTES: usize = 64 * 1024;

/// The variables that hold paths, which are read as they are.
const PATHS: [&str; 3] = ["BRUNE_DATA_DIR", "BRUNE_CATALOG", "BRUNE_PG_BIN_DIR"];

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A variable of the process.
    Env,
    /// A line of the `.env` file.
    EnvFile,
    /// The file that `X_FILE` names.
    File,
    /// A file in `$CREDENTIALS_DIRECTORY` or `/run/secrets`.
    Credential,
    /// A row that an older release left in the database.
    LegacyDb,
    /// Nobody said anything.
    Default,
}

impl Source {
    /// As answers spell it.
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

/// What the process was given: its variables, over those of `.env`, and the secret directories.
///
/// Its `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Environment {
    process: BTreeMap<OsString, OsString>,
    dotenv: BTreeMap<String, String>,
    dotenv_faults: Vec<Fault>,
    secrets_dir: Option<PathBuf>,
    legacy: BTreeMap<String, Secret>,
    root: bool,
}

impl Environment {
    /// What this process was given. Faults of the `.env` file are kept for `Config::load`, which
    /// reports them with all others.
    #[must_use]
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
        let process = std::env::vars_os().collect();
        let bare = Self {
            process,
            // One that may not be entered is some other program's.
            secrets_dir: Some(PathBuf::from(RUN_SECRETS)).filter(|dir| dir.join(".").is_dir()),
            root: rustix::process::geteuid().is_root(),
            ..Self::default()
        };
        bare.with_dotenv_file(Path::new(DOTENV))
    }

    fn with_dotenv_file(self, path: &Path) -> Self {
        match file::text(path, text::DOCUMENT_BYTES) {
            Ok(text) => self.with_dotenv(&text),
            Err(file::Unreadable::Io(e)) if e.kind() == io::ErrorKind::NotFound => self,
            Err(unreadable) => {
                let fault = Fault::of(DOTENV, unreadable.to_string(), "mend it or move it away");
                Self { dotenv_faults: vec![fault], ..self }
            }
        }
    }

    /// Only these variables, for tests: no `.env`, no directory of secrets, no root.
    #[must_use]
    pub fn of_pairs<K: Into<OsString>, V: Into<OsString>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let process = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { process, ..Self::default() }
    }

    /// The same with `text` as its `.env` file.
    #[must_use]
    pub fn with_dotenv(mut self, text: &str) -> Self {
        match dotenv::parse(text) {
            Ok(entries) => {
                self.dotenv = entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
            }
            Err(faults) => {
                let faults = faults.into_iter().map(|it| {
                    let variable = format!("{DOTENV} {}", it.place());
                    Fault::of(variable, it.reason.to_string(), "or remove the line")
                });
                self.dotenv_faults = faults.collect();
            }
        }
        self
    }

    /// The same with the secrets that an older release left in the database: the last place to look for one.
    #[must_use]
    pub fn with_legacy(mut self, rows: impl IntoIterator<Item = (String, Secret)>) -> Self {
        let rows = rows.into_iter();
        self.legacy =
            rows.filter(|(name, _)| !BEFORE_THE_DATABASE.contains(&name.as_str())).collect();
        self
    }

    /// The text of `key` as it was given, blank or not, by the process or else by `.env`; never from
    /// a file. `None` when nobody gave it or it is not UTF-8.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<(String, Source)> {
        match self.process.get(OsStr::new(key)) {
            Some(value) => Some((value.to_str()?.to_owned(), Source::Env)),
            None => Some((self.dotenv.get(key)?.clone(), Source::EnvFile)),
        }
    }

    /// The first value that the process or `.env` gives the setting `key`; a blank one gives none.
    ///
    /// # Errors
    /// It is not UTF-8, has a character that no value may have, or stands in quotes that a container engine left.
    pub fn first_value(&self, key: &str) -> Result<Option<(String, Source)>, Fault> {
        let Some((text, source)) = self.value_of(key)? else { return Ok(None) };
        one_line(key, &text)?;
        Ok(Some((text, source)).filter(|(text, _)| !text.trim().is_empty()))
    }

    /// The secret `name` and where it came from: `name`, `name_FILE`,
    /// `$CREDENTIALS_DIRECTORY/name`, `/run/secrets/name`, and last what the database still holds of it.
    ///
    /// # Errors
    /// `name` and `name_FILE` are both given, or what should hold it does not.
    pub fn secret(&self, name: &str) -> Result<Option<(Secret, Source)>, Fault> {
        let file_variable = format!("{name}_FILE");
        match (self.value_of(name)?, self.path(&file_variable)) {
            (Some(_), Some(_)) => Err(Fault::of(
                name,
                format!("both {name} and {file_variable} are set"),
                "unset one of the two",
            )),
            (Some((text, source)), None) => Ok(Some((secret_of(name, &text)?, source))),
            (None, Some(path)) => {
                path_fault(&file_variable, &path).map_or(Ok(()), Err)?;
                Ok(Some((secret_in(&file_variable, &path).map_err(|(_, it)| it)?, Source::File)))
            }
            (None, None) => self.credential(name),
        }
    }

    fn credential(&self, name: &str) -> Result<Option<(Secret, Source)>, Fault> {
        let credentials = self.process_path("CREDENTIALS_DIRECTORY");
        for dir in credentials.iter().chain(&self.secrets_dir) {
            match secret_in(name, &dir.join(name)) {
                Ok(secret) => return Ok(Some((secret, Source::Credential))),
                Err((io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, _)) => (),
                Err((_, fault)) => return Err(fault),
            }
        }
        Ok(self.legacy.get(name).map(|secret| (secret.clone(), Source::LegacyDb)))
    }

    /// The text of `name`, on one line and with something to see in it.
    pub(super) fn text(&self, name: &str) -> Result<Option<(String, Source)>, Fault> {
        let Some((text, source)) = self.value_of(name)? else { return Ok(None) };
        one_line(name, &text)?;
        not_blank(name, &text)?;
        Ok(Some((text, source)))
    }

    /// Returns the text that the process or `.env` has for `name`; `raw` and `path` do without it. An empty one counts as
    /// not given, since that is what an unset variable turns into on its way through a compose file.
    fn value_of(&self, name: &str) -> Result<Option<(String, Source)>, Fault> {
        let Some(value) = self.process.get(OsStr::new(name)) else {
            let text = self.dotenv.get(name).filter(|text| !text.is_empty());
            return Ok(text.map(|text| (text.clone(), Source::EnvFile)));
        };
        let text = value
            .to_str()
            .ok_or_else(|| Fault::of(name, "is not UTF-8", "set it again, or unset it"))?;
        not_quoted(name, text)?;
        Ok(Some((text.to_owned(), Source::Env)).filter(|(text, _)| !text.is_empty()))
    }

    /// The path in `name`, which need not be UTF-8.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        if self.process.contains_key(OsStr::new(name)) {
            return self.process_path(name);
        }
        self.dotenv.get(name).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    fn process_path(&self, name: &str) -> Option<PathBuf> {
        self.process.get(OsStr::new(name)).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// Whether the process may do anything.
    pub(super) fn is_root(&self) -> bool {
        self.root
    }

    /// What is wrong as a whole: lines of `.env`, and variables of ours that are not UTF-8.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let names = self.process.iter().filter(|(_, value)| value.to_str().is_none());
        let ours =
            names.filter_map(|(name, _)| name.to_str()).filter(|it| it.starts_with("BRUNE_"));
        let unreadable = ours.map(|it| Fault::of(it, "is not UTF-8", "set it again, or unset it"));
        let paths = PATHS.iter().filter_map(|name| path_fault(name, &self.path(name)?));
        self.dotenv_faults.iter().cloned().chain(unreadable).chain(paths).collect()
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

/// Fails if `text` has a character that no value, reason or name may have.
fn one_line(name: &str, text: &str) -> Result<(), Fault> {
    text::check(text).map_err(|character| forbidden(name, character))
}

fn forbidden(name: &str, character: text::ForbiddenCharacter) -> Fault {
    let fix = match character.character {
        '\r' => {
            "remove it: the file it comes from has the line ends of Windows; convert it with `dos2unix`"
        }
        _ => "set it again without",
    };
    Fault::of(name, format!("must not contain {character}"), fix)
}

fn not_blank(name: &str, text: &str) -> Result<(), Fault> {
    if text::visible_length(text) > 0 {
        return Ok(());
    }
    Err(Fault::of(name, "must have at least one visible character", "give it a value, or unset it"))
}

/// Fails if `text` stands in quotes: a shell and a reader of `.env` files take them off, a container engine does not,
/// and nothing tells whether they are meant.
fn not_quoted(name: &str, text: &str) -> Result<(), Fault> {
    if !text::is_quoted(text) {
        return Ok(());
    }
    let fix =
        "remove them: `docker run --env-file` and systemd's credentials pass quotes on as they are";
    Err(Fault::of(name, "must not be enclosed in quotes", fix))
}

/// The secret that `text` is: it may have several lines, and the line end behind the last one is no part of it.
fn secret_of(name: &str, text: &str) -> Result<Secret, Fault> {
    let secret = text::without_line_end(text);
    not_quoted(name, secret)?;
    text::check_lines(secret).map_err(|character| forbidden(name, character))?;
    not_blank(name, secret)?;
    Ok(Secret::new(secret.to_owned()))
}

/// What is wrong with the path in the variable `name`.
fn path_fault(name: &str, path: &Path) -> Option<Fault> {
    let text = path.to_str()?;
    one_line(name, text).and_then(|()| not_quoted(name, text)).err()
}

/// The secret in the file at `path`, on behalf of `variable`; with the fault comes the kind that
/// tells a file that is not there.
fn secret_in(variable: &str, path: &Path) -> Result<Secret, (io::ErrorKind, Fault)> {
    const FIX: &str = "put the secret alone into a readable file, or unset the variable";
    let text = file::text(path, SECRET_BYTES).map_err(|error| {
        // What names no file may be the secret itself, in the wrong variable.
        let name = if path.exists() {
            format!("the file {}", path.display())
        } else {
            format!("the file that {variable} names")
        };
        (error.kind(), Fault::of(variable, format!("{name} {error}"), FIX))
    })?;
    if text::visible_length(&text) == 0 {
        let what = format!("the file {} is empty", path.display());
        return Err((io::ErrorKind::InvalidData, Fault::of(variable, what, FIX)));
    }
    secret_of(variable, &text).map_err(|fault| {
        let what = format!("the file {} {}", path.display(), fault.what);
        (io::ErrorKind::InvalidData, Fault { what, ..fault })
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Database, Needs};
    use super::*;

    #[test]
    fn no_file_beside_the_process_is_no_fault_and_an_unreadable_one_is() {
        let env = Environment::default().with_dotenv_file(Path::new("/nowhere/.env"));
        assert!(env.faults().is_empty());
        let env = Environment::default().with_dotenv_file(Path::new("/"));
        assert_eq!(env.faults()[0].to_string(), ".env: is not a file; mend it or move it away");
    }

    #[test]
    fn root_keeps_its_data_where_the_system_does() {
        let env = Environment { root: true, ..Environment::of_pairs([("HOME", "/home/ana")]) };
        match Config::load(&env, Needs::Serve).unwrap().database {
            Database::Embedded(it) => assert_eq!(it.dir, Path::new("/var/lib/brune")),
            Database::Url(_) => panic!("not embedded"),
        }
    }

    #[test]
    fn a_secret_mounted_by_a_container_engine_is_found() {
        let dir = std::env::temp_dir().join(format!("brune-secrets-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("OPENAI_API_KEY"), "sk-1\n").unwrap();
        let env = Environment { secrets_dir: Some(dir.clone()), ..Environment::default() };
        let found = env.secret("OPENAI_API_KEY");
        std::fs::remove_dir_all(dir).unwrap();
        let (secret, source) = found.unwrap().unwrap();
        assert_eq!((secret.expose(), source), ("sk-1", Source::Credential));
        assert!(env.secret("JWT_SECRET").unwrap().is_none());
    }
}
