//! The built-in catalog says what the design says; a wrong one is told where.

use super::*;
use crate::settings::schema::{Applies, Kind};

/// The design's section 7, and what bounds a text that it leaves open.
#[test]
fn the_built_in_catalog_says_what_the_design_says() {
    let catalog = Catalog::parse(BRUN_E).unwrap();
    let mut declared: Vec<_> = catalog
        .schema
        .editable()
        .map(|it| {
            let constraints = serde_json::to_value(&it.constraints).unwrap();
            format!("{} {} {constraints}", it.key, it.value_type.as_str())
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
fn every_key_of_the_design_has_its_place() {
    let catalog = Catalog::parse(BRUN_E).unwrap();
    let count = |kind| catalog.schema.all().filter(|it| it.kind == kind).count();
    assert_eq!([Kind::Setting, Kind::Secret, Kind::Environment].map(count), [9, 7, 22]);
    assert_eq!(count(Kind::Locked), 0);
    assert!(catalog.schema.editable().all(|it| it.applies == Applies::NewSessions));
}

/// A catalog whose first entry is `entry`, on line 4.
fn with(entry: &str) -> String {
    format!("catalog = \"test\"\ndescription = \"A test's.\"\n[[setting]]\n{entry}\n")
}

const REST: &str =
    "category = \"c\"\ntype = \"number\"\ndefault = 1\napplies = \"hot\"\ndescription = \"It is.\"";

#[test]
fn a_text_that_nobody_sees_or_that_looks_like_another_is_refused() {
    let string = "category = \"c\"\ntype = \"string\"\ndefault = \"x\"\napplies = \"hot\"\ndescription = \"It is.\"";
    let replaced = |old: &str, new: &str| {
        assert!(string.contains(old), "{old}");
        with(&format!("key = \"A\"\n{}", string.replace(old, new)))
    };
    for (catalog, detail) in [
        (replaced("It is.", "It is.\\u202E"), "its description must not contain"),
        (replaced("It is.", "\\u200B\\u3164"), "its description must have at least one visible"),
        (replaced("\"c\"", "\"c\\u200B\""), "its category must not contain an invisible"),
        (replaced("\"c\"", "\" c\""), "its category must not begin or end with white space"),
        (
            replaced("\"x\"", "\"x\\r\""),
            "its default must not contain a control character (U+000D)",
        ),
        (
            with(&format!(
                "key = \"A\"\n{string}\nconstraints = {{ enum = [\"x\", \"\\u001B\"] }}"
            )),
            "its enum must not contain a control character (U+001B)",
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
        let fault = Catalog::parse(&catalog).unwrap_err().of_file("file");
        assert!(fault.contains(detail), "{detail}: {fault}");
    }
    // Several lines are what a description may have.
    Catalog::parse(&replaced("\"It is.\"", "\"\"\"\nIt is.\r\nIt is.\"\"\"")).unwrap();
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_its_key() {
    let text = |own: &str| with(&format!("key = \"A\"\n{own}"));
    let string = "category = \"c\"\ntype = \"string\"\ndefault = \"x\"\napplies = \"hot\"\ndescription = \"It is.\"";
    for (catalog, line, key, detail) in [
        (text(&format!("{REST}\neditible = true")), 10, "A", "unknown field `editible`"),
        (text("category = \"c\""), 3, "A", "missing field `type`"),
        (text(&REST.replace("number", "nummer")), 6, "A", "unknown variant `nummer`"),
        (text(&REST.replace("= 1", "= \"one\"")), 4, "A", "its default is not a number"),
        (
            text(&format!("{REST}\nconstraints = {{ max = 0 }}")),
            4,
            "A",
            "its default must be 0 or less",
        ),
        (
            text(&format!("{REST}\nconstraints = {{ unique = true }}")),
            4,
            "A",
            "say nothing about a number",
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
            "is no regular expression: unclosed group",
        ),
        (
            text(&format!("{string}\nconstraints = {{ member_of = \"B\" }}")),
            4,
            "A",
            "names B, which is no [[setting]]",
        ),
        (with(&format!("key = \"a-b\"\n{REST}")), 4, "a-b", "is no name of a key"),
        (
            text(&format!("{REST}\n[[setting]]\nkey = \"A\"\n{REST}")),
            11,
            "A",
            "as [[setting]] on line 4",
        ),
        (
            text(&format!("{REST}\n[[secret]]\nkey = \"A\"\ndescription = \"S.\"")),
            4,
            "A",
            "as [[secret]] on line 11",
        ),
    ] {
        let faults = Catalog::parse(&catalog).unwrap_err().0;
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert_eq!((fault.line, fault.key.as_deref()), (line, Some(key)), "{fault:?}");
        assert!(fault.detail.contains(detail), "{fault:?} is not {detail:?}");
    }
}

#[test]
fn what_belongs_to_no_key_is_told_with_its_line() {
    for (catalog, line, detail) in [
        ("catalog = \"x\"\ndescription = \"\"\nnonsense", 3, "is no TOML"),
        ("catalog = \"x\"\ndescription = \"\"\nkind = 3", 3, "unknown field `kind`"),
        ("catalog = \"X Y\"\ndescription = \"\"", 1, "`catalog` is no name"),
        ("\n\ndescription = \"\"", 1, "`catalog = \"name\"` is missing"),
        ("catalog = \"x\"\ndescription = \"\"\nsecret = 3", 3, "must be a list of tables"),
    ] {
        let faults = Catalog::parse(catalog).unwrap_err().0;
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert_eq!((fault.line, &fault.key), (line, &None), "{fault:?}");
        assert!(fault.detail.contains(detail), "{fault:?} is not {detail:?}");
    }
}

#[test]
fn every_fault_of_a_file_is_told_at_once_in_its_order() {
    let catalog = with(&format!("key = \"A\"\n{REST}\nsize = 1\n[[setting]]\nkey = \"b\"\n{REST}"));
    let told = Catalog::parse(&catalog).unwrap_err().of_file("config/x.toml");
    let lines: Vec<_> = told.lines().map(|it| it.split(", expected").next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "the catalog cannot be used:",
            "  config/x.toml:10: A: unknown field `size`",
            "  config/x.toml:12: b: is no name of a key; use capitals, digits and `_`, a capital first, at most 128",
        ]
    );
}
