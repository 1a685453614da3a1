//! What is written about catalogs: the schema of their format, and the list of all parameters.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use brune::settings::{Applies, Catalog, Definition, Kind, Required};
use serde_json::Value;

const SCHEMA: &str = "docs/catalog.schema.json";
const PARAMETERS: &str = "docs/parameters.md";

/// The catalogs of `config/`, Brun-E's first.
fn catalogs() -> Vec<(String, String)> {
    let files = fs::read_dir("config").unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = files.map(|path| path.to_str().unwrap().to_owned()).collect();
    paths.sort();
    assert_eq!(paths[0], "config/brun-e.toml");
    let read = |path: String| (path.clone(), fs::read_to_string(path).unwrap());
    paths.into_iter().map(read).collect()
}

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&fs::read_to_string(SCHEMA).unwrap()).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    jsonschema::validator_for(&schema).unwrap()
}

fn as_json(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

#[test]
fn every_catalog_is_of_the_schema_that_editors_hold_it_to() {
    let validator = validator();
    for (path, text) in catalogs() {
        assert!(text.starts_with("#:schema ../docs/catalog.schema.json\n"), "{path}");
        let faults: Vec<_> =
            validator.iter_errors(&as_json(&text)).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{path}: {faults:?}");
        Catalog::parse(&text).unwrap();
    }
}

#[test]
fn the_schema_refuses_what_the_service_refuses() {
    let validator = validator();
    let right = "catalog = \"test\"\ndescription = \"\"\n[[setting]]\nkey = \"A\"\ncategory = \"c\"\n\
                 type = \"number\"\ndefault = 1\napplies = \"hot\"\ndescription = \"It is.\"\n";
    assert!(validator.is_valid(&as_json(right)) && Catalog::parse(right).is_ok());
    for (what, instead) in [
        ("\"test\"", "\"A Test\""),
        ("\"A\"", "\"a-b\""),
        ("\"number\"", "\"nummer\""),
        ("default = 1\n", "default = \"one\"\n"),
        ("default = 1\n", ""),
        ("\"hot\"", "\"never\""),
        ("applies", "size = 1\napplies"),
        ("applies", "constraints = { unique = true }\napplies"),
        ("applies", "constraints = { maximum = 3 }\napplies"),
        ("[[setting]]", "[[settings]]"),
    ] {
        let wrong = right.replacen(what, instead, 1);
        assert!(!validator.is_valid(&as_json(&wrong)), "{wrong}");
        assert!(Catalog::parse(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_list_of_parameters_is_what_the_catalogs_say() {
    let actual = parameters();
    #[expect(clippy::disallowed_methods, reason = "a wish of whoever runs the tests")]
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        fs::write(PARAMETERS, &actual).unwrap();
    }
    assert!(
        fs::read_to_string(PARAMETERS).is_ok_and(|text| text == actual),
        "run `UPDATE=1 cargo test --test documents` and read the diff of {PARAMETERS}"
    );
}

/// The page, from the catalogs and from `.env.example`.
fn parameters() -> String {
    let mut page = "# All parameters\n\nWritten from the catalogs and from \
         [.env.example](../.env.example) by a test, which fails when this page is out of date \
         (`UPDATE=1 cargo test --test documents` writes it). How they are changed is in \
         [configuration.md](configuration.md).\n"
        .to_owned();
    let mut declared = BTreeSet::new();
    for (path, text) in catalogs() {
        let catalog = Catalog::parse(&text).unwrap();
        write!(page, "\n## Catalog {}\n\n[{path}](../{path})\n", catalog.name).unwrap();
        for (kind, title) in [
            (Kind::Setting, "Settings: in the database, changed while the service runs"),
            (Kind::Locked, "Locked: listed, never written here"),
            (Kind::Secret, "Secrets: never in the database"),
            (Kind::Environment, "The infrastructure's: changed by a restart"),
        ] {
            let of_kind = catalog
                .schema
                .all()
                .filter(|definition| definition.kind == kind)
                .collect::<Vec<_>>();
            if !of_kind.is_empty() {
                write!(page, "\n### {title}\n\n{}", table(kind, &of_kind)).unwrap();
            }
        }
        if catalog.name == "brun-e" {
            declared.extend(catalog.schema.all().map(|definition| definition.key.clone()));
        }
    }
    page.push_str(
        "\n## Variables of the service itself\n\nThose that no catalog declares; a secret `X` may come as \
         `X_FILE`, too.\n\n| variable | example | what it is |\n|---|---|---|\n",
    );
    for (name, example, what) in
        variables().into_iter().filter(|variable| !declared.contains(&variable.0))
    {
        writeln!(page, "| `{name}` | {} | {} |", code(&example), escaped(&what)).unwrap();
    }
    page
}

fn table(kind: Kind, definitions: &[&Definition]) -> String {
    let mut table = match kind {
        Kind::Secret => "| name | needed | what it is |\n|---|---|---|\n".to_owned(),
        _ => "| key | type | default | rules | takes effect | what it is |\n|---|---|---|---|---|---|\n".to_owned(),
    };
    for it in definitions {
        let what = escaped(&it.description);
        let line = if kind == Kind::Secret {
            format!("| `{}` | {} | {what} |", it.key, needed(it.required))
        } else {
            let default = it.default.as_ref().map(|value| value.to_json().to_string());
            format!(
                "| `{}` | {} | {} | {} | {} | {what} |",
                it.key,
                it.value_type.as_str(),
                code(&default.unwrap_or_default()),
                rules(it),
                applies(it.applies),
            )
        };
        table.push_str(&line);
        table.push('\n');
    }
    table
}

fn rules(definition: &Definition) -> String {
    let rules = serde_json::to_value(&definition.constraints).unwrap();
    let text = rules.as_object().unwrap().iter().map(|(name, rule)| match rule {
        Value::Bool(true) => name.clone(),
        rule => format!("{name} {}", code(&rule.to_string())),
    });
    text.collect::<Vec<_>>().join(", ")
}

fn applies(applies: Applies) -> &'static str {
    match applies {
        Applies::NewSessions => "new sessions",
        Applies::Hot => "at once",
        Applies::Restart => "restart",
    }
}

fn needed(required: Required) -> &'static str {
    match required {
        Required::Always => "always",
        Required::Production => "in production",
        Required::Never => "no",
    }
}

/// The variables of `.env.example`, each with its example and the comment above it.
fn variables() -> Vec<(String, String, String)> {
    let text = fs::read_to_string(".env.example").unwrap();
    let (mut results, mut comment): (Vec<(String, String, String)>, Vec<&str>) = Default::default();
    let mut spent = false;
    for line in text.lines() {
        let assignment = line.strip_prefix('#').and_then(|rest| rest.split_once('='));
        let names = assignment.filter(|(name, _)| {
            name.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        });
        if let Some((name, example)) = names {
            results.push((name.to_owned(), example.to_owned(), comment.join(" ")));
            spent = true;
        } else if let Some(words) =
            line.strip_prefix("# ").filter(|words| !words.starts_with("---"))
        {
            if std::mem::take(&mut spent) {
                comment.clear();
            }
            comment.push(words);
        } else {
            comment.clear();
        }
    }
    assert!(results.len() > 10, "nothing was found");
    results
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
