//! Addresses that may hold a password.
//!
//! An address is parsed as a whole or rejected: if a password has an `@`, `/`, `?` or `#` that is not
//! percent-encoded, parsers take a piece of the password for the host, the path or a parameter. No error repeats a part
//! of the address.

use url::Url;

/// The parameters of a Postgres address that the driver knows. The driver logs unknown parameters with values.
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

/// An invalid address. Holds no part of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {fix}")]
pub struct AddressError {
    /// The problem, worded to follow the name of the variable.
    pub problem: &'static str,
    /// How to fix the problem.
    pub fix: &'static str,
}

/// The rules of one kind of address.
struct Kind {
    schemes: &'static [&'static str],
    /// The error for every other scheme.
    wrong_scheme: AddressError,
    /// Whether the URL standard's rules for browsers apply: `\` separates parts as `/` does, the path may have an `@`
    /// if no user or port precedes it, as in addresses of webhooks, and a fragment is permitted.
    is_web: bool,
    invalid: AddressError,
}

const POSTGRES: Kind = Kind {
    schemes: &["postgres", "postgresql"],
    wrong_scheme: NOT_POSTGRES,
    is_web: false,
    invalid: NOT_POSTGRES,
};

const NOT_POSTGRES: AddressError = AddressError {
    problem: "must be a Postgres URL",
    fix: "write `postgres://user:password@host:5432/database`, and percent-encode `@ / ? # %` in the user and the \
          password (`%40 %2F %3F %23 %25`)",
};

const REDIS: Kind = Kind {
    schemes: &["redis", "rediss", "redis+unix", "unix", "valkey", "valkeys", "valkey+unix"],
    wrong_scheme: NOT_REDIS,
    is_web: false,
    invalid: NOT_REDIS,
};

const NOT_REDIS: AddressError = AddressError {
    problem: "must be a Redis URL",
    fix: "write `redis://user:password@host:6379`, and percent-encode `@ / ? # %` in the user and the password \
          (`%40 %2F %3F %23 %25`)",
};

const WEB: Kind = Kind {
    schemes: &["http", "https"],
    // A URL parser takes `localhost` in `localhost:8080` for the scheme.
    wrong_scheme: AddressError {
        problem: "must begin with http:// or https://",
        fix: "write an address such as `https://host/path` or `http://127.0.0.1:8080`",
    },
    is_web: true,
    invalid: AddressError {
        problem: "must have a host, and a port after a `:`",
        fix: "write an address such as `https://host/path` or `http://127.0.0.1:8080`",
    },
};

/// Parses the address of a Postgres: `postgres://user:password@host:port/database?…`.
///
/// # Errors
/// The address is invalid, or has a parameter that the driver rejects or ignores.
pub(crate) fn postgres(text: &str) -> Result<Url, AddressError> {
    let url = parse(text, &POSTGRES)?;
    let error = |problem, fix| Err(AddressError { problem, fix });
    let mut has_user = !url.username().is_empty();
    for (name, value) in url.query_pairs() {
        if !POSTGRES_PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
            return error(
                "has an unknown parameter after the `?`",
                "use parameters of libpq, such as `sslmode`, `host`, `port` and `application_name`, and \
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
                "has an invalid value in a parameter after the `?`",
                "`sslmode` is disable, allow, prefer, require, verify-ca or verify-full; `port` and \
                 `statement-cache-capacity` are numbers; `hostaddr` is an IP address",
            );
        }
        // libpq takes the user from a parameter as well.
        has_user |= name == "user" && !value.is_empty();
    }
    if has_user {
        return Ok(url);
    }
    error("must have a user", "write `postgres://user:password@host:5432/database`")
}

/// Checks the address of a Redis.
///
/// # Errors
/// The address is invalid.
pub(super) fn redis(text: &str) -> Result<(), AddressError> {
    parse(text, &REDIS).map(drop)
}

/// Parses an `http` or `https` address, which may have a user and a password.
///
/// # Errors
/// The address is invalid.
pub(crate) fn web(text: &str) -> Result<Url, AddressError> {
    let url = parse(text, &WEB)?;
    if url.has_host() { Ok(url) } else { Err(WEB.invalid) }
}

/// Parses the base address of a service: no user, no password, no query, no fragment.
///
/// # Errors
/// The address is invalid, or has a part that a base address must not have.
pub(super) fn root(text: &str) -> Result<Url, AddressError> {
    let url = web(text)?;
    let fix = "write only `https://host/path`";
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressError { problem: "must not have a user or a password", fix });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(AddressError { problem: "must not have a query or a fragment", fix });
    }
    Ok(url)
}

fn parse(text: &str, kind: &Kind) -> Result<Url, AddressError> {
    let text = text.trim();
    // Parsers silently drop tabs and line breaks, which would change the password.
    if text.chars().any(char::is_control) {
        return Err(AddressError {
            problem: "must not contain a line break or another control character",
            fix: "remove it, or percent-encode it in the password (`%0A`)",
        });
    }
    let (scheme, rest) = text.split_once("://").ok_or(kind.wrong_scheme)?;
    if !kind.schemes.iter().any(|name| scheme.eq_ignore_ascii_case(name)) {
        return Err(kind.wrong_scheme);
    }
    // Browsers treat a backslash as a slash.
    let is_end = |c| matches!(c, '/' | '?' | '#') || (kind.is_web && c == '\\');
    let (authority, path) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
    let is_plain_host = !authority.contains(['@', ':']);
    // An unencoded `/`, `?` or `#` in a password ends the authority before the `@`.
    if path.contains('@') && !(kind.is_web && is_plain_host) {
        let problem = "has an `@` after the host, or a password that is not percent-encoded";
        return Err(AddressError { problem, fix: ENCODE });
    }
    let url = Url::parse(text).map_err(|_| kind.invalid)?;
    if url.fragment().is_some() && !kind.is_web {
        return Err(AddressError { problem: "must not have a fragment (`#`)", fix: ENCODE });
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_addresses_are_accepted() {
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
    fn an_unencoded_password_is_not_parsed_as_another_part() {
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
    fn parameters_and_values_must_be_valid_for_the_driver() {
        for query in ["passwd=x", "sslmode=x", "port=x", "hostaddr=x", "password=a&b", "a@b"] {
            assert!(postgres(&format!("postgres://ada@h/d?{query}")).is_err(), "{query}");
        }
        assert_eq!(postgres("postgres://h/d").unwrap_err().problem, "must have a user");
    }
}
