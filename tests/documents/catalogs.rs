//! Compares the schema of catalogs and the list of all parameters with the catalogs in `config/`.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use brune::settings::{Applies, Catalog, Definition, Kind, Required};
use serde_json::Value;

const SCHEMA: &str = "docs/catalog.schema.json";
const PARAMETERS: &str = "docs/parameters.md";

/// Returns path and text of the catalogs in `config/`, Brun-E's first.
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
fn every_catalog_conforms_to_the_schema_for_editors() {
    let validator = validator();
    for (path, text) in catalogs() {
        assert!(text.starts_with("#:schema ../docs/catalog.schema.json\n"), "{path}");
        let errors: Vec<_> =
            validator.iter_errors(&as_json(&text)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{path}: {errors:?}");
        Catalog::parse(&text).unwrap();
    }
}

#[test]
fn the_schema_rejects_the_errors_that_the_service_rejects() {
    let validator = validator();
    let right = "catalog = \"test\"\ndescription = \"\"\n[[setting]]\nkey = \"A\"\ncategory = \"c\"\n\
                 type = \"number\"\ndefault = 1\napplies = \"hot\"\ndescription = \"It is.\"\n";
    assert!(validator.is_valid(&as_json(right)) && Catalog::parse(right).is_ok());
    for (part, replacement) in [
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
        let wrong = right.replacen(part, replacement, 1);
        assert!(!validator.is_valid(&as_json(&wrong)), "{wrong}");
        assert!(Catalog::parse(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_committed_list_of_parameters_is_up_to_date() {
    let generated = parameters();
    #[expect(clippy::disallowed_methods, reason = "an option of the test run, not of the service")]
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        fs::write(PARAMETERS, &generated).unwrap();
    }
    assert!(
        fs::read_to_string(PARAMETERS).is_ok_and(|committed| committed == generated),
        "run `UPDATE=1 cargo test --test documents` and read the diff of {PARAMETERS}"
    );
}

/// Generates the page from the catalogs and from `.env.example`.
fn parameters() -> String {
    let mut page = "# All parameters\n\nGenerated from the catalogs and [.env.example](../.env.example): \
         `UPDATE=1 cargo test --test documents` writes this page, and a test fails when it is out of date. \
         [configuration.md](configuration.md) describes how to change them.\n"
        .to_owned();
    let mut declared = BTreeSet::new();
    for (path, text) in catalogs() {
        let catalog = Catalog::parse(&text).unwrap();
        write!(page, "\n## Catalog {}\n\n[{path}](../{path})\n", catalog.name).unwrap();
        for (kind, title) in [
            (Kind::Setting, "Settings: in the database, changed while the service runs"),
            (Kind::Locked, "Locked keys: listed, never written"),
            (Kind::Secret, "Secrets: never in the database"),
            (Kind::Environment, "Variables of the deployment: changed by a restart"),
        ] {
            let of_kind =
                catalog.schema.all().filter(|entry| entry.kind == kind).collect::<Vec<_>>();
            if !of_kind.is_empty() {
                write!(page, "\n### {title}\n\n{}", table(kind, &of_kind)).unwrap();
            }
        }
        if catalog.name == "brun-e" {
            declared.extend(catalog.schema.all().map(|entry| entry.key.clone()));
        }
    }
    page.push_str(
        "\n## Variables of the service itself\n\nVariables that no catalog declares. A secret `X` can also be \
         set as `X_FILE`.\n\n| variable | example | description |\n|---|---|---|\n",
    );
    for (name, example, description) in
        variables().into_iter().filter(|(name, ..)| !declared.contains(name))
    {
        writeln!(page, "| `{name}` | {} | {} |", code(&example), escaped(&description)).unwrap();
    }
    page
}

fn table(kind: Kind, definitions: &[&Definition]) -> String {
    let mut table = match kind {
        Kind::Secret => "| name | required | description |\n|---|---|---|\n".to_owned(),
        _ => "| key | type | default | constraints | takes effect | description |\n|---|---|---|---|---|---|\n".to_owned(),
    };
    for definition in definitions {
        let description = escaped(&definition.description);
        let line = if kind == Kind::Secret {
            format!("| `{}` | {} | {description} |", definition.key, required(definition.required))
        } else {
            let default = definition.default.as_ref().map(|value| value.to_json().to_string());
            format!(
                "| `{}` | {} | {} | {} | {} | {description} |",
                definition.key,
                definition.value_type.as_str(),
                code(&default.unwrap_or_default()),
                constraints(definition),
                applies(definition.applies),
            )
        };
        table.push_str(&line);
        table.push('\n');
    }
    table
}

fn constraints(definition: &Definition) -> String {
    let constraints = serde_json::to_value(&definition.constraints).unwrap();
    let texts = constraints.as_object().unwrap().iter().map(|(name, value)| match value {
        Value::Bool(true) => name.clone(),
        value => format!("{name} {}", code(&value.to_string())),
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn applies(applies: Applies) -> &'static str {
    match applies {
        Applies::NewSessions => "new sessions",
        Applies::Hot => "immediately",
        Applies::Restart => "restart",
    }
}

fn required(required: Required) -> &'static str {
    match required {
        Required::Always => "always",
        Required::Production => "in production",
        Required::Never => "no",
    }
}

/// Returns the variables of `.env.example`, each with its example and the comment above it.
fn variables() -> Vec<(String, String, String)> {
    let text = fs::read_to_string(".env.example").unwrap();
    let mut variables: Vec<(String, String, String)> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    // A comment describes all variables up to the next comment.
    let mut comment_is_complete = false;
    for line in text.lines() {
        let assignment = line.strip_prefix('#').and_then(|text| text.split_once('='));
        let is_name_byte =
            |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let variable = assignment.filter(|(name, _)| name.bytes().all(is_name_byte));
        if let Some((name, example)) = variable {
            variables.push((name.to_owned(), example.to_owned(), comment.join(" ")));
            comment_is_complete = true;
        } else if let Some(words) = line.strip_prefix("# ").filter(|text| !text.starts_with("---"))
        {
            if std::mem::take(&mut comment_is_complete) {
                comment.clear();
            }
            comment.push(words);
        } else {
            comment.clear();
        }
    }
    assert!(variables.len() > 10, "no variables in .env.example");
    variables
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
