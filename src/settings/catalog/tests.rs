//! Tests of the built-in catalog and of the errors of invalid catalogs.

use super::*;
use crate::settings::schema::{Applies, Kind};

/// Section 7 of the design, with limits where the design has none.
#[test]
fn the_built_in_catalog_matches_the_design() {
    let catalog = Catalog::parse(BRUN_E).unwrap();
    let mut declared: Vec<_> = catalog
        .schema
        .editable()
        .map(|definition| {
            let constraints = serde_json::to_value(&definition.constraints).unwrap();
            format!("{} {} {constraints}", definition.key, definition.value_type.as_str())
        })
        .collect();
    declared.sort();
    let expected = [
        r#"BRUNE_COOLDOWN_MINUTES number {"integer":true,"max":240,"min":0}"#,
        r#"BRUNE_ELIGIBILITY_ALLOWED_LEVELS string_array {"max_items":20,"unique":true}"#,
        "BRUNE_ELIGIBILITY_REQUIRE_PLAN boolean {}",
        r#"BRUNE_MAX_SESSIONS_PER_DAY number {"integer":true,"max":20,"min":1}"#,
        r#"BRUNE_OPENAI_REALTIME_MODEL string {"member_of":"BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST"}"#,
        r#"BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST string_array {"max_items":30,"min_items":1,"unique":true}"#,
        r#"BRUNE_PROMPT_ID string {"max_length":128,"regex":"^pmpt_[A-Za-z0-9_-]+$"}"#,
        r#"BRUNE_PROMPT_VERSION string {"max_length":32}"#,
        r#"BRUNE_SESSION_MAX_MINUTES number {"integer":true,"max":120,"min":1}"#,
    ];
    assert_eq!(declared, expected);
}

#[test]
fn every_key_of_the_design_has_the_right_kind() {
    let catalog = Catalog::parse(BRUN_E).unwrap();
    let count = |kind| catalog.schema.all().filter(|definition| definition.kind == kind).count();
    assert_eq!([Kind::Setting, Kind::Secret, Kind::Environment].map(count), [9, 7, 24]);
    assert_eq!(count(Kind::Locked), 0);
    assert!(catalog.schema.editable().all(|definition| definition.applies == Applies::NewSessions));
}

/// A catalog whose first entry is `entry`, on line 4.
fn with(entry: &str) -> String {
    format!("catalog = \"test\"\ndescription = \"A test's.\"\n[[setting]]\n{entry}\n")
}

const REST: &str =
    "category = \"c\"\ntype = \"number\"\ndefault = 1\napplies = \"hot\"\ndescription = \"It is.\"";

#[test]
fn invisible_and_deceptive_texts_are_rejected() {
    let string = "category = \"c\"\ntype = \"string\"\ndefault = \"x\"\napplies = \"hot\"\ndescription = \"It is.\"";
    let replaced = |old: &str, new: &str| {
        assert!(string.contains(old), "{old}");
        with(&format!("key = \"A\"\n{}", string.replace(old, new)))
    };
    for (catalog, detail) in [
        (replaced("It is.", "It is.\\u202E"), "description must not contain"),
        (replaced("It is.", "\\u200B\\u3164"), "description must have at least one visible"),
        (replaced("\"c\"", "\"c\\u200B\""), "category must not contain an invisible"),
        (replaced("\"c\"", "\" c\""), "category must not begin or end with white space"),
        (replaced("\"x\"", "\"x\\r\""), "default must not contain a control character (U+000D)"),
        (
            with(&format!(
                "key = \"A\"\n{string}\nconstraints = {{ enum = [\"x\", \"\\u001B\"] }}"
            )),
            "enum must not contain a control character (U+001B)",
        ),
        (
            with(&format!("key = \"A\"\n{string}")).replace("A test's.", "\\u2800"),
            "`description` must have at least one visible",
        ),
        (
            with(&format!("key = \"A\"\n{string}")).replace("A test's.", "a\\u202Eb"),
            "`description` must not contain",
        ),
    ] {
        let report = Catalog::parse(&catalog).unwrap_err().of_file("file");
        assert!(report.contains(detail), "{detail}: {report}");
    }
    // A description may have several lines.
    Catalog::parse(&replaced("\"It is.\"", "\"\"\"\nIt is.\r\nIt is.\"\"\"")).unwrap();
}

#[test]
fn errors_have_a_line_and_a_key() {
    let text = |fields: &str| with(&format!("key = \"A\"\n{fields}"));
    let string = "category = \"c\"\ntype = \"string\"\ndefault = \"x\"\napplies = \"hot\"\ndescription = \"It is.\"";
    for (catalog, line, key, detail) in [
        (text(&format!("{REST}\neditible = true")), 10, "A", "unknown field `editible`"),
        (text("category = \"c\""), 3, "A", "missing field `type`"),
        (text(&REST.replace("number", "nummer")), 6, "A", "unknown variant `nummer`"),
        (text(&REST.replace("= 1", "= \"one\"")), 4, "A", "default must be a number"),
        (
            text(&format!("{REST}\nconstraints = {{ max = 0 }}")),
            4,
            "A",
            "default must be at most 0",
        ),
        (
            text(&format!("{REST}\nconstraints = {{ unique = true }}")),
            4,
            "A",
            "do not apply to a number: min_items",
        ),
        (
            text(&format!("{REST}\nconstraints = {{ maximum = 3 }}")),
            10,
            "A",
            "unknown field `maximum`",
        ),
        (
            text(&format!("{string}\nconstraints = {{ regex = '(' }}")),
            10,
            "A",
            r#"invalid regular expression "(": unclosed group"#,
        ),
        (
            text(&format!("{string}\nconstraints = {{ member_of = \"B\" }}")),
            4,
            "A",
            "[[setting]] of type string_array; B is not",
        ),
        (with(&format!("key = \"a-b\"\n{REST}")), 4, "a-b", "key must be up to 128"),
        (
            text(&format!("{REST}\n[[setting]]\nkey = \"A\"\n{REST}")),
            11,
            "A",
            "first declared as [[setting]] on line 4",
        ),
        (
            text(&format!("{REST}\n[[secret]]\nkey = \"A\"\ndescription = \"S.\"")),
            4,
            "A",
            "first declared as [[secret]] on line 11",
        ),
    ] {
        let diagnostics = Catalog::parse(&catalog).unwrap_err().0;
        let [diagnostic] = &diagnostics[..] else { panic!("{diagnostics:?}") };
        assert_eq!(
            (diagnostic.line, diagnostic.key.as_deref()),
            (line, Some(key)),
            "{diagnostic:?}"
        );
        assert!(diagnostic.detail.contains(detail), "{diagnostic:?} is not {detail:?}");
    }
}

#[test]
fn errors_without_a_key_have_a_line() {
    for (catalog, line, detail) in [
        ("catalog = \"x\"\ndescription = \"\"\nnonsense", 3, "invalid TOML"),
        ("catalog = \"x\"\ndescription = \"\"\nkind = 3", 3, "unknown field `kind`"),
        ("catalog = \"X Y\"\ndescription = \"\"", 1, "`catalog` must be up to"),
        ("\n\ndescription = \"\"", 1, "`catalog = \"name\"` is missing"),
        ("catalog = \"x\"\ndescription = \"\"\nsecret = 3", 3, "must be a list of tables"),
    ] {
        let diagnostics = Catalog::parse(catalog).unwrap_err().0;
        let [diagnostic] = &diagnostics[..] else { panic!("{diagnostics:?}") };
        assert_eq!((diagnostic.line, &diagnostic.key), (line, &None), "{diagnostic:?}");
        assert!(diagnostic.detail.contains(detail), "{diagnostic:?} is not {detail:?}");
    }
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_file() {
    let catalog = with(&format!("key = \"A\"\n{REST}\nsize = 1\n[[setting]]\nkey = \"b\"\n{REST}"));
    let report = Catalog::parse(&catalog).unwrap_err().of_file("config/x.toml");
    let lines: Vec<_> =
        report.lines().map(|line| line.split(", expected").next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "invalid catalog:",
            "  config/x.toml:10: A: unknown field `size`",
            "  config/x.toml:12: b: key must be up to 128 capital letters, digits and `_`, with a letter first",
        ]
    );
}
