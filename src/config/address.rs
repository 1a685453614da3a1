//! Addresses that may have a password in them, checked before anything of them is used or shown.
//!
//! An address is parsed as a whole or refused: in one whose password has an `@`, `/`, `?` or `#` that is not
//! percent-encoded, a piece of the password stands where a parser finds the host, the path or a parameter. No
//! error repeats a part of the address.

use url::Url;

/// The parameters of a Postgres address that the driver knows. It logs others with their values.
const POSTGRES_PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

const ENCODE: &str =
    "percent-encode `@ / ? # %` in the user and the password (`%40 %2F %3F %23 %25`)";

/// Why an address is refused. Has no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub struct AddressError {
    /// What is wrong, to follow the name of the variable.
    pub what: &'static str,
    /// How to fix it.
    pub fix: &'static str,
}

/// What an address leads to.
struct Kind {
    schemes: &'static [&'static str],
    /// It does not begin with one of the schemes.
    without_scheme: AddressError,
    /// Whether the URL standard's rules for browsers apply: a `\` separates parts as `/` does, the path may have an
    /// `@` if no user or port comes before it, as addresses of webhooks do, and a fragment is allowed.
    is_web: bool,
    unreadable: AddressError,
}

const POSTGRES: Kind = Kind {
    schemes: &["postgres", "postgresql"],
    without_scheme: NO_POSTGRES,
    is_web: false,
    unreadable: NO_POSTGRES,
};

const NO_POSTGRES: AddressError = AddressError {
    what: "is not a Postgres URL",
    fix: "write `postgres://user:password@host:5432/database`, and percent-encode `@ / ? # %` in the user and the \
          password (`%40 %2F %3F %23 %25`)",
};

const REDIS: Kind = Kind {
    schemes: &["redis", "rediss", "redis+unix", "unix", "valkey", "valkeys", "valkey+unix"],
    without_scheme: NO_REDIS,
    is_web: false,
    unreadable: NO_REDIS,
};

const NO_REDIS: AddressError = AddressError {
    what: "is not a Redis URL",
    fix: "write `redis://user:password@host:6379`, and percent-encode `@ / ? # %` in the user and the password \
          (`%40 %2F %3F %23 %25`)",
};

const WEB: Kind = Kind {
    schemes: &["http", "https"],
    // `localhost:8080`, for one, would have the scheme `localhost`.
    without_scheme: AddressError {
        what: "must begin with http:// or https://",
        fix: "write it such as `https://host/path` or `http://127.0.0.1:8080`",
    },
    is_web: true,
    unreadable: AddressError {
        what: "must name a host, and after `:` a port",
        fix: "write it such as `https://host/path` or `http://127.0.0.1:8080`",
    },
};

/// Parses the address of a Postgres: `postgres://user:password@host:port/database?…`.
///
/// # Errors
/// It is not whole, or has a parameter that the driver would not take.
pub(crate) fn postgres(text: &str) -> Result<Url, AddressError> {
    let url = parse(text, &POSTGRES)?;
    let error = |what, fix| Err(AddressError { what, fix });
    let mut has_user = !url.username().is_empty();
    for (name, value) in url.query_pairs() {
        if !POSTGRES_PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
            return error(
                "has a parameter after the `?` that is not known",
                "use those of libpq, such as `sslmode`, `host`, `port` and `application_name`, and \
                 percent-encode `& = # %` in their values",
            );
        }
        let is_valid = match &*name {
            "sslmode" | "ssl-mode" => SSL_MODES.contains(&&*value),
            "port" => value.parse::<u16>().is_ok(),
            "hostaddr" => value.parse::<std::net::IpAddr>().is_ok(),
            "statement-cache-capacity" => value.parse::<usize>().is_ok(),
            _ => true,
        };
        if !is_valid {
            return error(
                "has a parameter after the `?` whose value is not valid",
                "`sslmode` is disable, allow, prefer, require, verify-ca or verify-full; `port` and \
                 `statement-cache-capacity` are numbers; `hostaddr` is an IP address",
            );
        }
        has_user |= name == "user" && !value.is_empty();
    }
    if has_user {
        return Ok(url);
    }
    error("names no user", "write `postgres://user:password@host:5432/database`")
}

/// Checks the address of a Redis.
///
/// # Errors
/// It is not whole.
pub(super) fn redis(text: &str) -> Result<(), AddressError> {
    parse(text, &REDIS).map(drop)
}

/// Parses an `http` or `https` address, which may have a user and a password.
///
/// # Errors
/// It is not whole.
pub(crate) fn web(text: &str) -> Result<Url, AddressError> {
    let url = parse(text, &WEB)?;
    if url.has_host() { Ok(url) } else { Err(WEB.unreadable) }
}

/// Parses the address that the paths of a service begin with: no user, no password, no query, no fragment.
///
/// # Errors
/// It is not whole, or has one of these.
pub(super) fn root(text: &str) -> Result<Url, AddressError> {
    let url = web(text)?;
    let fix = "write `https://host/path` without it";
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressError { what: "must not have a user or a password", fix });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(AddressError { what: "must not have a query or a fragment", fix });
    }
    Ok(url)
}

fn parse(text: &str, kind: &Kind) -> Result<Url, AddressError> {
    let text = text.trim();
    // Parsers drop tabs and line breaks in silence: the password would be another.
    if text.chars().any(char::is_control) {
        return Err(AddressError {
            what: "has a line break or another control character in it",
            fix: "remove it; one that belongs to the password is percent-encoded (`%0A`)",
        });
    }
    let (scheme, rest) = text.split_once("://").ok_or(kind.without_scheme)?;
    if !kind.schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(kind.without_scheme);
    }
    let is_end = |c| matches!(c, '/' | '?' | '#') || (kind.is_web && c == '\\');
    let (authority, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
    let is_plain_host = !authority.contains(['@', ':']);
    if after.contains('@') && !(kind.is_web && is_plain_host) {
        let what = "has an `@` after the host, or a password that is not percent-encoded";
        return Err(AddressError { what, fix: ENCODE });
    }
    let url = Url::parse(text).map_err(|_| kind.unreadable)?;
    if url.fragment().is_some() && !kind.is_web {
        let what = "has a `#`, after which nothing is read";
        return Err(AddressError { what, fix: ENCODE });
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_people_have_are_taken() {
        for text in [
            "postgres://ada:word@h/d",
            "postgresql://ada:p%40%2F%3F%23%25@h:6543/d?sslmode=require&application_name=x",
            "postgres://ada@server:word@h/d",
            "postgres://ada:a:b@h/d",
            "postgres://ada:pa%ss@[::1]:1/d",
            "postgres:///d?host=/run/pg&user=ada",
            "postgres://ada@%2Frun%2Fpg/d?options[search_path]=x",
            " postgres://ada:word@h/d\n",
        ] {
            assert!(postgres(text).is_ok(), "{text}: {:?}", postgres(text));
        }
        for text in ["redis://h:6379", "rediss://:word@h/0", "redis+unix:///run/redis.sock"] {
            assert_eq!(redis(text), Ok(()), "{text}");
        }
        for text in [
            "https://h",
            "https://ada:word@h:8443/path?q=1",
            "https://h.test/webhookb2/a@b/IncomingWebhook/c",
            "http://127.0.0.1:9000/",
        ] {
            assert!(web(text).is_ok(), "{text}: {:?}", web(text));
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_not_parsed_as_something_else() {
        assert!(root("https://u:80\\word@h/d").is_err());
        for rest in [
            "u:80?word@h/d",
            "u:80/word@h/d",
            "u:80#word@h/d",
            "u:p@x/y@h/d",
            "u:p@x?y@h/d",
            "u:p@x:80#y@h/d",
            "u:pa\nss@h/d",
            "u:80#word",
        ] {
            assert!(postgres(&format!("postgres://{rest}")).is_err(), "{rest}");
            assert!(redis(&format!("redis://{rest}")).is_err(), "{rest}");
            assert!(root(&format!("https://{rest}")).is_err(), "{rest}");
        }
    }

    #[test]
    fn parameters_are_those_of_the_driver_with_values_that_it_takes() {
        for query in ["passwd=x", "sslmode=x", "port=x", "hostaddr=x", "password=a&b", "a@b"] {
            assert!(postgres(&format!("postgres://ada@h/d?{query}")).is_err(), "{query}");
        }
        assert_eq!(postgres("postgres://h/d").unwrap_err().what, "names no user");
    }
}
