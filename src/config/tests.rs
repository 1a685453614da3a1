//! Loading the configuration, and every error.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::load(&with_home(pairs), Needs::Serve)
}

fn with_home(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_pairs([("HOME", "/home/ana")].iter().chain(pairs).copied())
}

fn error_text(pairs: &[(&str, &str)]) -> String {
    load(pairs).expect_err("the configuration is invalid").to_string()
}

/// Returns the variables with errors, in order.
fn invalid(pairs: &[(&str, &str)]) -> Vec<String> {
    let errors = load(pairs).expect_err("the configuration is invalid");
    errors.iter().map(|error| error.variable.clone()).collect()
}

fn url(config: &Config) -> &str {
    match &config.database {
        Database::Url(url) => url.expose(),
        Database::Embedded(embedded) => panic!("embedded in {}", embedded.dir.display()),
    }
}

fn embedded(config: Config) -> Embedded {
    match config.database {
        Database::Embedded(embedded) => embedded,
        Database::Url(_) => panic!("not embedded"),
    }
}

/// A temporary directory, removed on drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("brune-config-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn the_default_is_development_with_a_private_database() {
    let config = load(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.mode, Mode::Development);
    assert_eq!(config.tuning.pool_size, 10);
    assert_eq!(config.tuning.reload_poll, Duration::from_secs(5));
    assert!(config.auth.jwt_secrets.is_empty() && config.auth.internal_api_key.is_none());
    let discord = vec![tracing::Level::ERROR];
    let level = "info".to_owned();
    assert_eq!(config.log, Log { level, discord, format: Format::Text, color: true });
    let embedded = embedded(config);
    assert!(embedded.dir.starts_with("/home/ana") && embedded.dir.ends_with("brune"));
    assert!(embedded.cache_dir.is_some() && embedded.bin_dir.is_none());
}

#[test]
fn production_requires_a_database_and_a_secret() {
    assert_eq!(invalid(&[("NODE_ENV", "production")]), ["JWT_SECRET", "DATABASE_URL"]);
    let database = ("DATABASE_URL", "postgres://u@h/d");
    assert_eq!(invalid(&[("NODE_ENV", "production"), database]), ["JWT_SECRET"]);
    let config = load(&[("NODE_ENV", "production"), database, ("JWT_SECRET", SECRET)]).unwrap();
    assert_eq!(config.log.format, Format::Json);
}

#[test]
fn a_migration_requires_no_secret_in_production() {
    let env = with_home(&[("NODE_ENV", "production"), ("DATABASE_URL", "postgres://u@h/d")]);
    Config::load(&env, Needs::Database).unwrap();
}

#[test]
fn every_error_is_reported_at_once_without_values() {
    let pairs = [
        ("NODE_ENV", "value-1"),
        ("BRUNE_LISTEN", "value-2"),
        ("BRUNE_DB_POOL_SIZE", "0"),
        ("BRUNE_RELOAD_POLL_MS", "99"),
        ("BRUNE_PG_NO_DOWNLOAD", "value-3"),
        ("LOG_LEVEL", "value-4"),
        ("LOG_FORMAT", "value-5"),
        ("JWT_SECRET", "value-6"),
        ("INTERNAL_API_KEY", "value-7"),
        ("OPENAI_API_KEY", "value 8"),
        ("BRUNE_DATA_DIR", "~/value-9"),
        ("JWT_ISSUER", "  "),
    ];
    let mut variables = invalid(&pairs);
    let mut expected: Vec<_> = pairs.iter().map(|(name, _)| (*name).to_owned()).collect();
    variables.sort();
    expected.sort();
    assert_eq!(variables, expected);
    let text = error_text(&pairs);
    assert!(text.starts_with("12 configuration errors:\n  "), "{text}");
    assert_eq!(text.lines().count(), 13, "{text}");
    assert!(!text.contains("value-") && !text.contains("value 8"), "{text}");
}

#[test]
fn a_number_outside_its_range_is_reported_with_range_and_default() {
    let database = [
        ("POSTGRES_HOST", "h"),
        ("POSTGRES_USER", "u"),
        ("POSTGRES_PASSWORD", "p"),
        ("POSTGRES_DB", "d"),
    ];
    for (variable, min, max, default) in [
        ("ADMIN_WRITE_RATE_LIMIT_PER_MINUTE", 1, 60_000, 60),
        ("BRUNE_DB_POOL_SIZE", 1, 500, 10),
        ("BRUNE_EXPIRY_WORKER_BATCH_SIZE", 1, 10_000, 100),
        ("BRUNE_EXPIRY_WORKER_INTERVAL_MS", 100, 600_000, 10_000),
        ("BRUNE_OUTBOX_MAX_RETRIES", 0, 100, 10),
        ("BRUNE_OUTBOX_RETRY_BASE_MS", 10, 600_000, 1_000),
        ("BRUNE_OUTBOX_WORKER_BATCH_SIZE", 1, 1_000, 20),
        ("BRUNE_OUTBOX_WORKER_INTERVAL_MS", 100, 600_000, 1_000),
        ("BRUNE_OUTBOX_WORKER_LEASE_MS", 1_000, 600_000, 30_000),
        ("BRUNE_RELOAD_POLL_MS", 100, 600_000, 5_000),
        ("BRUNE_START_RATE_LIMIT_PER_MINUTE", 1, 1_000, 10),
        ("JWT_MAX_LIFE", 60, 604_800, 43_200),
        ("POSTGRES_PORT", 1, 65_535, 5_432),
    ] {
        let load = |text: &str| load(&[&database[..], &[(variable, text)]].concat());
        let error = format!(
            "1 configuration error:\n  {variable}: must be an integer between {min} and {max} (default {default})"
        );
        let outside = [(min - 1).to_string(), (max + 1).to_string()];
        let unparsable = ["1.5", "ten", "99999999999999999999"];
        for text in outside.iter().map(String::as_str).chain(unparsable) {
            assert_eq!(load(text).unwrap_err().to_string(), error, "{text}");
        }
        for text in [min.to_string(), max.to_string()] {
            assert!(load(&text).is_ok(), "{variable}={text}");
        }
    }
}

#[test]
fn errors_of_the_database_hide_no_others() {
    let pairs = [("DATABASE_URL", "mysql://h"), ("BRUNE_LISTEN", "8080"), ("LOG_FORMAT", "xml")];
    assert_eq!(invalid(&pairs), ["DATABASE_URL", "BRUNE_LISTEN", "LOG_FORMAT"]);
}

#[test]
fn a_short_secret_is_reported_once_in_production() {
    let pairs =
        [("NODE_ENV", "production"), ("DATABASE_URL", "postgres://u@h/d"), ("JWT_SECRET", "x")];
    assert_eq!(invalid(&pairs), ["JWT_SECRET"]);
}

#[test]
fn a_secret_of_the_minimum_length_is_accepted() {
    load(&[("JWT_SECRET", SECRET), ("INTERNAL_API_KEY", &SECRET[..16])]).unwrap();
    assert_eq!(
        invalid(&[("JWT_SECRET", &SECRET[1..]), ("INTERNAL_API_KEY", &SECRET[..15])]),
        ["JWT_SECRET", "INTERNAL_API_KEY"]
    );
}

#[test]
fn an_address_in_parts_becomes_a_url() {
    let parts = [
        ("POSTGRES_HOST", "db"),
        ("POSTGRES_USER", "a@b"),
        ("POSTGRES_PASSWORD", "p%20/:#?"),
        ("POSTGRES_DB", "brune"),
    ];
    let config = load(&parts).unwrap();
    assert_eq!(url(&config), "postgres://a%40b:p%2520%2F%3A%23%3F@db:5432/brune");
    for (host, url_host) in [("::1", "[::1]"), ("[::1]", "[::1]"), ("/run/pg", "%2Frun%2Fpg")] {
        let mut parts = parts.to_vec();
        parts[0].1 = host;
        parts.push(("POSTGRES_PORT", "6000"));
        let config = load(&parts).unwrap();
        assert_eq!(
            url(&config),
            format!("postgres://a%40b:p%2520%2F%3A%23%3F@{url_host}:6000/brune")
        );
    }
}

#[test]
fn an_incomplete_address_reports_the_missing_parts() {
    let missing = invalid(&[("POSTGRES_HOST", "db"), ("POSTGRES_DB", "brune")]);
    assert_eq!(missing, ["POSTGRES_USER", "POSTGRES_PASSWORD"]);
    assert_eq!(invalid(&[("POSTGRES_PORT", "5432")]).len(), 4);
}

#[test]
fn two_forms_of_an_address_are_rejected() {
    let mut pairs = vec![("DATABASE_URL", "postgres://u@h/d"), ("POSTGRES_HOST", "db")];
    pairs.extend([("POSTGRES_USER", "u"), ("POSTGRES_PASSWORD", "p"), ("POSTGRES_DB", "d")]);
    assert_eq!(invalid(&pairs), ["DATABASE_URL"]);
}

#[test]
fn a_pooler_has_an_address_and_an_optional_direct_address() {
    let pooler = ("DATABASE_URL", "postgres://me@pooler/db");
    let transaction = ("BRUNE_DB_POOLER", "transaction");
    let direct = ("DATABASE_DIRECT_URL", "postgres://me:hunter2@server/db");
    let config = load(&[pooler, transaction, direct]).unwrap();
    let Pooler::Transaction { direct: Some(direct_url) } = &config.pooler else {
        panic!("{:?}", config.pooler)
    };
    assert_eq!(direct_url.expose(), direct.1);
    assert!(!format!("{config:?}").contains("hunter2"));
    let config = load(&[pooler, transaction]).unwrap();
    assert!(matches!(config.pooler, Pooler::Transaction { direct: None }));
    for pairs in [&[pooler][..], &[pooler, ("BRUNE_DB_POOLER", "none")]] {
        assert!(matches!(load(pairs).unwrap().pooler, Pooler::None));
    }
    assert_eq!(invalid(&[pooler, direct]), ["DATABASE_DIRECT_URL"]);
    assert_eq!(invalid(&[transaction]), ["BRUNE_DB_POOLER"]);
    assert_eq!(invalid(&[pooler, ("BRUNE_DB_POOLER", "session")]), ["BRUNE_DB_POOLER"]);
    let mysql = ("DATABASE_DIRECT_URL", "mysql://me@server/db");
    assert_eq!(invalid(&[pooler, transaction, mysql]), ["DATABASE_DIRECT_URL"]);
}

#[test]
fn migrations_may_have_a_separate_address() {
    let serve = ("DATABASE_URL", "postgres://me@server/db");
    let migrate = ("DATABASE_MIGRATE_URL", "postgres://owner:hunter2@server/db");
    let config = load(&[serve, migrate]).unwrap();
    assert_eq!(config.migrate_url.as_ref().map(Secret::expose), Some(migrate.1));
    assert!(!config.allow_owner && !format!("{config:?}").contains("hunter2"));
    assert!(load(&[serve]).unwrap().migrate_url.is_none());
    assert!(load(&[serve, ("BRUNE_DB_ALLOW_OWNER", "true")]).unwrap().allow_owner);
    // Without DATABASE_URL the private Postgres is used, which has an owner address.
    assert_eq!(invalid(&[migrate]), ["DATABASE_MIGRATE_URL"]);
    let mysql = ("DATABASE_MIGRATE_URL", "mysql://owner@server/db");
    assert_eq!(invalid(&[serve, mysql]), ["DATABASE_MIGRATE_URL"]);
    assert_eq!(invalid(&[serve, ("BRUNE_DB_ALLOW_OWNER", "yes")]), ["BRUNE_DB_ALLOW_OWNER"]);
}

#[test]
fn a_host_with_url_delimiters_is_rejected() {
    for host in ["evil/db?", "u@h", "a,b", "h#", "a b"] {
        let pairs = [("POSTGRES_HOST", host), ("POSTGRES_USER", "u"), ("POSTGRES_DB", "d")];
        let pairs = [pairs.as_slice(), &[("POSTGRES_PASSWORD", "p")]].concat();
        assert_eq!(invalid(&pairs), ["POSTGRES_HOST"], "{host}");
    }
}

#[test]
fn an_empty_variable_is_unset_and_a_blank_variable_is_an_error() {
    let config = load(&[("DATABASE_URL", ""), ("JWT_SECRET", ""), ("BRUNE_LISTEN", "")]).unwrap();
    assert!(matches!(config.database, Database::Embedded(_)));
    assert_eq!(invalid(&[("JWT_SECRET", " \t")]), ["JWT_SECRET"]);
}

#[test]
fn directories_are_configured_or_the_platform_defaults() {
    let pairs = [
        ("BRUNE_DATA_DIR", "data"),
        ("BRUNE_PG_BIN_DIR", "/opt/pg/bin"),
        ("BRUNE_PG_NO_DOWNLOAD", "1"),
    ];
    let config = embedded(load(&pairs).unwrap());
    assert_eq!(config.dir, std::path::absolute("data").unwrap());
    assert_eq!((config.bin_dir, config.cache_dir), (Some(PathBuf::from("/opt/pg/bin")), None));
    if cfg!(target_os = "linux") {
        let xdg = [("XDG_DATA_HOME", "/x"), ("XDG_CACHE_HOME", "relative")];
        let xdg = embedded(load(&xdg).unwrap());
        assert_eq!(xdg.dir, Path::new("/x/brune"));
        assert_eq!(xdg.cache_dir.as_deref(), Some(Path::new("/home/ana/.cache/brune")));
    }
}

#[test]
fn a_missing_home_is_an_error_only_where_required() {
    let empty = Environment::from_pairs::<&str, &str>([]);
    let errors = Config::load(&empty, Needs::Serve).unwrap_err().to_string();
    assert!(errors.contains("BRUNE_DATA_DIR: is required, since HOME is not set"), "{errors}");
    let pairs = [("DATABASE_URL", "postgres://u@h/d"), ("JWT_SECRET", SECRET)];
    let config = Config::load(&Environment::from_pairs(pairs), Needs::Serve).unwrap();
    config.with_development_secret().unwrap();
}

#[test]
fn an_invalid_level_cannot_silence_the_log() {
    for level in ["info", "DEBUG", "off", "warn,brune=trace", "brune::http=debug"] {
        assert_eq!(load(&[("LOG_LEVEL", level)]).unwrap().log.level, level);
    }
    for level in ["inof", "verbose", "brune=loud", "info,,debug", "debug,fatal"] {
        assert_eq!(invalid(&[("LOG_LEVEL", level)]), ["LOG_LEVEL"], "{level}");
    }
}

#[test]
fn posted_levels_are_a_list() {
    use tracing::Level;
    let levels = |text: &str| load(&[("LOG_DISCORD_LEVELS", text)]).unwrap().log.discord;
    assert_eq!(levels(r#"["error", "warn"]"#), [Level::ERROR, Level::WARN]);
    assert_eq!(levels("WARN,info"), [Level::WARN, Level::INFO]);
    assert!(levels("[]").is_empty());
    assert_eq!(levels(""), [Level::ERROR]);
    for text in ["off", "1", "error,", r#"["error", "fatal"]"#, r#"["error""#, "[1]"] {
        assert_eq!(invalid(&[("LOG_DISCORD_LEVELS", text)]), ["LOG_DISCORD_LEVELS"], "{text}");
    }
}

#[test]
fn a_secret_is_read_from_the_first_source() {
    let scratch = Scratch::new();
    let path = scratch.file("key", format!("{SECRET}\r\n"));
    scratch.file("JWT_SECRET", format!("credential-{SECRET}\n\n"));
    let dir = scratch.0.to_str().unwrap();
    let read = |pairs: &[(&str, &str)]| {
        let (secret, source) = with_home(pairs).secret("JWT_SECRET").unwrap().unwrap();
        (secret.expose().to_owned(), source)
    };
    let credentials = ("CREDENTIALS_DIRECTORY", dir);
    assert_eq!(read(&[("JWT_SECRET", SECRET), credentials]), (SECRET.to_owned(), Source::Env));
    assert_eq!(read(&[("JWT_SECRET_FILE", &path), credentials]), (SECRET.to_owned(), Source::File));
    // The file ends with a line break; a second line break belongs to the secret.
    assert_eq!(read(&[credentials]), (format!("credential-{SECRET}\n"), Source::Credential));
    let missing_dir = ("CREDENTIALS_DIRECTORY", "/nowhere");
    assert!(with_home(&[missing_dir]).secret("JWT_SECRET").unwrap().is_none());
}

#[test]
fn rotating_secrets_are_lines() {
    let previous = SECRET.replace('0', "1");
    let load = |text: &str| load(&[("JWT_SECRET", text)]);
    let secrets = load(&format!("{SECRET}\n{previous}\n")).unwrap().auth.jwt_secrets;
    let secrets: Vec<_> = secrets.iter().map(|secret| secret.expose().to_owned()).collect();
    assert_eq!(secrets, [SECRET.to_owned(), previous.clone()]);
    for text in [
        format!("{SECRET}\nshort"),
        format!("{SECRET}\n{previous}\n{SECRET}"),
        format!("\n{SECRET}"),
    ] {
        assert!(load(&text).is_err(), "{text}");
    }
}

#[test]
fn legacy_secrets_are_the_last_source_and_open_no_database() {
    let rows = ["JWT_SECRET", "OPENAI_API_KEY", "POSTGRES_PASSWORD", "DATABASE_URL"];
    let rows = rows.map(|name| (name.to_owned(), Secret::new(format!("left-{SECRET}"))));
    let env = with_home(&[("OPENAI_API_KEY", SECRET)]).with_legacy(rows);
    let source = |name: &str| env.secret(name).unwrap().map(|(_, source)| source);
    assert_eq!(source("OPENAI_API_KEY"), Some(Source::Env));
    assert_eq!(source("JWT_SECRET"), Some(Source::LegacyDb));
    assert_eq!((source("POSTGRES_PASSWORD"), source("DATABASE_URL")), (None, None));
    let config = Config::load(&env, Needs::Serve).unwrap();
    assert_eq!(config.auth.jwt_secrets[0].expose(), format!("left-{SECRET}"));
}

#[test]
fn a_secret_set_twice_is_rejected() {
    let scratch = Scratch::new();
    let path = scratch.file("key", SECRET);
    let text = error_text(&[("JWT_SECRET", SECRET), ("JWT_SECRET_FILE", &path)]);
    assert!(text.contains("both JWT_SECRET and JWT_SECRET_FILE are set"), "{text}");
}

#[test]
fn an_invalid_secret_file_is_named_without_its_content() {
    let scratch = Scratch::new();
    let files = [
        (scratch.0.join("none").to_str().unwrap().to_owned(), "cannot be read"),
        (scratch.file("empty", ""), "is empty"),
        (scratch.file("blank", " \n\t\n"), "is empty"),
        (scratch.file("long", vec![b'x'; 64 * 1024 + 1]), "is longer than 64 KiB"),
        (scratch.file("binary", [b'x', 0xff, b'y']), "is not UTF-8"),
        (scratch.0.to_str().unwrap().to_owned(), "is not a file"),
        ("/dev/zero".to_owned(), "is not a file"),
    ];
    for (path, problem) in files {
        let text = error_text(&[("OPENAI_API_KEY_FILE", &path)]);
        // A path without a file may be the secret itself.
        let file = match problem {
            "cannot be read" => "that OPENAI_API_KEY_FILE names",
            _ => &path,
        };
        assert!(
            text.contains(&format!("OPENAI_API_KEY_FILE: the file {file} {problem}")),
            "{text}"
        );
        let (name, target) = ("OPENAI_API_KEY", scratch.0.join("OPENAI_API_KEY"));
        if problem != "cannot be read" {
            symlink(&path, &target).unwrap();
            let text = error_text(&[("CREDENTIALS_DIRECTORY", scratch.0.to_str().unwrap())]);
            assert!(text.contains(&format!("{name}: the file {}", target.display())), "{text}");
            fs::remove_file(target).unwrap();
        }
    }
}

#[test]
fn process_variables_override_the_dotenv_file() {
    let env = with_home(&[("BRUNE_LISTEN", "127.0.0.1:1")])
        .with_dotenv("BRUNE_LISTEN=127.0.0.1:2\nLOG_LEVEL=debug\nBRUNE_COOLDOWN_MINUTES=45\n");
    let config = Config::load(&env, Needs::Serve).unwrap();
    assert_eq!((config.listen.port(), config.log.level.as_str()), (1, "debug"));
    assert_eq!(env.raw("BRUNE_LISTEN"), Some(("127.0.0.1:1".to_owned(), Source::Env)));
    assert_eq!(env.raw("BRUNE_COOLDOWN_MINUTES"), Some(("45".to_owned(), Source::EnvFile)));
    assert_eq!(env.raw("BRUNE_PROMPT_ID"), None);
}

#[test]
fn errors_of_the_dotenv_file_are_reported_with_all_others() {
    let env = with_home(&[("LOG_FORMAT", "xml")]).with_dotenv("A=1\nnonsense\nA=2\n");
    let errors = Config::load(&env, Needs::Serve).unwrap_err();
    let variables: Vec<_> = errors.iter().map(|error| error.variable.as_str()).collect();
    assert_eq!(variables, [".env line 2", ".env line 3", "LOG_FORMAT"]);
}

#[test]
fn a_variable_that_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStringExt as _;
    let not_utf8 = OsString::from_vec(vec![b'4', 0xff]);
    let env = Environment::from_pairs([
        (OsString::from("HOME"), OsString::from("/home/ana")),
        (OsString::from("BRUNE_COOLDOWN_MINUTES"), not_utf8.clone()),
        (OsString::from("BRUNE_LISTEN"), not_utf8),
    ]);
    let errors = Config::load(&env, Needs::Serve).unwrap_err();
    let variables: Vec<_> = errors.iter().map(|error| error.variable.as_str()).collect();
    assert_eq!(variables, ["BRUNE_COOLDOWN_MINUTES", "BRUNE_LISTEN"]);
}

#[test]
fn debug_output_shows_no_secret() {
    let pairs = [
        ("JWT_SECRET", "jwt-shown-0123456789abcdef0123456789"),
        ("INTERNAL_API_KEY", "key-shown-0123456789"),
        ("DATABASE_URL", "postgres://u:url-shown@h/d"),
        ("DISCORD_WEBHOOK_URL", "https://h/hook-shown"),
    ];
    let env = with_home(&pairs).with_dotenv("OPENAI_API_KEY=openai-shown\n");
    let text = format!("{env:?} {:?}", Config::load(&env, Needs::Serve).unwrap());
    assert!(!text.contains("-shown"), "{text}");
}

#[test]
fn the_development_secret_is_generated_once_and_private() {
    let scratch = Scratch::new();
    let dir = scratch.0.join("below/brune");
    let env = Environment::from_pairs([("BRUNE_DATA_DIR", &dir)]);
    let first = Config::load(&env, Needs::Serve).unwrap().with_development_secret().unwrap();
    let second = Auth::load(&env).unwrap();
    let (first, second) = (first.auth.jwt_secrets[0].expose(), second.jwt_secrets[0].expose());
    assert!(first == second && first.len() == 64, "generated again");
    assert!(first.bytes().all(|b| b.is_ascii_hexdigit()));
    let mode = fs::metadata(dir.join("jwt_secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "a temporary file remains");
}

#[test]
fn concurrent_starts_agree_on_one_development_secret() {
    let scratch = Scratch::new();
    let env = Environment::from_pairs([("BRUNE_DATA_DIR", &scratch.0)]);
    let secrets = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| Auth::load(&env).unwrap().jwt_secrets[0].expose().to_owned()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(secrets.len(), 1);
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1, "a temporary file remains");
}

#[test]
fn a_short_or_readable_development_secret_is_rejected() {
    let scratch = Scratch::new();
    let path = scratch.file("jwt_secret", "short");
    let env = Environment::from_pairs([("BRUNE_DATA_DIR", &scratch.0)]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Auth::load(&env).unwrap_err().to_string().contains("must have at least 32 bytes"));
    fs::write(&path, SECRET).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Auth::load(&env).unwrap_err().to_string().contains("other users may read it"));
}

#[test]
fn production_generates_no_secret() {
    let scratch = Scratch::new();
    let dir = scratch.0.to_str().unwrap();
    let env = Environment::from_pairs([("NODE_ENV", "production"), ("BRUNE_DATA_DIR", dir)]);
    assert!(Auth::load(&env).unwrap_err().to_string().contains("JWT_SECRET"));
    let pairs = [("NODE_ENV", "production"), ("DATABASE_URL", "postgres://u@h/d")];
    let env = Environment::from_pairs(pairs.into_iter().chain([("BRUNE_DATA_DIR", dir)]));
    let config = Config::load(&env, Needs::Database).unwrap().with_development_secret().unwrap();
    assert!(config.auth.jwt_secrets.is_empty());
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}
