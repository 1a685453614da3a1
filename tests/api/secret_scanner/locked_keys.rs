//! Writing what is never written here: every route, format, handling and spelling, key by key.

use axum::http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Dump, core, refusals_of, tells_nothing_of};
use crate::{
    config::{CONFIG, IMPORT},
    settings::{COOLDOWN, PATH, ROLLBACK},
    support::{Call, Instance, NEVER, TestApp, admin},
};

/// What an attempt meets.
enum Meets {
    /// 403, and nothing of the request is stored.
    Refusal,
    /// The rest is applied, and the key listed as left out.
    LeftOut,
}

type Spelling = fn(&str) -> String;
type Send = for<'a> fn(&'a Instance, &str, &str) -> Call<'a>;

fn exact(key: &str) -> String {
    key.to_owned()
}

fn lower(key: &str) -> String {
    key.to_lowercase()
}

fn camel(key: &str) -> String {
    let word = |word: &str| word[..1].to_owned() + &word[1..].to_lowercase();
    key.split('_').map(word).collect()
}

fn mixed(key: &str) -> String {
    key.char_indices().map(|(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c }).collect()
}

fn wide(key: &str) -> String {
    key.chars().map(|c| char::from_u32(u32::from(c) + 0xFEE0).unwrap()).collect()
}

/// With a character that takes no room behind the first letter.
fn with(invisible: char, key: &str) -> String {
    format!("{}{invisible}{}", &key[..1], &key[1..])
}

/// With letters of another script that look the same.
fn cyrillic(key: &str) -> String {
    let letter = |c| match c {
        'A' => '\u{410}',
        'C' => '\u{421}',
        'E' => '\u{415}',
        'O' => '\u{41E}',
        'P' => '\u{420}',
        'T' => '\u{422}',
        c => c,
    };
    key.chars().map(letter).collect()
}

fn wide_and_small(key: &str) -> String {
    wide(&lower(key))
}

fn mathematical(key: &str) -> String {
    let letter = |c: char| match c {
        'A'..='Z' => char::from_u32(u32::from(c) - 0x41 + 0x1_D400).unwrap(),
        c => c,
    };
    key.chars().map(letter).collect()
}

fn batch<'a>(instance: &'a Instance, changes: &Value) -> Call<'a> {
    let body = json!({"reason": "let me in", "changes": changes});
    instance.patch(PATH).bearer(&admin("admin-1")).json(&body)
}

fn patch<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    batch(instance, &json!([{"key": name, "value": word, "version": 1}]))
}

fn lenient<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    patch(instance, name, word).header("prefer", "handling=lenient")
}

/// Beside a setting that stays as it is.
fn among<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    batch(
        instance,
        &json!([{"key": COOLDOWN, "value": 30, "version": 1},
            {"key": name, "value": {"deep": [word]}, "version": 1}]),
    )
}

fn among_lenient<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    among(instance, name, word).header("prefer", "handling=lenient")
}

fn at_revision<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    batch(instance, &json!([{"key": name, "value": [word]}])).header("if-match", "\"r1\"")
}

/// With every letter of the name escaped.
fn escaped<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    let letters: Vec<_> = name.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let name = letters.concat();
    let change = format!(r#"{{"key":"{name}","value":"{word}","version":1}}"#);
    let body = format!(r#"{{"reason":"let me in","changes":[{change}]}}"#);
    instance.patch(PATH).bearer(&admin("admin-1")).text(body)
}

fn one<'a>(instance: &'a Instance, method: Method, name: &str, query: &str) -> Call<'a> {
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    instance.call(method, &format!("{CONFIG}/{name}{query}")).bearer(&admin("admin-1"))
}

fn put<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    let body = json!({"value": word, "reason": "let me in", "version": 1});
    one(instance, Method::PUT, name, "").json(&body)
}

fn reset<'a>(instance: &'a Instance, name: &str, _: &str) -> Call<'a> {
    one(instance, Method::DELETE, name, "?reason=let+me+in&version=1")
}

fn rollback<'a>(instance: &'a Instance, name: &str, _: &str) -> Call<'a> {
    let body = json!({"key": name, "to_version": 1, "version": 1, "reason": "let me in"});
    instance.post(ROLLBACK).bearer(&admin("admin-1")).json(&body)
}

fn import<'a>(instance: &'a Instance, query: &str, media: &str, text: String) -> Call<'a> {
    let call =
        instance.post(&format!("{IMPORT}?reason=let+me+in{query}")).bearer(&admin("admin-1"));
    call.raw(text).header("content-type", media)
}

fn json_document<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    let text = json!({"format_version": 1, "settings": {COOLDOWN: 30, name: word}}).to_string();
    import(instance, "", "application/json", text)
}

fn json_overwriting<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    let text = json!({"format_version": 1, "revision": 1, "settings": {name: [word]}}).to_string();
    import(instance, "&on_conflict=overwrite", "application/json", text)
}

fn yaml_document<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    let text = format!("format_version: 1\nsettings:\n  {}: {word}\n", json!(name));
    import(instance, "", "application/yaml", text)
}

fn env_document<'a>(instance: &'a Instance, name: &str, word: &str) -> Call<'a> {
    import(instance, "", "text/plain", format!("# of before\nexport {name}=\"{word}\"\n"))
}

const ATTEMPTS: [(Send, Spelling, Meets); 36] = [
    (patch, exact, Meets::Refusal),
    (lenient, exact, Meets::LeftOut),
    (among, exact, Meets::Refusal),
    (among_lenient, exact, Meets::LeftOut),
    (at_revision, exact, Meets::Refusal),
    (escaped, exact, Meets::Refusal),
    (patch, lower, Meets::Refusal),
    (lenient, lower, Meets::LeftOut),
    (patch, camel, Meets::Refusal),
    (among, mixed, Meets::Refusal),
    (patch, |key| format!("{key} "), Meets::Refusal),
    (lenient, |key| format!(" {key}"), Meets::LeftOut),
    (patch, |key| format!("${{{key}}}"), Meets::Refusal),
    (patch, |key| key.replace('_', "-"), Meets::Refusal),
    (patch, |key| key.replace('_', "."), Meets::Refusal),
    (patch, wide, Meets::Refusal),
    (among_lenient, wide, Meets::LeftOut),
    (patch, |key| with('\u{200B}', key), Meets::Refusal),
    (lenient, |key| with('\u{200D}', key), Meets::LeftOut),
    (patch, |key| with('\u{AD}', key), Meets::Refusal),
    (patch, |key| with('\u{301}', key), Meets::Refusal),
    (patch, cyrillic, Meets::Refusal),
    (escaped, wide_and_small, Meets::Refusal),
    (patch, mathematical, Meets::Refusal),
    (put, exact, Meets::Refusal),
    (put, lower, Meets::Refusal),
    (put, wide, Meets::Refusal),
    (reset, exact, Meets::Refusal),
    (reset, cyrillic, Meets::Refusal),
    (json_document, exact, Meets::LeftOut),
    (json_overwriting, wide, Meets::LeftOut),
    (yaml_document, exact, Meets::LeftOut),
    (yaml_document, |key| with('\u{2060}', key), Meets::LeftOut),
    (env_document, lower, Meets::LeftOut),
    (rollback, exact, Meets::Refusal),
    (rollback, lower, Meets::Refusal),
];

#[tokio::test]
async fn every_write_route_refuses_never_writable_keys_and_audits_the_attempt() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    let mut words = Vec::new();
    for key in NEVER {
        for (number, (send, spell, meets)) in ATTEMPTS.iter().enumerate() {
            let name = spell(key);
            let word = core();
            let reply = send(&app.instance, &name, &word).send().await;
            let what = format!("attempt {number} on {key} as {name}: {}", reply.text);
            tells_nothing_of(&reply, &word);
            match meets {
                Meets::Refusal => {
                    assert_eq!(reply.status.as_u16(), 403, "{what}");
                    let problem = reply.problem(403, "key_locked");
                    assert_eq!(problem["errors"][0]["key"], key, "{what}");
                }
                Meets::LeftOut => {
                    assert_eq!(reply.status.as_u16(), 200, "{what}");
                    let changed = reply.ok();
                    assert_eq!(
                        (&changed["ignored"], &changed["revision"]),
                        (&json!([key]), &json!(1)),
                        "{what}"
                    );
                }
            }
            let traces = usize::try_from(refusals_of(&pool, key).await).unwrap();
            assert_eq!(traces, number + 1, "{what}");
            words.push((what, word));
        }
    }
    let dump = Dump::of(&pool).await;
    for (what, word) in &words {
        assert!(dump.places(word).is_empty(), "{what}");
    }
    let revision = crate::settings::read(&app.instance, PATH).await.ok()["revision"].clone();
    assert_eq!(revision, 1);
}

#[tokio::test]
async fn a_lookalike_of_a_locked_key_is_reported_as_locked() {
    let app = TestApp::new().await;
    let problem = among(&app.instance, "jwt-secret", "x").send().await.problem(403, "key_locked");
    assert_eq!(problem["errors"][0]["pointer"], "/changes/1/key");
    assert_eq!(problem["errors"][0]["key"], "JWT_SECRET");
}

#[tokio::test]
async fn a_name_unlike_any_locked_key_is_unknown() {
    let app = TestApp::new().await;
    for name in ["JWT_SECRETS", "OPENAI_KEY", "brune_cooldown_minutes", "_", "", "日本語"] {
        let problem =
            patch(&app.instance, name, "x").send().await.problem(400, "validation_failed");
        assert_eq!(problem["errors"][0]["code"], "unknown_key", "{name}");
    }
    let sql = "select count(*) from app_global_setting_audit where action = 'refused'";
    let traces: i64 = sqlx::query_scalar(sql).fetch_one(&app.db.pool()).await.unwrap();
    assert_eq!(traces, 0);
}
