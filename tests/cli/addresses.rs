//! A password in an address is never repeated, whatever characters it has and wherever it stands: not by an error,
//! not in the log of any library at the most talkative level.

use crate::support::binary::Home;

/// The characters that end a part of an address, that are decoded, or that parsers drop.
const SPECIAL: [&str; 20] = [
    "@", "/", "?", "#", "%", ":", "[", "]", " ", "\\", "é", "\n", "\t", "&", "=", "+", ";", "%4",
    "://", "@/",
];

/// The letters of the password. No word of a log has four of them in a row.
const PIECES: [&str; 3] = ["ZqXjVw", "KxQzJv", "WzGqYx"];

/// A password with `special` at its beginning, in its middle, at its end, after a number that can be a port, and
/// after something that can be a host.
fn passwords(special: &str) -> [String; 5] {
    let [a, b, c] = PIECES;
    [
        format!("{special}{a}{b}{c}"),
        format!("{a}{special}{b}{special}{c}"),
        format!("{a}{b}{c}{special}"),
        format!("80{special}{a}{b}{special}{c}"),
        format!("{a}@{b}{special}{c}"),
    ]
}

/// Asserts that no four bytes of the password are in `text`.
#[track_caller]
fn has_no_piece(text: &str, what: &str) {
    for piece in PIECES {
        for window in piece.as_bytes().windows(4) {
            let window = std::str::from_utf8(window).unwrap();
            assert!(!text.contains(window), "{what} repeats {window}: {text}");
        }
    }
}

/// Runs `arguments` with `variables`; returns what it printed.
fn output_of(arguments: &[&str], variables: &[(&str, String)]) -> String {
    let home = variables.iter().fold(Home::new(), |home, (name, value)| home.with(name, value));
    let outcome = home.run(arguments);
    assert_ne!(outcome.code, Some(0), "{variables:?}: {outcome:?}");
    assert!(!outcome.err.contains("panicked"), "{outcome:?}");
    outcome.out + &outcome.err
}

/// Runs `check` for every password.
fn for_every_password(mut check: impl FnMut(usize, &str)) {
    let all = SPECIAL.iter().flat_map(|special| passwords(special));
    for (at, password) in all.enumerate() {
        check(at, &password);
    }
}

const DATABASE: [&[&str]; 4] = [&["doctor"], &["serve"], &["migrate"], &["migrate", "--plan"]];

#[test]
fn no_part_of_the_database_password_is_printed() {
    for_every_password(|at, password| {
        let url = format!("postgres://ada:{password}@127.0.0.1:1/brune?sslmode=disable");
        let arguments = DATABASE[at % DATABASE.len()];
        let text = output_of(arguments, &[("DATABASE_URL", url)]);
        has_no_piece(&text, &format!("{arguments:?} with {password:?}"));
    });
}

#[test]
fn no_part_of_a_password_elsewhere_in_the_url_is_printed() {
    let [a, b, c] = PIECES;
    for (variable, value) in [
        ("DATABASE_URL", format!("postgres://ada@127.0.0.1:1/brune?password={a}&{b}={c}")),
        ("DATABASE_URL", format!("postgres://ada@127.0.0.1:1/brune?sslmode={a}{b}")),
        ("DATABASE_URL", format!("postgres://ada@127.0.0.1:1/brune?port={a}{b}")),
        ("DATABASE_URL", format!("postgres://ada@127.0.0.1:1/brune?hostaddr={a}{b}")),
        ("DATABASE_URL", format!("postgres://ada@127.0.0.1:1/brune?statement-cache-capacity={a}")),
        ("DATABASE_URL", format!("postgres://ada@127.0.0.1:1/brune#{a}{b}")),
        ("DATABASE_URL", format!("postgres://ada:80?{a}@127.0.0.1/brune")),
        ("DATABASE_URL", format!("postgres://ada:80#{a}@127.0.0.1/brune?user=ada")),
        ("DATABASE_URL", format!("postgres://ada:{a}")),
        ("DATABASE_URL", format!("ada:{a}@127.0.0.1/brune")),
        ("DATABASE_URL", format!("mysql://ada:{a}@127.0.0.1/brune")),
        ("DATABASE_URL", format!("{a}://ada:{b}@127.0.0.1/brune")),
        ("DATABASE_URL", format!("\"postgres://ada:{a}@127.0.0.1/brune\"")),
        // The address itself, where the name of a file belongs.
        ("DATABASE_URL_FILE", format!("postgres://ada:{a}@127.0.0.1/brune")),
        ("JWT_SECRET_FILE", format!("{a}{b}{c}")),
        ("POSTGRES_HOST", format!("postgres://ada:{a}@127.0.0.1/brune")),
        ("POSTGRES_HOST", format!("ada:{a}@127.0.0.1")),
        ("POSTGRES_PORT", format!("{a}{b}")),
    ] {
        for arguments in DATABASE {
            let mut variables = vec![(variable, value.clone())];
            if variable.starts_with("POSTGRES") {
                for (name, value) in [
                    ("POSTGRES_HOST", "127.0.0.1"),
                    ("POSTGRES_USER", "ada"),
                    ("POSTGRES_PASSWORD", a),
                    ("POSTGRES_DB", "brune"),
                ] {
                    if name != variable {
                        variables.push((name, value.to_owned()));
                    }
                }
            } else if variable == "JWT_SECRET_FILE" {
                variables.push(("DATABASE_URL", "postgres://ada@127.0.0.1:1/brune".to_owned()));
            }
            let text = output_of(arguments, &variables);
            has_no_piece(&text, &format!("{arguments:?} with {variable}={value}"));
        }
    }
}

#[test]
fn no_part_of_the_direct_url_password_is_printed() {
    let nowhere = || ("DATABASE_URL", "postgres://ada@127.0.0.1:1/brune".to_owned());
    for_every_password(|at, password| {
        let arguments = DATABASE[at % DATABASE.len()];
        let parts = [
            ("POSTGRES_HOST", "127.0.0.1".to_owned()),
            ("POSTGRES_PORT", "1".to_owned()),
            ("POSTGRES_USER", "ada".to_owned()),
            ("POSTGRES_PASSWORD", password.to_owned()),
            ("POSTGRES_DB", "brune".to_owned()),
        ];
        has_no_piece(&output_of(arguments, &parts), password);
        let direct = format!("postgresql://ada:{password}@127.0.0.1:1/brune");
        let around = [
            nowhere(),
            ("BRUNE_DB_POOLER", "transaction".to_owned()),
            ("DATABASE_DIRECT_URL", direct),
        ];
        has_no_piece(&output_of(arguments, &around), password);
    });
}

#[test]
fn no_part_of_another_services_password_is_printed() {
    for_every_password(|at, password| {
        let web = |host: &str| format!("https://ada:{password}@{host}/path");
        let variables = [
            ("DATABASE_URL", "postgres://ada@127.0.0.1:1/brune".to_owned()),
            ("BRUNE_RELOAD", "redis".to_owned()),
            ("REDIS_URL", format!("redis://ada:{password}@127.0.0.1:1/0")),
            ("ALERT_WEBHOOK_URL", web("alerts.test")),
            ("ALERT_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
            ("DISCORD_WEBHOOK_URL", web("discord.test")),
            ("INTERNAL_API_KEY", "an-internal-key-of-ours".to_owned()),
            ("BRUNE_OPENAI_BASE_URL", web("openai.test")),
            ("PORTE_TALENT_BASE_URL", web("talent.test")),
            ("BRUNE_PUBLIC_URL", web("public.test")),
            ("BRUNE_CORS_ORIGINS", web("origin.test")),
        ];
        // Each by itself as well: a fault of one must not hide what another does.
        let arguments = DATABASE[at % DATABASE.len()];
        has_no_piece(&output_of(arguments, &variables), password);
        let alone = &variables[3 + at % 8..][..1];
        let alone: Vec<_> = variables[..2].iter().chain(alone).cloned().collect();
        has_no_piece(&output_of(&["serve"], &alone[..1]), password);
        has_no_piece(&output_of(arguments, &alone), password);
    });
}

#[test]
fn no_part_of_the_password_in_the_service_url_is_printed() {
    for_every_password(|at, password| {
        let arguments: &[&str] = match at % 3 {
            0 => &["config", "list"],
            1 => &["secrets", "status"],
            _ => &["config", "set", "BRUNE_COOLDOWN_MINUTES", "3", "-r", "a test"],
        };
        let variables = [
            ("BRUNE_URL", format!("http://ada:{password}@127.0.0.1:1/")),
            ("BRUNE_TOKEN", "a-token".to_owned()),
        ];
        has_no_piece(&output_of(arguments, &variables), password);
    });
}

#[test]
fn an_unencoded_password_is_reported_as_such() {
    for (variable, value) in [
        ("DATABASE_URL", "postgres://u:80?word@h/d"),
        ("DATABASE_URL", "postgres://u:pa/ss@h/d"),
        ("DATABASE_URL", "postgres://u:pa#ss@h/d"),
        ("DATABASE_URL", "postgres://u:pa@s/s@h/d"),
        ("REDIS_URL", "redis://u:80?word@h/0"),
        ("ALERT_WEBHOOK_URL", "https://u:80?word@h/d"),
        ("BRUNE_OPENAI_BASE_URL", "https://u:80?word@h/d"),
    ] {
        let mut variables = vec![(variable, value.to_owned())];
        if variable != "DATABASE_URL" {
            variables.push(("DATABASE_URL", "postgres://ada@127.0.0.1:1/brune".to_owned()));
            variables.push(("BRUNE_RELOAD", "redis".to_owned()));
        }
        if variable != "REDIS_URL" {
            variables.push(("REDIS_URL", "redis://127.0.0.1:1".to_owned()));
        }
        let text = output_of(&["doctor"], &variables);
        assert!(text.contains(variable) && text.contains("percent-encode"), "{value}: {text}");
    }
    // What is encoded goes on to the connection, which names host and database alone.
    let url = "postgres://u:pa%40%2F%3F%23ss@127.0.0.1:1/d".to_owned();
    let text = output_of(&["doctor"], &[("DATABASE_URL", url)]);
    assert!(text.contains("cannot connect to the database at 127.0.0.1:1 (database d)"), "{text}");
}
