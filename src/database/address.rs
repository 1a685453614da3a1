//! Where a database of the caller's own is. The driver fills whatever an address leaves open from
//! `PG*` variables and from a password file; here every part is settled before the driver sees it.

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

/// A server named in parts (`POSTGRES_HOST` and its kin).
#[derive(Debug, Clone)]
pub struct Parts {
    /// A host name, an address, or the directory of a Unix socket (it starts with a slash).
    pub host: String,
    /// The port; with a Unix socket it names the socket's file.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// With what password; none where the server trusts the user.
    pub password: Option<Secret>,
    /// Which database.
    pub database: String,
}

/// The driver's options for the server named by `parts`.
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

/// The driver's options for `postgres://user:password@host:port/database?…`. A user is required;
/// what else is missing is `localhost`, 5432, no password, the user's own database, TLS if the
/// server offers it.
pub fn options_from_url(address: &Secret) -> Result<PgConnectOptions, Error> {
    let mut url = address::postgres(address.expose()).map_err(Error::Address)?;
    settle(&mut url);
    // The words of the driver may hold a part of the address.
    PgConnectOptions::from_url(&url).map_err(|_| Error::Address(NOT_TAKEN))
}

const NOT_TAKEN: AddressError = AddressError {
    what: "is not accepted by the Postgres driver",
    fix: "write `postgres://user:password@host:5432/database`, every part percent-encoded UTF-8",
};

/// Fails when `PGOPTIONS` is set: what it says would reach the server before anything of ours.
pub(crate) fn refuse_foreign_options() -> Result<(), Error> {
    match PgConnectOptions::new_without_pgpass().get_options() {
        Some(options) if !options.trim().is_empty() => Err(Error::ForeignOptions),
        _ => Ok(()),
    }
}

/// Writes every part that is missing into the URL, so that nothing is left for the environment to
/// fill.
fn settle(url: &mut Url) {
    let given = |name: &str| url.query_pairs().any(|(key, _)| key == name);
    let user = if given("user") { None } else { Some(decoded(url.username())) };
    let mut missing: Vec<(&str, String)> = Vec::new();
    if url.host_str().unwrap_or_default().is_empty() && !given("host") && !given("hostaddr") {
        missing.push(("host", "localhost".to_owned()));
    }
    if url.port().is_none() && !given("port") {
        missing.push(("port", "5432".to_owned()));
    }
    if url.password().is_none() && !given("password") {
        missing.push(("password", String::new()));
    }
    if url.path().trim_matches('/').is_empty() && !given("dbname") {
        let own = url.query_pairs().filter(|(key, _)| key == "user").last();
        missing
            .push(("dbname", user.or(own.map(|(_, name)| name.into_owned())).unwrap_or_default()));
    }
    if !given("sslmode") && !given("ssl-mode") {
        missing.push(("sslmode", "prefer".to_owned()));
    }
    url.query_pairs_mut().extend_pairs(missing);
}

/// `text` of a URL's user part as it was meant. Parsing it as a query value decodes it; a plus sign
/// must survive that.
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
    fn what_a_url_leaves_open_is_settled_without_the_environment() {
        let options = parsed("postgres://me%2Bmy+self@db.example").unwrap();
        assert_eq!(options.get_host(), "db.example");
        assert_eq!(options.get_port(), 5432);
        assert_eq!(options.get_username(), "me+my+self");
        assert_eq!(options.get_database(), Some("me+my+self"));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Prefer));
        assert!(format!("{options:?}").contains("password: Some(\"\")"), "{options:?}");
    }

    #[test]
    fn what_a_url_says_is_kept() {
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
    fn a_url_that_cannot_be_used_is_refused_without_repeating_it() {
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
