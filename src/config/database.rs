//! Which Postgres: one address, five parts of one, or none.

use std::path::PathBuf;

use url::Url;

use super::{
    Database, Embedded, Fault, Mode, Pooler, Secret, address, directories, reading::Reading,
};

/// The parts of an address, as the Postgres images spell them. All but the port are needed.
const PARTS: [&str; 4] = ["POSTGRES_HOST", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"];

/// `None` when a fault was found, or production has none.
pub(super) fn read(
    reading: &mut Reading<'_>,
    mode: Mode,
    data_dir: Result<PathBuf, Fault>,
) -> Option<Database> {
    let url = reading.take(reading.env.secret("DATABASE_URL"))?;
    let parts = Parts::read(reading)?;
    match (url, parts) {
        (Some((url, _)), None) => checked(reading, "DATABASE_URL", url).map(Database::Url),
        (None, Some(parts)) => parts.url(reading).map(Database::Url),
        (Some(_), Some(_)) => {
            reading.fault(
                "DATABASE_URL",
                "both DATABASE_URL and variables that begin with POSTGRES_ are set",
                "unset one form; which database is meant cannot be guessed",
            );
            None
        }
        (None, None) if mode == Mode::Production => {
            reading.missing(
                "DATABASE_URL",
                "set it to `postgres://user:password@host/database`, or set POSTGRES_HOST, \
                 POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB",
            );
            None
        }
        (None, None) => embedded(reading, data_dir).map(Database::Embedded),
    }
}

/// What stands before `database`.
pub(super) fn pooler(reading: &mut Reading<'_>, database: Option<&Database>) -> Pooler {
    const POOLER: &str = "BRUNE_DB_POOLER";
    const DIRECT: &str = "DATABASE_DIRECT_URL";
    let direct = reading.secret(DIRECT).and_then(|it| checked(reading, DIRECT, it));
    if reading.choice(POOLER, &[("none", false), ("transaction", true)]) != Some(true) {
        if direct.is_some() {
            let what = "is set, but no pooler is that it could lead around";
            reading.fault(DIRECT, what, "set BRUNE_DB_POOLER to `transaction`, or unset it");
        }
        return Pooler::None;
    }
    if let Some(Database::Embedded(_)) = database {
        let what = "names a pooler, but no address of one is set";
        reading.fault(POOLER, what, "set DATABASE_URL to the pooler's, or unset it");
    }
    Pooler::Transaction { direct }
}

/// Where migrations connect to as the owner, if that is another address.
pub(super) fn migrate_url(
    reading: &mut Reading<'_>,
    database: Option<&Database>,
) -> Option<Secret> {
    const MIGRATE: &str = "DATABASE_MIGRATE_URL";
    let url = reading.secret(MIGRATE).and_then(|url| checked(reading, MIGRATE, url));
    if let (Some(_), Some(Database::Embedded(_))) = (&url, database) {
        let what = "is set, but no address of a database to serve from is";
        reading.fault(MIGRATE, what, "set DATABASE_URL as well, or unset it");
    }
    url
}

fn embedded(reading: &mut Reading<'_>, data_dir: Result<PathBuf, Fault>) -> Option<Embedded> {
    const BIN_DIR: &str = "BRUNE_PG_BIN_DIR";
    let dir = reading.take(data_dir);
    let bin_dir = reading.env.path(BIN_DIR).map(|it| directories::whole(BIN_DIR, &it)).transpose();
    let bin_dir = reading.take(bin_dir);
    let account = reading.text("BRUNE_PG_USER");
    let no_download = reading.boolean("BRUNE_PG_NO_DOWNLOAD", false);
    let dir = dir?;
    Some(Embedded {
        bin_dir: bin_dir?,
        path: reading.env.path("PATH").unwrap_or_default().into_os_string(),
        account,
        cache_dir: (!no_download).then(|| directories::cache_dir(reading.env, &dir)),
        dir,
    })
}

/// `url`, if it can be one; what the server makes of it is seen on connecting.
fn checked(reading: &mut Reading<'_>, variable: &str, url: Secret) -> Option<Secret> {
    if let Err(error) = address::postgres(url.expose()) {
        reading.fault(variable, error.what, error.fix);
        return None;
    }
    Some(url)
}

/// An address in parts.
struct Parts {
    host: String,
    port: u16,
    user: String,
    password: Secret,
    database: String,
}

impl Parts {
    /// The parts, if any is given; the outer `None` when a fault was found.
    #[expect(clippy::option_option, reason = "nothing given and something wrong are not the same")]
    fn read(reading: &mut Reading<'_>) -> Option<Option<Self>> {
        let [host, user, database] =
            [PARTS[0], PARTS[1], PARTS[3]].map(|name| reading.take(reading.env.text(name)));
        let password = reading.take(reading.env.secret(PARTS[2]));
        let port_given = reading.take(reading.env.text("POSTGRES_PORT"))?.is_some();
        let port = reading.number("POSTGRES_PORT", 5432, 1..=u16::MAX);
        let (host, user, database, password) = (host?, user?, database?, password?);
        let given = [host.is_some(), user.is_some(), password.is_some(), database.is_some()];
        match (host, user, password, database) {
            (None, None, None, None) if !port_given => Some(None),
            (Some((host, _)), Some((user, _)), Some((password, _)), Some((database, _))) => {
                Some(Some(Self { host, port, user, password, database }))
            }
            _ => {
                for (name, _) in PARTS.iter().zip(given).filter(|(_, given)| !given) {
                    let way_out = "set it too, or give all in DATABASE_URL and unset the others";
                    reading.fault(name, "is not set, but other parts of the address are", way_out);
                }
                None
            }
        }
    }

    fn url(&self, reading: &mut Reading<'_>) -> Option<Secret> {
        let host = match self.host.trim() {
            socket if socket.starts_with('/') => encoded(socket),
            address if address.contains(':') => format!("[{}]", address.trim_matches(['[', ']'])),
            name => name.to_owned(),
        };
        let (user, password) = (encoded(&self.user), encoded(self.password.expose()));
        let database = encoded(&self.database);
        let url = format!("postgres://{user}:{password}@{host}:{}/{database}", self.port);
        let one_host = !host.contains(['/', '@', '?', '#', ',']);
        if !one_host || Url::parse(&url).is_err() {
            let way_out = "write a name, an address, or the directory of a Unix socket";
            reading.fault(PARTS[0], "is no host", way_out);
            return None;
        }
        Some(Secret::new(url))
    }
}

/// `text` with every byte but letters and digits as `%XX`, so that none can end its part of the URL.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}
