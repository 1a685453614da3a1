//! What a start reads out of its environment, and everything it refuses.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn load(pairs: &[(&str, &str)]) -> Result<Config, Faults> {
    Config::load(&with_home(pairs), Needs::Serve)
}

fn with_home(pairs: &[(&str, &str)]) -> Environment {
    Environment::of_pairs([("HOME", "/home/ana")].iter().chain(pairs).copied())
}

fn faults(pairs: &[(&str, &str)]) -> String {
    load(pairs).expect_err("it was taken").to_string()
}

/// The variables at fault, in order.
fn at_fault(pairs: &[(&str, &str)]) -> Vec<String> {
    let faults = load(pairs).expect_err("it was taken");
    faults.iter().map(|fault| fault.variable.clone()).collect()
}

fn url(config: &Config) -> &str {
    match &config.database {
        Database::Url(url) => url.expose(),
        Database::Embedded(it) => panic!("embedded in {}", it.dir.display()),
    }
}

fn embedded(config: Config) -> Embedded {
    match config.database {
        Database::Embedded(it) => it,
        Database::Url(_) => panic!("not embedded"),
    }
}

/// A directory of the test's own, removed at its end.
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
fn nothing_given_is_a_development_start_on_a_database_of_its_own() {
    let config = load(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.mode, Mode::Development);
    assert_eq!((config.pool_size, config.reload_poll), (10, Duration::from_secs(5)));
    assert!(config.auth.jwt_secrets.is_empty() && config.auth.internal_api_key.is_none());
    let discord = vec![tracing::Level::ERROR];
    let level = "info".to_owned();
    assert_eq!(config.log, Log { level, discord, format: Format::Text, color: true });
    let embedded = embedded(config);
    assert!(embedded.dir.starts_with("/home/ana") && embedded.dir.ends_with("brune"));
    assert!(embedded.cache_dir.is_some() && embedded.bin_dir.is_none());
}

#[test]
fn production_makes_nothing_up_and_names_all_that_is_missing() {
    assert_eq!(at_fault(&[("NODE_ENV", "production")]), ["JWT_SECRET", "DATABASE_URL"]);
    let database = ("DATABASE_URL", "postgres://u@h/d");
    assert_eq!(at_fault(&[("NODE_ENV", "production"), database]), ["JWT_SECRET"]);
    let config = load(&[("NODE_ENV", "production"), database, ("JWT_SECRET", SECRET)]).unwrap();
    assert_eq!(config.log.format, Format::Json);
}

#[test]
fn a_migration_needs_no_secret_in_production() {
    let env = with_home(&[("NODE_ENV", "production"), ("DATABASE_URL", "postgres://u@h/d")]);
    Config::load(&env, Needs::Database).unwrap();
}

#[test]
fn every_fault_is_told_at_once_and_no_value_with_it() {
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
    let mut found = at_fault(&pairs);
    let mut expected: Vec<_> = pairs.iter().map(|(name, _)| (*name).to_owned()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let text = faults(&pairs);
    assert!(text.starts_with("12 faults in the environment:\n  "), "{text}");
    assert_eq!(text.lines().count(), 13, "{text}");
    assert!(!text.contains("value-") && !text.contains("value 8"), "{text}");
}

#[test]
fn faults_of_the_database_hide_no_others() {
    let pairs = [("DATABASE_URL", "mysql://h"), ("BRUNE_LISTEN", "8080"), ("LOG_FORMAT", "xml")];
    assert_eq!(at_fault(&pairs), ["DATABASE_URL", "BRUNE_LISTEN", "LOG_FORMAT"]);
}

#[test]
fn a_short_secret_is_one_fault_in_production_not_two() {
    let pairs =
        [("NODE_ENV", "production"), ("DATABASE_URL", "postgres://u@h/d"), ("JWT_SECRET", "x")];
    assert_eq!(at_fault(&pairs), ["JWT_SECRET"]);
}

#[test]
fn a_secret_of_exactly_the_least_length_will_do() {
    load(&[("JWT_SECRET", SECRET), ("INTERNAL_API_KEY", &SECRET[..16])]).unwrap();
    assert_eq!(
        at_fault(&[("JWT_SECRET", &SECRET[1..]), ("INTERNAL_API_KEY", &SECRET[..15])]),
        ["JWT_SECRET", "INTERNAL_API_KEY"]
    );
}

#[test]
fn an_address_in_parts_becomes_a_url_that_says_the_same() {
    let parts = [
        ("POSTGRES_HOST", "db"),
        ("POSTGRES_USER", "a@b"),
        ("POSTGRES_PASSWORD", "p%20/:#?"),
        ("POSTGRES_DB", "brune"),
    ];
    let config = load(&parts).unwrap();
    assert_eq!(url(&config), "postgres://a%40b:p%2520%2F%3A%23%3F@db:5432/brune");
    for (host, spelled) in [("::1", "[::1]"), ("[::1]", "[::1]"), ("/run/pg", "%2Frun%2Fpg")] {
        let mut parts = parts.to_vec();
        parts[0].1 = host;
        parts.push(("POSTGRES_PORT", "6000"));
        let config = load(&parts).unwrap();
        assert_eq!(
            url(&config),
            format!("postgres://a%40b:p%2520%2F%3A%23%3F@{spelled}:6000/brune")
        );
    }
}

#[test]
fn half_an_address_names_the_missing_half() {
    let found = at_fault(&[("POSTGRES_HOST", "db"), ("POSTGRES_DB", "brune")]);
    assert_eq!(found, ["POSTGRES_USER", "POSTGRES_PASSWORD"]);
    assert_eq!(at_fault(&[("POSTGRES_PORT", "5432")]).len(), 4);
}

#[test]
fn two_forms_of_an_address_are_refused() {
    let mut pairs = vec![("DATABASE_URL", "postgres://u@h/d"), ("POSTGRES_HOST", "db")];
    pairs.extend([("POSTGRES_USER", "u"), ("POSTGRES_PASSWORD", "p"), ("POSTGRES_DB", "d")]);
    assert_eq!(at_fault(&pairs), ["DATABASE_URL"]);
}

#[test]
fn a_pooler_has_an_address_and_perhaps_a_way_around_it() {
    let pooler = ("DATABASE_URL", "postgres://me@pooler/db");
    let transaction = ("BRUNE_DB_POOLER", "transaction");
    let direct = ("DATABASE_DIRECT_URL", "postgres://me:hunter2@server/db");
    let config = load(&[pooler, transaction, direct]).unwrap();
    let Pooler::Transaction { direct: Some(around) } = &config.pooler else {
        panic!("{:?}", config.pooler)
    };
    assert_eq!(around.expose(), direct.1);
    assert!(!format!("{config:?}").contains("hunter2"));
    let config = load(&[pooler, transaction]).unwrap();
    assert!(matches!(config.pooler, Pooler::Transaction { direct: None }));
    for none in [&[pooler][..], &[pooler, ("BRUNE_DB_POOLER", "none")]] {
        assert!(matches!(load(none).unwrap().pooler, Pooler::None));
    }
    assert_eq!(at_fault(&[pooler, direct]), ["DATABASE_DIRECT_URL"]);
    assert_eq!(at_fault(&[transaction]), ["BRUNE_DB_POOLER"]);
    assert_eq!(at_fault(&[pooler, ("BRUNE_DB_POOLER", "session")]), ["BRUNE_DB_POOLER"]);
    let other = ("DATABASE_DIRECT_URL", "mysql://me@server/db");
    assert_eq!(at_fault(&[pooler, transaction, other]), ["DATABASE_DIRECT_URL"]);
}

#[test]
fn migrations_may_have_an_address_of_their_own() {
    let serve = ("DATABASE_URL", "postgres://me@server/db");
    let migrate = ("DATABASE_MIGRATE_URL", "postgres://owner:hunter2@server/db");
    let config = load(&[serve, migrate]).unwrap();
    assert_eq!(config.migrate_url.as_ref().map(Secret::expose), Some(migrate.1));
    assert!(!config.allow_owner && !format!("{config:?}").contains("hunter2"));
    assert!(load(&[serve]).unwrap().migrate_url.is_none());
    assert!(load(&[serve, ("BRUNE_DB_ALLOW_OWNER", "true")]).unwrap().allow_owner);
    // Without an address to serve from the private Postgres is used, which has its own.
    assert_eq!(at_fault(&[migrate]), ["DATABASE_MIGRATE_URL"]);
    let other = ("DATABASE_MIGRATE_URL", "mysql://owner@server/db");
    assert_eq!(at_fault(&[serve, other]), ["DATABASE_MIGRATE_URL"]);
    assert_eq!(at_fault(&[serve, ("BRUNE_DB_ALLOW_OWNER", "yes")]), ["BRUNE_DB_ALLOW_OWNER"]);
}

#[test]
fn a_host_that_would_end_its_part_of_the_url_is_refused() {
    for host in ["evil/db?", "u@h", "a,b", "h#", "a b"] {
        let pairs = [("POSTGRES_HOST", host), ("POSTGRES_USER", "u"), ("POSTGRES_DB", "d")];
        let pairs = [pairs.as_slice(), &[("POSTGRES_PASSWORD", "p")]].concat();
        assert_eq!(at_fault(&pairs), ["POSTGRES_HOST"], "{host}");
    }
}

#[test]
fn an_empty_variable_counts_as_not_given_and_a_blank_one_does_not() {
    let config = load(&[("DATABASE_URL", ""), ("JWT_SECRET", ""), ("BRUNE_LISTEN", "")]).unwrap();
    assert!(matches!(config.database, Database::Embedded(_)));
    assert_eq!(at_fault(&[("JWT_SECRET", " \t")]), ["JWT_SECRET"]);
}

#[test]
fn directories_are_the_given_ones_whole_or_the_platforms() {
    let given = [
        ("BRUNE_DATA_DIR", "data"),
        ("BRUNE_PG_BIN_DIR", "/opt/pg/bin"),
        ("BRUNE_PG_NO_DOWNLOAD", "1"),
    ];
    let given = embedded(load(&given).unwrap());
    assert_eq!(given.dir, std::path::absolute("data").unwrap());
    assert_eq!((given.bin_dir, given.cache_dir), (Some(PathBuf::from("/opt/pg/bin")), None));
    if cfg!(target_os = "linux") {
        let xdg = [("XDG_DATA_HOME", "/x"), ("XDG_CACHE_HOME", "relative")];
        let xdg = embedded(load(&xdg).unwrap());
        assert_eq!(xdg.dir, Path::new("/x/brune"));
        assert_eq!(xdg.cache_dir.as_deref(), Some(Path::new("/home/ana/.cache/brune")));
    }
}

#[test]
fn no_home_is_a_fault_only_where_it_is_needed() {
    let none = Environment::of_pairs::<&str, &str>([]);
    let faults = Config::load(&none, Needs::Serve).unwrap_err();
    assert!(faults.to_string().contains("BRUNE_DATA_DIR: is not set, and neither is HOME"));
    let all = [("DATABASE_URL", "postgres://u@h/d"), ("JWT_SECRET", SECRET)];
    let config = Config::load(&Environment::of_pairs(all), Needs::Serve).unwrap();
    config.with_development_secret().unwrap();
}

#[test]
fn a_level_is_checked_before_it_could_silence_the_log() {
    for level in ["info", "DEBUG", "off", "warn,brune=trace", "brune::http=debug"] {
        assert_eq!(load(&[("LOG_LEVEL", level)]).unwrap().log.level, level);
    }
    for level in ["inof", "verbose", "brune=loud", "info,,debug", "debug,fatal"] {
        assert_eq!(at_fault(&[("LOG_LEVEL", level)]), ["LOG_LEVEL"], "{level}");
    }
}

#[test]
fn levels_that_are_posted_are_named_one_by_one() {
    use tracing::Level;
    let levels = |text: &str| load(&[("LOG_DISCORD_LEVELS", text)]).unwrap().log.discord;
    assert_eq!(levels(r#"["error", "warn"]"#), [Level::ERROR, Level::WARN]);
    assert_eq!(levels("WARN,info"), [Level::WARN, Level::INFO]);
    assert!(levels("[]").is_empty());
    assert_eq!(levels(""), [Level::ERROR]);
    for wrong in ["off", "1", "error,", r#"["error", "fatal"]"#, r#"["error""#, "[1]"] {
        assert_eq!(at_fault(&[("LOG_DISCORD_LEVELS", wrong)]), ["LOG_DISCORD_LEVELS"], "{wrong}");
    }
}

#[test]
fn a_secret_is_taken_from_the_first_place_that_has_it() {
    let scratch = Scratch::new();
    let path = scratch.file("key", format!("{SECRET}\r\n"));
    scratch.file("JWT_SECRET", format!("credential-{SECRET}\n\n"));
    let dir = scratch.0.to_str().unwrap();
    let found = |pairs: &[(&str, &str)]| {
        let (secret, source) = with_home(pairs).secret("JWT_SECRET").unwrap().unwrap();
        (secret.expose().to_owned(), source)
    };
    let credentials = ("CREDENTIALS_DIRECTORY", dir);
    assert_eq!(found(&[("JWT_SECRET", SECRET), credentials]), (SECRET.to_owned(), Source::Env));
    assert_eq!(
        found(&[("JWT_SECRET_FILE", &path), credentials]),
        (SECRET.to_owned(), Source::File)
    );
    // One line break belongs to the file, a second one to the secret.
    assert_eq!(found(&[credentials]), (format!("credential-{SECRET}\n"), Source::Credential));
    let elsewhere = ("CREDENTIALS_DIRECTORY", "/nowhere");
    assert!(with_home(&[elsewhere]).secret("JWT_SECRET").unwrap().is_none());
}

#[test]
fn two_secrets_for_tokens_stand_on_a_line_each() {
    let other = SECRET.replace('0', "1");
    let load = |text: &str| load(&[("JWT_SECRET", text)]);
    let secrets = load(&format!("{SECRET}\n{other}\n")).unwrap().auth.jwt_secrets;
    let secrets: Vec<_> = secrets.iter().map(|it| it.expose().to_owned()).collect();
    assert_eq!(secrets, [SECRET.to_owned(), other.clone()]);
    for text in
        [format!("{SECRET}\nshort"), format!("{SECRET}\n{other}\n{SECRET}"), format!("\n{SECRET}")]
    {
        assert!(load(&text).is_err(), "{text}");
    }
}

#[test]
fn what_an_older_release_left_is_the_last_place_and_opens_no_database() {
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
fn a_secret_given_twice_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.file("key", SECRET);
    let text = faults(&[("JWT_SECRET", SECRET), ("JWT_SECRET_FILE", &path)]);
    assert!(text.contains("both JWT_SECRET and JWT_SECRET_FILE are set"), "{text}");
}

#[test]
fn a_file_that_holds_no_secret_is_named_and_nothing_of_it_shown() {
    let scratch = Scratch::new();
    let bad = [
        (scratch.0.join("none").to_str().unwrap().to_owned(), "cannot be read"),
        (scratch.file("empty", ""), "is empty"),
        (scratch.file("blank", " \n\t\n"), "is empty"),
        (scratch.file("long", vec![b'x'; 64 * 1024 + 1]), "is longer than 64 KiB"),
        (scratch.file("binary", [b'x', 0xff, b'y']), "is not UTF-8"),
        (scratch.0.to_str().unwrap().to_owned(), "is not a file"),
        ("/dev/zero".to_owned(), "is not a file"),
    ];
    for (path, what) in bad {
        let text = faults(&[("OPENAI_API_KEY_FILE", &path)]);
        // A path that leads nowhere may be the secret itself.
        let shown = match what {
            "cannot be read" => "that OPENAI_API_KEY_FILE names",
            _ => &path,
        };
        assert!(text.contains(&format!("OPENAI_API_KEY_FILE: the file {shown} {what}")), "{text}");
        let (name, target) = ("OPENAI_API_KEY", scratch.0.join("OPENAI_API_KEY"));
        if what != "cannot be read" {
            symlink(&path, &target).unwrap();
            let text = faults(&[("CREDENTIALS_DIRECTORY", scratch.0.to_str().unwrap())]);
            assert!(text.contains(&format!("{name}: the file {}", target.display())), "{text}");
            fs::remove_file(target).unwrap();
        }
    }
}

#[test]
fn the_process_wins_over_the_file_beside_it() {
    let env = with_home(&[("BRUNE_LISTEN", "127.0.0.1:1")])
        .with_dotenv("BRUNE_LISTEN=127.0.0.1:2\nLOG_LEVEL=debug\nBRUNE_COOLDOWN_MINUTES=45\n");
    let config = Config::load(&env, Needs::Serve).unwrap();
    assert_eq!((config.listen.port(), config.log.level.as_str()), (1, "debug"));
    assert_eq!(env.raw("BRUNE_LISTEN"), Some(("127.0.0.1:1".to_owned(), Source::Env)));
    assert_eq!(env.raw("BRUNE_COOLDOWN_MINUTES"), Some(("45".to_owned(), Source::EnvFile)));
    assert_eq!(env.raw("BRUNE_PROMPT_ID"), None);
}

#[test]
fn faults_of_the_file_stand_beside_all_others() {
    let env = with_home(&[("LOG_FORMAT", "xml")]).with_dotenv("A=1\nnonsense\nA=2\n");
    let found = Config::load(&env, Needs::Serve).unwrap_err();
    let found: Vec<_> = found.iter().map(|fault| fault.variable.as_str()).collect();
    assert_eq!(found, [".env line 2", ".env line 3", "LOG_FORMAT"]);
}

#[test]
fn a_variable_of_ours_that_is_no_text_is_a_fault() {
    use std::os::unix::ffi::OsStringExt as _;
    let broken = OsString::from_vec(vec![b'4', 0xff]);
    let env = Environment::of_pairs([
        (OsString::from("HOME"), OsString::from("/home/ana")),
        (OsString::from("BRUNE_COOLDOWN_MINUTES"), broken.clone()),
        (OsString::from("BRUNE_LISTEN"), broken),
    ]);
    let found = Config::load(&env, Needs::Serve).unwrap_err();
    let found: Vec<_> = found.iter().map(|fault| fault.variable.as_str()).collect();
    assert_eq!(found, ["BRUNE_COOLDOWN_MINUTES", "BRUNE_LISTEN"]);
}

#[test]
fn nothing_that_holds_a_secret_shows_it() {
    let pairs = [
        ("JWT_SECRET", "jwt-shown-0123456789abcdef0123456789"),
        ("INTERNAL_API_KEY", "key-shown-0123456789"),
        ("DATABASE_URL", "postgres://u:url-shown@h/d"),
        ("DISCORD_WEBHOOK_URL", "https://h/hook-shown"),
    ];
    let env = with_home(&pairs).with_dotenv("OPENAI_API_KEY=openai-shown\n");
    let shown = format!("{env:?} {:?}", Config::load(&env, Needs::Serve).unwrap());
    assert!(!shown.contains("-shown"), "{shown}");
}

#[test]
fn a_development_secret_is_made_once_and_kept_to_its_owner() {
    let scratch = Scratch::new();
    let dir = scratch.0.join("below/brune");
    let env = Environment::of_pairs([("BRUNE_DATA_DIR", &dir)]);
    let first = Config::load(&env, Needs::Serve).unwrap().with_development_secret().unwrap();
    let second = Auth::load(&env).unwrap();
    let (first, second) = (first.auth.jwt_secrets[0].expose(), second.jwt_secrets[0].expose());
    assert!(first == second && first.len() == 64, "made again");
    assert!(first.bytes().all(|b| b.is_ascii_hexdigit()));
    let mode = fs::metadata(dir.join("jwt_secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "something was left behind");
}

#[test]
fn many_that_make_the_secret_at_once_agree_on_one() {
    let scratch = Scratch::new();
    let env = Environment::of_pairs([("BRUNE_DATA_DIR", &scratch.0)]);
    let secrets = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| Auth::load(&env).unwrap().jwt_secrets[0].expose().to_owned()))
            .collect();
        makers.into_iter().map(|it| it.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(secrets.len(), 1);
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1, "something was left behind");
}

#[test]
fn a_kept_secret_that_is_short_or_open_to_others_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.file("jwt_secret", "short");
    let env = Environment::of_pairs([("BRUNE_DATA_DIR", &scratch.0)]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Auth::load(&env).unwrap_err().to_string().contains("is shorter than 32 bytes"));
    fs::write(&path, SECRET).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Auth::load(&env).unwrap_err().to_string().contains("other users may read it"));
}

#[test]
fn production_never_makes_a_secret() {
    let scratch = Scratch::new();
    let dir = scratch.0.to_str().unwrap();
    let env = Environment::of_pairs([("NODE_ENV", "production"), ("BRUNE_DATA_DIR", dir)]);
    assert!(Auth::load(&env).unwrap_err().to_string().contains("JWT_SECRET"));
    let pairs = [("NODE_ENV", "production"), ("DATABASE_URL", "postgres://u@h/d")];
    let env = Environment::of_pairs(pairs.into_iter().chain([("BRUNE_DATA_DIR", dir)]));
    let config = Config::load(&env, Needs::Database).unwrap().with_development_secret().unwrap();
    assert!(config.auth.jwt_secrets.is_empty());
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}
