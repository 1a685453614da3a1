//! The nine settings at their bounds, one beyond, empty, of other types, and in odd Unicode.

use serde_json::{Value, json};

use super::{
    ALLOWLIST, COOLDOWN, MAX_MINUTES, MODEL, PATH, PER_DAY, at, faults, one, patch, stored,
};
use crate::support::{TestApp, admin};

const PLAN: &str = "BRUNE_ELIGIBILITY_REQUIRE_PLAN";
const LEVELS: &str = "BRUNE_ELIGIBILITY_ALLOWED_LEVELS";
const PROMPT: &str = "BRUNE_PROMPT_ID";
const PROMPT_VERSION: &str = "BRUNE_PROMPT_VERSION";
const LARGE: &str = "gpt-realtime-2.1";

fn names(count: usize) -> Value {
    // The model that stands has to stay on its list.
    (0..count).map(|n| if n == 0 { LARGE.to_owned() } else { format!("n{n}") }).collect()
}

fn prompt(length: usize) -> Value {
    json!(format!("pmpt_{}", "a".repeat(length - 5)))
}

/// Values that each key takes, as they are stored.
fn sound() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        (COOLDOWN, vec![json!(0), json!(240), json!(1)]),
        (PER_DAY, vec![json!(1), json!(20)]),
        (MAX_MINUTES, vec![json!(1), json!(120)]),
        (PLAN, vec![json!(false), json!(true)]),
        (
            LEVELS,
            vec![
                names(20),
                json!(["é".repeat(65_536)]),
                // Composed and decomposed: two texts, kept as they came.
                json!(["é", "e\u{301}", "漢字", "👩\u{200D}🚀", "a b"]),
                json!([]),
            ],
        ),
        (PROMPT, vec![prompt(6), prompt(128), json!("pmpt_A-Z_09")]),
        (
            PROMPT_VERSION,
            vec![json!("9".repeat(32)), json!("漢".repeat(32)), json!("👩\u{200D}🚀")],
        ),
        (ALLOWLIST, vec![names(30), json!([LARGE]), json!([LARGE, "m".repeat(128)])]),
        (MODEL, vec![json!("m".repeat(128)), json!(LARGE)]),
    ]
}

#[tokio::test]
async fn each_setting_accepts_its_bounds_unchanged() {
    let app = TestApp::new().await;
    for (key, values) in sound() {
        for value in values {
            let version = one(&app.instance, key).await["version"].clone();
            let changes = json!([{"key": key, "value": value, "version": version}]);
            let change_reply = patch(&app.instance, &changes).send().await.ok();
            assert_eq!(change_reply["changed"][0]["new_value"], value, "{key}");
            let setting = one(&app.instance, key).await;
            assert_eq!(setting["value"], value, "{key}");
        }
    }
}

/// Values that no setting of this type takes, whatever its rules.
fn of_other_types(kind: &str) -> Vec<(Value, &'static str)> {
    let all = [
        ("null", json!(null)),
        ("boolean", json!(true)),
        ("number", json!(1)),
        ("string", json!("1")),
        ("string_array", json!(["1"])),
        ("object", json!({})),
        ("mixed", json!(["a", 1])),
        ("nested", json!([["a"]])),
        ("with null", json!([null])),
    ];
    all.into_iter()
        .filter(|sample| sample.0 != kind)
        .map(|sample| (sample.1, "wrong_type"))
        .collect()
}

/// Values of the right type that break a rule of each key, with the fault's code.
fn unsound() -> Vec<(&'static str, Vec<(Value, &'static str)>)> {
    let bounds = |low: i64, high: i64| {
        let beyond = [json!(low - 1), json!(high + 1), json!(i64::MIN), json!(f64::MAX)];
        let mut values = beyond.map(|value| (value, "out_of_range")).to_vec();
        values.push((json!(1.5), "wrong_type"));
        values
    };
    vec![
        (COOLDOWN, bounds(0, 240)),
        (PER_DAY, bounds(1, 20)),
        (MAX_MINUTES, bounds(1, 120)),
        (PLAN, vec![]),
        (
            LEVELS,
            vec![
                (names(21), "wrong_count"),
                (json!(["x".repeat(65_537)]), "too_long"),
                (json!(["a", "a"]), "repeated_item"),
            ],
        ),
        (
            PROMPT,
            vec![
                (json!(""), "pattern_mismatch"),
                (json!("pmpt_"), "pattern_mismatch"),
                (json!("xpmpt_a"), "pattern_mismatch"),
                (json!("pmpt_é"), "pattern_mismatch"),
                (json!("pmpt_a b"), "pattern_mismatch"),
                (json!("PMPT_a"), "pattern_mismatch"),
                (prompt(129), "too_long"),
            ],
        ),
        (PROMPT_VERSION, vec![(json!("9".repeat(33)), "too_long")]),
        (
            ALLOWLIST,
            vec![
                (json!([]), "wrong_count"),
                (names(31), "wrong_count"),
                (json!([LARGE, LARGE]), "repeated_item"),
                (json!([LARGE, "m".repeat(65_537)]), "too_long"),
            ],
        ),
        (
            MODEL,
            vec![
                (json!(""), "not_in_list"),
                (json!("GPT-REALTIME-2.1"), "not_in_list"),
                (json!("gpt-realtime-2.1 "), "not_in_list"),
            ],
        ),
    ]
}

#[tokio::test]
async fn each_setting_rejects_values_out_of_bounds_or_of_another_type() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    for (key, mut values) in unsound() {
        let kind = one(&app.instance, key).await["value_type"].as_str().unwrap().to_owned();
        values.extend(of_other_types(&kind));
        for (value, code) in values {
            let changes = json!([{"key": key, "value": value, "version": 1}]);
            for path in [PATH.to_owned(), format!("{PATH}?dry_run=true")] {
                let body = json!({"reason": "a test", "changes": changes});
                let reply = app.instance.patch(&path).bearer(&admin("a")).json(&body).send().await;
                assert_eq!(reply.status, 400, "{key} {value}: {}", reply.text);
                let problem = reply.problem(400, "validation_failed");
                assert_eq!(faults(&problem), at([("/changes/0/value", code)]), "{key} {value}");
                assert_eq!(problem["errors"][0]["key"], key);
                assert_ne!(problem["errors"][0]["constraint"], Value::Null, "{key} {value}");
            }
        }
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn deceptive_characters_are_rejected() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    for c in [
        '\0',
        '\n',
        '\r',
        '\t',
        '\u{7F}',
        '\u{85}',
        '\u{200E}',
        '\u{202E}',
        '\u{2066}',
        '\u{2028}',
        '\u{FEFF}',
        '\u{FFFE}',
        '\u{FFFF}',
        '\u{10FFFF}',
    ] {
        for (key, value, place) in [
            (PROMPT_VERSION, json!(format!("a{c}b")), "/changes/0/value"),
            (PROMPT, json!(format!("pmpt_a{c}")), "/changes/0/value"),
            (MODEL, json!(format!("{LARGE}{c}")), "/changes/0/value"),
            (LEVELS, json!(["ok", format!("a{c}b")]), "/changes/0/value/1"),
            (ALLOWLIST, json!([LARGE, format!("a{c}b")]), "/changes/0/value/1"),
        ] {
            let changes = json!([{"key": key, "value": value, "version": 1}]);
            let problem = patch(&app.instance, &changes).send().await;
            let problem = problem.problem(400, "malformed_request");
            assert_eq!(faults(&problem), at([(place, "forbidden_character")]), "{key} {value}");
        }
    }
    assert_eq!(stored(&app).await, before);
}
