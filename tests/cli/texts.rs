//! One text, every way in: it is taken, changed or refused alike, or the difference stands in
//! `docs/configuration.md`, from which this test reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{
    TestApp, TestDb,
    binary::{Home, Service},
    by_hand,
};

/// What a default is, where a text gives no value.
const DEFAULT: &str = "the default";

/// The ways in, as the documentation names them.
const DOORS: [&str; 7] = [
    "JSON",
    "JSON document",
    "YAML document",
    "`.env` document",
    "command line",
    "environment",
    "`.env` file",
];

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Taken(Value),
    Refused,
    /// The key has its default.
    NoValue,
    /// The system cannot pass it on.
    CannotPass,
}

impl Outcome {
    /// As the documentation spells it.
    fn words(&self) -> &'static str {
        match self {
            Self::Taken(_) => "taken",
            Self::Refused => "refused",
            Self::NoValue => "gives no value",
            Self::CannotPass => "cannot be passed",
        }
    }
}

/// A text and what is odd about it.
struct Case {
    class: &'static str,
    text: String,
}

fn cases() -> Vec<Case> {
    let plain = [
        "3",
        "a b",
        "ação",
        "漢字",
        "👩\u{200D}🚀",
        "שלום",
        "e\u{301}",
        "a#b",
        "a # b",
        "$HOME",
        "${HOME}",
        "`x`",
        "\\n",
        "a\\b",
        "it's",
        "say \"hi\"",
        "a=b",
        "https://a.test/?q=1&b=2",
        "[]",
        "{}",
        "null",
        "true",
        "30",
        "0x10",
        "1e3",
        "~",
        "no",
        "yes",
        "- a",
        "a: b",
        "*a",
        "&a",
        "!a",
        "%41",
        "a,b",
    ];
    let outer = [" 3", "3 ", "\u{A0}3", "3\u{3000}"];
    let blank = ["", " ", "\u{A0}", "\u{3000}\u{2003}"];
    let invisible = ["\u{200B}", "\u{3164}", "\u{2800}", "\u{FE0F}", "\u{E0041}\u{E0042}"];
    let ends = ["3\r", "3\n", "3\r\n", "a\nb", "a\rb", "\r", "\n"];
    let controls =
        ["\t3", "a\tb", "a\u{1B}[31mb", "\u{7F}", "\u{85}", "a\u{9B}b", "\u{7}", "\u{1}"];
    let deceiving = ["a\u{202E}b", "\u{2066}a", "a\u{200F}", "\u{61C}", "a\u{2028}b", "a\u{2029}b"];
    let none = ["\u{FEFF}3", "a\u{FEFF}b", "\u{FDD0}", "\u{FFFE}", "\u{10FFFF}"];
    let quotes = ["\"3\"", "'3'", "\"\"", " '3' "];
    let lists: [(&str, &[&str]); 9] = [
        ("plain", &plain),
        ("outer blanks", &outer),
        ("blank", &blank),
        ("invisible", &invisible),
        ("line ends", &ends),
        ("controls", &controls),
        ("deceiving", &deceiving),
        ("no character", &none),
        ("in quotes", &quotes),
    ];
    let of_list = |&(class, texts): &(&'static str, &[&str])| {
        let case = |text: &&str| Case { class, text: (*text).to_owned() };
        texts.iter().map(case).collect::<Vec<_>>()
    };
    let mut cases: Vec<_> = lists.iter().flat_map(of_list).collect();
    cases.push(Case { class: "NUL", text: "a\0b".to_owned() });
    cases.push(Case { class: "begins with `-`", text: "-5".to_owned() });
    cases.push(Case { class: "long", text: "x".repeat(65_536) });
    cases.push(Case { class: "too long", text: "x".repeat(65_537) });
    cases
}

fn key(door: usize, at: usize) -> String {
    format!("T_{door}_{at}")
}

/// A catalog with a key of type string for each case and door, with other types for [`typed`].
fn catalog(cases: usize) -> String {
    let mut text = "catalog = \"texts\"\ndescription = \"For a test.\"\n".to_owned();
    let mut setting = |key: &str, kind: &str, default: &str| {
        let _ = write!(
            text,
            "[[setting]]\nkey = \"{key}\"\ncategory = \"a\"\ntype = \"{kind}\"\ndefault = {default}\n\
             applies = \"hot\"\ndescription = \"A text.\"\n"
        );
    };
    for door in 0..DOORS.len() {
        for at in 0..cases {
            setting(&key(door, at), "string", &format!("\"{DEFAULT}\""));
        }
        for (at, (kind, _)) in typed().iter().enumerate() {
            let default = match *kind {
                "number" => "7777",
                "boolean" => "false",
                _ => "[\"the default\"]",
            };
            setting(&key(door, 1000 + at), kind, default);
        }
    }
    text
}

/// Texts for keys whose type is not a text.
fn typed() -> Vec<(&'static str, &'static str)> {
    let numbers =
        ["30", " 30 ", "30.0", "3e1", "-5", "030", "0x1e", "30 # x", "thirty", "1,5", "+3", ""];
    let booleans = ["true", " true", "True", "1", "yes", "\u{202E}true", ""];
    let lists =
        ["a", "a,b", " a , b ", "a,,b", "[\"a\",\"b\"]", "[]", "[1]", "[\"a\",", "a\u{1B},b", ""];
    let of_kind =
        |kind, texts: &[&'static str]| texts.iter().map(|text| (kind, *text)).collect::<Vec<_>>();
    [of_kind("number", &numbers), of_kind("boolean", &booleans), of_kind("string_array", &lists)]
        .concat()
}

/// `text` in the double quotes of a `.env` file.
fn in_env(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '"' | '\\' | '$' | '`' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// `text` in the double quotes of YAML.
fn in_yaml(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
        }
    }
    quoted + "\""
}

/// A service over a database with the catalog, and a home that its commands run in.
struct World {
    home: Home,
    service: Service,
    _db: TestDb,
}

impl World {
    async fn new(catalog: &str) -> Self {
        let db = TestDb::empty().await;
        let mut home = Home::on(&db);
        let path = home.write("catalog.toml", catalog).display().to_string();
        home.set("BRUNE_CATALOG", &path);
        home.run(&["migrate"]).ok();
        let service = home.serve();
        home.set("BRUNE_URL", &format!("http://{}", service.address()));
        home.set("BRUNE_TOKEN", &service.token.clone());
        Self { home, service, _db: db }
    }

    async fn value(&self, key: &str) -> Value {
        self.service.get(&format!("/admin/config/{key}")).await["value"].clone()
    }

    /// Sends `text` for `key` through the door; a number, boolean or list through those that read texts only.
    async fn send(&self, door: &str, key: &str, text: &str) -> Outcome {
        let before = self.value(key).await;
        let import = async |media: &str, body: String| {
            let path = "/admin/config/import?reason=a%20test";
            let call = self.service.call(Method::POST, path).header("content-type", media);
            call.body(body).send().await.unwrap().status().as_u16()
        };
        let status = match door {
            "JSON" => {
                let change = self.service.change(key, &json!(text), 1);
                change.send().await.unwrap().status().as_u16()
            }
            "JSON document" => {
                let document = json!({"format_version": 1, "settings": {key: text}});
                import("application/json", document.to_string()).await
            }
            "YAML document" => {
                let body = format!("format_version: 1\nsettings:\n  {key}: {}\n", in_yaml(text));
                import("application/yaml", body).await
            }
            "`.env` document" => import("text/plain", format!("{key}={}\n", in_env(text))).await,
            "command line" if text.contains('\0') => return Outcome::CannotPass,
            "command line" => {
                let done = self.home.run(&["config", "set", key, text, "--reason", "a test"]);
                if done.code == Some(0) { 200 } else { 400 }
            }
            door => panic!("no such door: {door}"),
        };
        match status {
            200 => Outcome::Taken(self.value(key).await),
            status => {
                assert!((400..500).contains(&status), "{door}, {text:?}: {status}");
                assert_eq!(self.value(key).await, before, "{door}, {text:?}: refused and stored");
                Outcome::Refused
            }
        }
    }
}

/// What becomes of `texts` as first values, each under its key, in the environment or in a `.env` file.
async fn first_values(catalog: &str, in_file: bool, texts: &[(String, &str)]) -> Vec<Outcome> {
    let db = TestDb::empty().await;
    let mut outcomes: BTreeMap<&str, Outcome> = BTreeMap::new();
    // Those that are refused are left out, until the others are taken.
    loop {
        let home = Home::on(&db);
        let path = home.write("catalog.toml", catalog).display().to_string();
        let mut home = home.with("BRUNE_CATALOG", &path);
        let mut file = String::new();
        for (key, text) in texts {
            let is_out = outcomes.contains_key(key.as_str());
            if in_file {
                // A line for each, so that its number tells the key.
                let line = format!("{key}={}", in_env(text));
                file += if is_out { "" } else { &line };
                file += "\n";
            } else if text.contains('\0') {
                outcomes.insert(key, Outcome::CannotPass);
            } else if !is_out {
                home.set(key, text);
            }
        }
        if in_file {
            home.write(".env", &file);
        }
        let done = home.run(&["migrate"]);
        if done.code == Some(0) {
            break;
        }
        let is_named = |at: usize, key: &str| {
            let line = format!(".env line {}:", at + 1);
            done.err.lines().any(|it| {
                let it = it.trim();
                it.starts_with(&line)
                    || it.starts_with(&format!("{key}:"))
                    || it.starts_with(&format!("{key} ("))
            })
        };
        let refused = texts.iter().enumerate().filter(|(at, (key, _))| is_named(*at, key));
        let before = outcomes.len();
        outcomes.extend(refused.map(|(_, (key, _))| (key.as_str(), Outcome::Refused)));
        assert!(outcomes.len() > before, "nothing is named: {}", done.err);
    }
    let stored = stored(&db.pool()).await;
    let outcome = |key: &String| {
        outcomes.get(key.as_str()).cloned().unwrap_or_else(|| match &stored[key] {
            (_, reason) if !reason.starts_with("env_import") => Outcome::NoValue,
            (value, _) => Outcome::Taken(value.clone()),
        })
    };
    texts.iter().map(|(key, _)| outcome(key)).collect()
}

/// Every value with the reason of its first entry on the trail.
async fn stored(pool: &PgPool) -> BTreeMap<String, (Value, String)> {
    let sql = "select s.key, s.value_json, a.reason
        from app_global_settings s join app_global_setting_audit a using (key, version)";
    let rows: Vec<(String, Value, String)> = sqlx::query_as(sql).fetch_all(pool).await.unwrap();
    rows.into_iter().map(|(key, value, reason)| (key, (value, reason))).collect()
}

/// The rows of the table under `heading` in the documentation, cell by cell.
fn documented(heading: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("\n{heading}\n")).expect(heading);
    let table = section.lines().skip_while(|it| !it.starts_with('|'));
    let rows = table.take_while(|it| it.starts_with('|')).skip(2);
    let cells = |row: &str| {
        row.trim_matches('|').split('|').map(|it| it.trim().to_owned()).collect::<Vec<_>>()
    };
    rows.map(cells).collect()
}

/// A difference: which texts, through which door, and what becomes of them.
type Difference = (String, String, String);

/// The differences that the documentation tells.
fn documented_differences() -> BTreeSet<Difference> {
    let rows = documented("### Where a text is read differently");
    let of_row = |row: &Vec<String>| {
        let [class, doors, outcome, why] = &row[..] else { panic!("{row:?}") };
        assert!(why.len() > 10, "no reason: {row:?}");
        let door = |door: &str| (class.clone(), door.trim().to_owned(), outcome.clone());
        doors.split(',').map(door).collect::<Vec<_>>()
    };
    rows.iter().flat_map(of_row).collect()
}

#[tokio::test]
async fn a_text_is_treated_alike_at_every_door_or_the_difference_is_documented() {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    let catalog = catalog(cases.len());
    let world = World::new(&catalog).await;
    let mut outcomes: Vec<Vec<Outcome>> = Vec::new();
    for (at, door) in DOORS.iter().enumerate().take(5) {
        let mut of_door = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            of_door.push(world.send(door, &key(at, number), &case.text).await);
        }
        outcomes.push(of_door);
    }
    for (at, in_file) in [(5, false), (6, true)] {
        let texts: Vec<_> =
            cases.iter().enumerate().map(|(number, it)| (key(at, number), &*it.text)).collect();
        outcomes.push(first_values(&catalog, in_file, &texts).await);
    }
    let mut found = BTreeSet::new();
    for (door, of_door) in DOORS.iter().zip(&outcomes) {
        for ((case, first), outcome) in cases.iter().zip(&outcomes[0]).zip(of_door) {
            if let Outcome::Taken(value) = outcome {
                assert_eq!(*value, json!(case.text), "{door} changes {:?}", case.text);
            }
            if outcome != first {
                found.insert((
                    case.class.to_owned(),
                    (*door).to_owned(),
                    outcome.words().to_owned(),
                ));
            }
        }
    }
    // What every door must refuse, and what none may.
    for (case, outcome) in cases.iter().zip(&outcomes[0]) {
        let is_fine =
            ["plain", "outer blanks", "blank", "invisible", "in quotes", "long", "begins with `-`"];
        let fine = is_fine.contains(&case.class);
        assert_eq!(matches!(outcome, Outcome::Taken(_)), fine, "{:?}: {outcome:?}", case.text);
    }
    assert_eq!(found, documented_differences());
}

#[tokio::test]
async fn numbers_booleans_and_lists_are_read_alike_where_only_texts_can_be_written() {
    let catalog = catalog(0);
    let world = World::new(&catalog).await;
    let mut outcomes = Vec::new();
    for at in [3, 4] {
        let mut of_door = Vec::new();
        for (number, (_, text)) in typed().iter().enumerate() {
            of_door.push(world.send(DOORS[at], &key(at, 1000 + number), text).await);
        }
        outcomes.push(of_door);
    }
    let typed = typed();
    for (at, in_file) in [(5, false), (6, true)] {
        let texts: Vec<_> = typed
            .iter()
            .enumerate()
            .map(|(number, (_, text))| (key(at, 1000 + number), *text))
            .collect();
        outcomes.push(first_values(&catalog, in_file, &texts).await);
    }
    for (number, (kind, text)) in typed.iter().enumerate() {
        let all: Vec<_> = outcomes.iter().map(|it| &it[number]).collect();
        if text.is_empty() {
            // The difference of blank texts, which the table tells.
            assert_eq!(all[0], all[1], "{kind} {text:?}");
            assert_eq!((all[2], all[3]), (&Outcome::NoValue, &Outcome::NoValue));
        } else {
            assert!(all.iter().all(|it| it == &all[0]), "{kind} {text:?}: {all:?}");
        }
    }
}

const MIB: usize = 1024 * 1024;

/// What is odd about a file: its name, its line ends, what stands before it, a byte behind it, and its length at least.
type FileCase = (&'static str, &'static str, &'static [u8], Option<u8>, usize);

/// A file or a document, as bytes: `{line_end}` behind each line, and something before and after.
fn document(lines: &[&str], line_end: &str, before: &[u8], after: &[u8]) -> Vec<u8> {
    let text: String = lines.iter().flat_map(|line| [line, line_end]).collect();
    [before, text.as_bytes(), after].concat()
}

#[tokio::test]
async fn a_file_is_read_alike_at_every_door_or_the_difference_is_documented() {
    let world = World::new(&catalog(0)).await;
    let key = key(0, 1000);
    // Behind each document comes what its format takes for nothing, until it is as long as is said.
    let doors: [(&str, &[&str], &[u8]); 7] = [
        ("`.env` document", &[&format!("{key}=30"), "# more"], b"#"),
        ("`.env` file", &["BRUNE_LISTEN=127.0.0.1:0", "LOG_LEVEL=info"], b"#"),
        (
            "JSON",
            &[
                "{\"reason\": \"a test\",",
                &format!("\"changes\": [{{\"key\": \"{key}\", \"value\": 30}}]}}"),
            ],
            b" ",
        ),
        (
            "JSON document",
            &["{\"format_version\": 1,", &format!("\"settings\": {{\"{key}\": 30}}}}")],
            b" ",
        ),
        ("YAML document", &["format_version: 1", "settings:", &format!("  {key}: 30")], b"#"),
        ("secret file", &["a-key-of-the-provider"], b"x"),
        ("catalog", &["catalog = \"texts\"", "description = \"For a test.\""], b"#"),
    ];
    let cases: [FileCase; 7] = [
        ("LF line ends", "\n", b"", None, 0),
        ("CRLF line ends", "\r\n", b"", None, 0),
        ("CR line ends", "\r", b"", None, 0),
        ("byte order mark", "\n", b"\xEF\xBB\xBF", None, 0),
        ("not UTF-8", "\n", b"", Some(0xFF), 0),
        ("64 KiB to 1 MiB", "\n", b"", None, MIB),
        ("over 1 MiB", "\n", b"", None, MIB + 1),
    ];
    let mut found = BTreeSet::new();
    for (case, line_end, before, wrong, length) in cases {
        let mut first = None;
        for (door, lines, padding) in doors {
            let mut bytes = document(lines, line_end, before, wrong.as_slice());
            while bytes.len() < length {
                bytes.push(padding[0]);
            }
            let taken = is_file_taken(&world, door, bytes).await;
            let first = *first.get_or_insert(taken);
            if taken != first {
                let outcome = if taken { "taken" } else { "refused" };
                found.insert((case.to_owned(), door.to_owned(), outcome.to_owned()));
            }
        }
        let is_fine = !["CR line ends", "not UTF-8", "over 1 MiB"].contains(&case);
        assert_eq!(first, Some(is_fine), "{case}");
    }
    let rows = documented("### Where a file is read differently");
    let of_row = |row: &Vec<String>| {
        let [case, doors, outcome, why] = &row[..] else { panic!("{row:?}") };
        assert!(why.len() > 10, "no reason: {row:?}");
        let door = |door: &str| (case.clone(), door.trim().to_owned(), outcome.clone());
        doors.split(',').map(door).collect::<Vec<_>>()
    };
    assert_eq!(found, rows.iter().flat_map(of_row).collect());
}

async fn is_file_taken(world: &World, door: &str, bytes: Vec<u8>) -> bool {
    let send = async |method, path: &str, media: &str| {
        let call = world.service.call(method, path).header("content-type", media);
        // One that is too long may be answered before it is read.
        let reply = call.body(bytes.clone()).send().await;
        reply.is_ok_and(|it| it.status().is_success())
    };
    let import = "/admin/config/import?dry_run=true";
    let home = Home::new().with("DATABASE_URL", "postgres://ada@127.0.0.1:1/brune");
    let starts = |home: Home, name: &str| {
        // Behind what the environment says comes the database, which is not there.
        let done = home.run(&["doctor"]);
        let named = done.err.contains(name);
        assert!(named || done.err.contains("cannot connect"), "{door}: {}", done.err);
        !named
    };
    match door {
        "`.env` document" => send(Method::POST, import, "text/plain").await,
        "JSON document" => send(Method::POST, import, "application/json").await,
        "YAML document" => send(Method::POST, import, "application/yaml").await,
        "JSON" => {
            let path = "/admin/global-settings?dry_run=true";
            let call = world.service.call(Method::PATCH, path).header("if-match", "\"r1\"");
            let call = call.header("content-type", "application/json").body(bytes);
            call.send().await.is_ok_and(|it| it.status().is_success())
        }
        "`.env` file" => {
            home.write_bytes(".env", &bytes);
            starts(home, ".env")
        }
        "secret file" => {
            let path = home.write_bytes("key", &bytes).display().to_string();
            starts(home.with("OPENAI_API_KEY_FILE", &path), "OPENAI_API_KEY_FILE")
        }
        "catalog" => {
            let path = home.write_bytes("catalog.toml", &bytes).display().to_string();
            starts(home.with("BRUNE_CATALOG", &path), "catalog.toml")
        }
        door => panic!("no such door: {door}"),
    }
}

/// A secret as it may come, and whether it is one; if so, without the line end behind it.
const SECRETS: [(&str, bool); 16] = [
    ("a secret of thirty-two bytes, 01", true),
    ("a secret of thirty-two bytes, 01\na secret of thirty-two bytes, 02", true),
    ("a secret of thirty-two bytes, 01\r\na secret of thirty-two bytes, 02\r\n", true),
    ("a secret of thirty-two bytes, 01\n", true),
    ("a\tsecret of thirty-two bytes, 01", true),
    ("ação ação ação ação ação ação ação 漢字", true),
    ("a secret of thirty-two bytes, 01\r", false),
    ("a secret of thirty-two\rbytes and more, 01", false),
    ("\u{FEFF}\u{FEFF}a secret of thirty-two bytes, 01", false),
    ("a secret of \u{202E}thirty-two bytes, 01", false),
    ("a secret of \u{1B}[31mthirty-two bytes, 01", false),
    (
        "\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}",
        false,
    ),
    (
        "\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}",
        false,
    ),
    ("                                  ", false),
    ("'a secret of thirty-two bytes, 01'", false),
    ("\"a secret of thirty-two bytes, 01\"", false),
];

#[test]
fn a_secret_is_read_alike_from_the_environment_and_from_files() {
    for (secret, is_one) in SECRETS {
        for door in ["environment", "`.env` file", "X_FILE", "credential"] {
            let home = Home::new().with("DATABASE_URL", "postgres://ada@127.0.0.1:1/brune");
            let home = match door {
                "environment" => home.with("JWT_SECRET", secret),
                "`.env` file" => {
                    home.write(".env", &format!("JWT_SECRET={}\n", in_env(secret)));
                    home
                }
                "X_FILE" => {
                    let path = home.write("the-key", secret).display().to_string();
                    home.with("JWT_SECRET_FILE", &path)
                }
                _ => {
                    let path = home.write("JWT_SECRET", secret);
                    home.with(
                        "CREDENTIALS_DIRECTORY",
                        &path.parent().unwrap().display().to_string(),
                    )
                }
            };
            let done = home.run(&["doctor"]);
            let is_named = done.err.contains("JWT_SECRET") || done.err.contains(".env line 1:");
            assert!(is_named || done.err.contains("cannot connect"), "{}", done.err);
            assert_eq!(!is_named, is_one, "{secret:?} from {door}: {}", done.err);
        }
    }
}

#[tokio::test]
async fn a_secret_of_the_catalog_that_cannot_be_read_stops_the_start() {
    let db = TestDb::empty().await;
    let text = catalog(0) + "[[secret]]\nkey = \"PARTNER_KEY\"\ndescription = \"Of a partner.\"\n";
    let home = Home::on(&db);
    let path = home.write("catalog.toml", &text).display().to_string();
    let home = home.with("BRUNE_CATALOG", &path);
    home.run(&["migrate"]).ok();
    let home = home.with("PARTNER_KEY", "'a key of a partner'");
    home.run(&["serve"]).refused(&["PARTNER_KEY: stands in quotes"]);
}

#[tokio::test]
async fn doctor_finds_characters_that_were_stored_before_and_the_service_still_runs() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    by_hand::set(&pool, "BRUNE_PROMPT_VERSION", "\"3\\r\"").await;
    by_hand::set(&pool, "BRUNE_ELIGIBILITY_ALLOWED_LEVELS", "[\"a\", \"b\\u202e\"]").await;
    let home = Home::on(&app.db);
    home.run(&["doctor"]).refused(&[
        "FAULT characters: BRUNE_PROMPT_VERSION must not contain a control character (U+000D)",
        "FAULT characters: BRUNE_ELIGIBILITY_ALLOWED_LEVELS item 2 must not contain",
    ]);
    let service = home.serve();
    assert_eq!(service.get("/admin/config/BRUNE_PROMPT_VERSION").await["value"], "3\r");
    assert_eq!(service.anonymous(Method::GET, "/readyz").send().await.unwrap().status(), 200);
    assert!(home.log().contains("stored values have characters that no write takes"));
    // It does not come back once it is mended.
    let mended = service.change("BRUNE_PROMPT_VERSION", &json!("3"), 2);
    assert_eq!(mended.send().await.unwrap().status(), 200);
    let back =
        json!({"key": "BRUNE_PROMPT_VERSION", "to_version": 2, "version": 3, "reason": "a test"});
    let call = service.call(Method::POST, "/admin/global-settings/rollback").json(&back);
    assert_eq!(call.send().await.unwrap().status(), 400);
    let mended = service.change("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", &json!(["a"]), 2);
    assert_eq!(mended.send().await.unwrap().status(), 200);
    service.stop().await;
    home.run(&["doctor"]).ok();
}

#[tokio::test]
async fn a_first_value_with_such_characters_is_refused_by_name_whatever_starts_with_it() {
    let db = TestDb::empty().await;
    for (value, named) in [
        ("3\r", "U+000D"),
        ("\u{1B}[31m3", "U+001B"),
        ("3\u{202E}", "U+202E"),
        ("\"3\"", "stands in quotes"),
    ] {
        let home = Home::on(&db).with("BRUNE_PROMPT_VERSION", value);
        for arguments in [&["migrate"][..], &["migrate", "--plan"]] {
            home.run(arguments).refused(&["BRUNE_PROMPT_VERSION", named]);
        }
    }
    // With a private database the start itself takes first values.
    let home = Home::new().with("BRUNE_PROMPT_VERSION", "3\r");
    home.run(&["serve"]).refused(&["BRUNE_PROMPT_VERSION", "U+000D"]);
}
