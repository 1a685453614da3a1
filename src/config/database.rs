//! The Postgres to use: an address, an address in parts, or a private server.

use std::path::PathBuf;

use url::Url;
use validator::Validate;

use super::{
    ConfigError, Database, Embedded, Mode, Pooler, Secret, address, directories, reader::Reader,
};

/// The required parts of an address, named as by the Postgres images.
const PARTS: [&str; 4] = ["POSTGRES_HOST", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"];

/// Returns `None` on an error, and in production without a database.
pub(super) fn read(
    reader: &mut Reader<'_>,
    mode: Mode,
    data_dir: Result<PathBuf, ConfigError>,
) -> Option<Database> {
    let url = reader.accept(reader.environment.secret("DATABASE_URL"))?;
    let parts = Parts::read(reader)?;
    match (url, parts) {
        (Some((url, _)), None) => checked(reader, "DATABASE_URL", url).map(Database::Url),
        (None, Some(parts)) => parts.url(reader).map(Database::Url),
        (Some(_), Some(_)) => {
            let problem = "conflicts with the POSTGRES_* variables, which are set as well";
            reader.reject("DATABASE_URL", problem, "unset one of the two forms");
            None
        }
        (None, None) if mode == Mode::Production => {
            reader.reject_missing(
                "DATABASE_URL",
                "set it to `postgres://user:password@host/database`, or set POSTGRES_HOST, \
                 POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB",
            );
            None
        }
        (None, None) => embedded(reader, data_dir).map(Database::Embedded),
    }
}

/// Reads the pooler in front of `database`.
pub(super) fn pooler(reader: &mut Reader<'_>, database: Option<&Database>) -> Pooler {
    const POOLER: &str = "BRUNE_DB_POOLER";
    const DIRECT: &str = "DATABASE_DIRECT_URL";
    // Read in any case, so that its errors are reported with all others.
    let direct = reader.secret(DIRECT).and_then(|url| checked(reader, DIRECT, url));
    if reader.choice(POOLER, &[("none", false), ("transaction", true)]) != Some(true) {
        if direct.is_some() {
            let problem = "requires BRUNE_DB_POOLER, since it bypasses the pooler";
            reader.reject(DIRECT, problem, "set BRUNE_DB_POOLER to `transaction`, or unset it");
        }
        return Pooler::None;
    }
    if let Some(Database::Embedded(_)) = database {
        let problem = "requires DATABASE_URL with the address of the pooler";
        reader.reject(POOLER, problem, "set DATABASE_URL, or unset it");
    }
    Pooler::Transaction { direct }
}

/// Reads the address for migrations, which connect as the owner.
pub(super) fn migrate_url(reader: &mut Reader<'_>, database: Option<&Database>) -> Option<Secret> {
    const MIGRATE: &str = "DATABASE_MIGRATE_URL";
    let url = reader.secret(MIGRATE).and_then(|url| checked(reader, MIGRATE, url));
    if let (Some(_), Some(Database::Embedded(_))) = (&url, database) {
        let problem = "requires DATABASE_URL, the address to serve from";
        reader.reject(MIGRATE, problem, "set DATABASE_URL as well, or unset it");
    }
    url
}

fn embedded(reader: &mut Reader<'_>, data_dir: Result<PathBuf, ConfigError>) -> Option<Embedded> {
    const BIN_DIR: &str = "BRUNE_PG_BIN_DIR";
    let dir = reader.accept(data_dir);
    let bin_dir = reader.environment.path(BIN_DIR);
    let bin_dir = bin_dir.map(|dir| directories::absolute(BIN_DIR, &dir)).transpose();
    let bin_dir = reader.accept(bin_dir);
    let account = reader.text("BRUNE_PG_USER");
    let no_download = reader.boolean("BRUNE_PG_NO_DOWNLOAD", false);
    let dir = dir?;
    Some(Embedded {
        bin_dir: bin_dir?,
        path: reader.environment.path("PATH").unwrap_or_default().into_os_string(),
        account,
        cache_dir: (!no_download).then(|| directories::cache_dir(reader.environment, &dir)),
        dir,
    })
}

/// Returns `url` if the driver will accept its form. Connecting shows the rest.
fn checked(reader: &mut Reader<'_>, variable: &str, url: Secret) -> Option<Secret> {
    if let Err(error) = address::postgres(url.expose()) {
        reader.reject(variable, error.problem, error.fix);
        return None;
    }
    Some(url)
}

#[derive(Validate)]
struct Port {
    // Wider than a port, so that the reader's value for invalid text lies outside the range.
    #[validate(range(min = 1, max = 65_535, code = "POSTGRES_PORT"))]
    number: u32,
}

/// An address in parts.
struct Parts {
    host: String,
    port: Port,
    user: String,
    password: Secret,
    database: String,
}

impl Parts {
    /// Returns the parts, if any is set; the outer `None` on an error.
    #[expect(clippy::option_option, reason = "without parts is not the same as with an error")]
    fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let [host, user, database] =
            [PARTS[0], PARTS[1], PARTS[3]].map(|name| reader.accept(reader.environment.text(name)));
        let password = reader.accept(reader.environment.secret(PARTS[2]));
        // A port alone counts as an incomplete address.
        let has_port = reader.accept(reader.environment.text("POSTGRES_PORT"))?.is_some();
        let port = Port { number: reader.number("POSTGRES_PORT", 5432) };
        reader.validate(&port);
        let (host, user, database, password) = (host?, user?, database?, password?);
        let is_set = [host.is_some(), user.is_some(), password.is_some(), database.is_some()];
        match (host, user, password, database) {
            (None, None, None, None) if !has_port => Some(None),
            (Some((host, _)), Some((user, _)), Some((password, _)), Some((database, _))) => {
                Some(Some(Self { host, port, user, password, database }))
            }
            _ => {
                for (name, _) in PARTS.iter().zip(is_set).filter(|(_, is_set)| !is_set) {
                    let problem = "is required with the other POSTGRES_* variables";
                    let fix = "set it, or set DATABASE_URL and unset the others";
                    reader.reject(name, problem, fix);
                }
                None
            }
        }
    }

    fn url(&self, reader: &mut Reader<'_>) -> Option<Secret> {
        let host = match self.host.trim() {
            // A path in the host would end the authority of the URL.
            socket if socket.starts_with('/') => encoded(socket),
            // IPv6 addresses stand in brackets.
            address if address.contains(':') => format!("[{}]", address.trim_matches(['[', ']'])),
            name => name.to_owned(),
        };
        let user = encoded(&self.user);
        let password = encoded(self.password.expose());
        let database = encoded(&self.database);
        let url = format!("postgres://{user}:{password}@{host}:{}/{database}", self.port.number);
        // The driver would take a comma for a list of hosts.
        let is_single_host = !host.contains(['/', '@', '?', '#', ',']);
        // A port outside its range has an error of its own.
        if !is_single_host || Url::parse(&format!("postgres://{host}/")).is_err() {
            let fix = "write a name, an address, or the directory of a Unix socket";
            reader.reject(PARTS[0], "must be a host", fix);
            return None;
        }
        Some(Secret::new(url))
    }
}

/// Percent-encodes every byte but letters and digits, so that no character ends a part of the URL.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
