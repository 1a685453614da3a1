//! One text, every way in: it is taken, changed or refused alike, or the difference stands in
//! `docs/configuration.md`, from which these tests read it.

mod files;
mod stored;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{
    TestDb,
    binary::{Home, Service},
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
                let outcome = self.home.run(&["config", "set", key, text, "--reason", "a test"]);
                if outcome.code == Some(0) { 200 } else { 400 }
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
        let actual_outcome = home.run(&["migrate"]);
        if actual_outcome.code == Some(0) {
            break;
        }
        let is_named = |at: usize, key: &str| {
            let line = format!(".env line {}:", at + 1);
            actual_outcome.err.lines().any(|error_line| {
                let error_line = error_line.trim();
                error_line.starts_with(&line)
                    || error_line.starts_with(&format!("{key}:"))
                    || error_line.starts_with(&format!("{key} ("))
            })
        };
        let refusal = texts.iter().enumerate().filter(|(at, (key, _))| is_named(*at, key));
        let before = outcomes.len();
        outcomes.extend(refusal.map(|(_, (key, _))| (key.as_str(), Outcome::Refused)));
        assert!(outcomes.len() > before, "nothing is named: {}", actual_outcome.err);
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
    let table = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = table.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| {
        row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    rows.map(cells).collect()
}

/// A difference: which texts, through which door, and what becomes of them.
type Difference = (String, String, String);

/// The differences that the documentation has under `heading`.
fn documented_differences(heading: &str) -> BTreeSet<Difference> {
    let rows = documented(heading);
    let of_row = |row: &Vec<String>| {
        let [class, doors, outcome, why] = &row[..] else { panic!("{row:?}") };
        assert!(why.len() > 10, "no reason: {row:?}");
        let door = |door: &str| (class.clone(), door.trim().to_owned(), outcome.clone());
        doors.split(',').map(door).collect::<Vec<_>>()
    };
    rows.iter().flat_map(of_row).collect()
}
