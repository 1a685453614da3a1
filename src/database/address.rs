//! Connection options from a URL or from parts. The driver would fill missing parts from `PG*` variables and a password
//! file, so every part is set before the driver sees the URL.

use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use url::Url;

use super::Error;
use crate::config::{
    Secret,
    address::{self, AddressError},
};

/// A server has in parts (`POSTGRES_HOST`, `POSTGRES_PORT`, …).
#[derive(Debug, Clone)]
pub struct Parts {
    /// A host name, an IP address, or the directory of a Unix socket, which starts with a slash.
    pub host: String,
    /// The port, which is a part of the file name of a Unix socket.
    pub port: u16,
    /// The login role.
    pub user: String,
    /// The password; `None` where the server trusts the user.
    pub password: Option<Secret>,
    /// The name of the database.
    pub database: String,
}

/// Builds the driver's options from `parts`.
#[must_use]
pub fn options_from_parts(parts: &Parts) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .port(parts.port)
        .username(&parts.user)
        .password(parts.password.as_ref().map_or("", Secret::expose))
        .database(&parts.database)
        .ssl_mode(PgSslMode::Prefer);
    if parts.host.starts_with('/') {
        options.socket(&parts.host)
    } else {
        options.host(&parts.host)
    }
}

/// Builds the driver's options from `postgres://user:password@host:port/database?…`. The user is required. Defaults:
/// `localhost`, 5432, no password, the database of the user's name, TLS if the server offers TLS.
pub fn options_from_url(address: &Secret) -> Result<PgConnectOptions, Error> {
    let mut url = address::postgres(address.expose()).map_err(Error::Address)?;
    fill_missing_parts(&mut url);
    // The error of the driver may quote a part of the URL, so it is dropped.
    PgConnectOptions::from_url(&url).map_err(|_| Error::Address(NOT_TAKEN))
}

const NOT_TAKEN: AddressError = AddressError {
    problem: "is not accepted by the Postgres driver",
    fix: "write `postgres://user:password@host:5432/database`, every part percent-encoded UTF-8",
};

/// Fails when `PGOPTIONS` is set, because the driver would send these options first.
pub(crate) fn refuse_foreign_options() -> Result<(), Error> {
    match PgConnectOptions::new_without_pgpass().get_options() {
        Some(options) if !options.trim().is_empty() => Err(Error::ForeignOptions),
        _ => Ok(()),
    }
}

/// Adds all missing parts to the URL, so that the driver takes none from the environment.
fn fill_missing_parts(url: &mut Url) {
    let has = |name: &str| url.query_pairs().any(|(key, _)| key == name);
    let user = if has("user") { None } else { Some(decoded(url.username())) };
    let mut missing: Vec<(&str, String)> = Vec::new();
    if url.host_str().unwrap_or_default().is_empty() && !has("host") && !has("hostaddr") {
        missing.push(("host", "localhost".to_owned()));
    }
    if url.port().is_none() && !has("port") {
        missing.push(("port", "5432".to_owned()));
    }
    if url.password().is_none() && !has("password") {
        missing.push(("password", String::new()));
    }
    if url.path().trim_matches('/').is_empty() && !has("dbname") {
        let parameter = url.query_pairs().filter(|(key, _)| key == "user").last();
        missing.push((
            "dbname",
            user.or(parameter.map(|(_, name)| name.into_owned())).unwrap_or_default(),
        ));
    }
    if !has("sslmode") && !has("ssl-mode") {
        missing.push(("sslmode", "prefer".to_owned()));
    }
    url.query_pairs_mut().extend_pairs(missing);
}

/// Decodes the percent-encoded user part of a URL. The parser of query values would turn `+` into a space, so `+` is
/// escaped first.
fn decoded(text: &str) -> String {
    let escaped = text.replace('+', "%2B");
    url::form_urlencoded::parse(format!("v={escaped}").as_bytes())
        .map(|(_, value)| value.into_owned())
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<PgConnectOptions, Error> {
        options_from_url(&Secret::new(url.to_owned()))
    }

    #[test]
    fn missing_parts_are_not_taken_from_the_environment() {
        let options = parsed("postgres://me%2Bmy+self@db.example").unwrap();
        assert_eq!(options.get_host(), "db.example");
        assert_eq!(options.get_port(), 5432);
        assert_eq!(options.get_username(), "me+my+self");
        assert_eq!(options.get_database(), Some("me+my+self"));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Prefer));
        assert!(format!("{options:?}").contains("password: Some(\"\")"), "{options:?}");
    }

    #[test]
    fn parts_of_a_url_are_used() {
        let options = parsed("postgresql://me:pa%3Ass@h:6543/db?sslmode=require").unwrap();
        assert_eq!((options.get_port(), options.get_database()), (6543, Some("db")));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Require));
        assert!(format!("{options:?}").contains("pa:ss"));
    }

    #[test]
    fn a_socket_directory_may_stand_for_the_host() {
        for url in ["postgres://me@localhost/db?host=/run/pg", "postgres://me@%2Frun%2Fpg/db"] {
            let options = parsed(url).unwrap();
            assert_eq!(options.get_socket().unwrap(), std::path::Path::new("/run/pg"), "{url}");
        }
    }

    #[test]
    fn an_invalid_url_is_rejected_without_quoting_it() {
        for (url, word) in [
            ("hunter2", "is not a Postgres URL"),
            ("mysql://me:hunter2@h/db", "is not a Postgres URL"),
            ("postgres://h/db?password=hunter2", "names no user"),
            ("postgres://me@h/db?hunter2=1", "is not known"),
            ("postgres://me@h/db?sslmode=hunter2", "is not valid"),
            ("postgres://me:hunter2%FF@h/db", "is not accepted by the Postgres driver"),
        ] {
            let message = parsed(url).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn parts_name_a_host_or_a_socket_directory() {
        let parts = |host: &str| Parts {
            host: host.to_owned(),
            port: 6000,
            user: "me".to_owned(),
            password: None,
            database: "db".to_owned(),
        };
        assert_eq!(options_from_parts(&parts("h")).get_host(), "h");
        let socket = options_from_parts(&parts("/run/pg"));
        assert_eq!(socket.get_socket().unwrap(), std::path::Path::new("/run/pg"));
    }
}
