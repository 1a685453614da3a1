//! The headers that bind a request: entity tags (RFC 9110, 8.8.3 and 13.1), `Prefer` (RFC 7240) and
//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07).

use axum::http::{HeaderMap, HeaderName, header};

use crate::{http::problem::Problem, idempotency, json::Fault, settings::Firewall};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The tag of a whole revision.
pub(super) fn revision_tag(revision: i64) -> String {
    format!("\"r{revision}\"")
}

/// The tag of one key's version.
pub(super) fn version_tag(version: i32) -> String {
    format!("\"v{version}\"")
}

/// The values of a header whose lines are one comma-separated list.
fn items<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

/// Whether the caller already holds what `tag` names (`If-None-Match`, compared weakly).
pub(super) fn is_held(headers: &HeaderMap, tag: &str) -> bool {
    let weak = |item: &str| item.strip_prefix("W/").unwrap_or(item) == tag;
    items(headers, &header::IF_NONE_MATCH).any(|item| item == "*" || weak(item))
}

/// Whether the caller says what they hold at all.
pub(super) fn holds_something(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_NONE_MATCH)
}

/// The revisions of which one must be current (`If-Match`, compared strongly: a weak tag names none).
/// `None` without the header, and for `*`, which any revision satisfies.
pub(super) fn required_revisions(headers: &HeaderMap) -> Option<Vec<i64>> {
    headers.get(header::IF_MATCH)?;
    let named = |item: &str| item.strip_prefix("\"r")?.strip_suffix('"')?.parse::<i64>().ok();
    let mut revisions = Vec::new();
    for item in items(headers, &header::IF_MATCH) {
        if item == "*" {
            return None;
        }
        revisions.extend(named(item));
    }
    Some(revisions)
}

/// The version that one key must be at (`If-Match: "v3"`). `None` without one such tag; a tag of another
/// form names a version that no key has.
pub(super) fn required_version(headers: &HeaderMap) -> Option<i64> {
    headers.get(header::IF_MATCH)?;
    let mut named = items(headers, &header::IF_MATCH);
    match (named.next(), named.next()) {
        (Some("*"), None) => None,
        (Some(one), None) => {
            let version = one.strip_prefix("\"v").and_then(|it| it.strip_suffix('"'));
            Some(version.and_then(|it| it.parse().ok()).unwrap_or(0))
        }
        _ => Some(0),
    }
}

/// Whether the caller prefers lenient handling to strict.
pub(super) fn prefers_lenient(headers: &HeaderMap) -> bool {
    let lenient = |item: &str| {
        let preference = item.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case("handling")
            && value.trim().trim_matches('"').eq_ignore_ascii_case("lenient")
    };
    items(headers, &PREFER).any(lenient)
}

/// The caller's `Idempotency-Key`, quoted or not. It is stored, so it must not be a secret or a part of one.
pub(super) fn idempotency_key(
    headers: &HeaderMap,
    firewall: &Firewall,
) -> Result<Option<String>, Problem> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let text = line.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text);
    let fits = (1..=idempotency::MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    let is_only_one = lines.next().is_none();
    if fits && is_only_one && firewall.may_be_part(text) {
        let detail = "Idempotency-Key looks like a secret; send a new random identifier";
        let fault = Fault { pointer: None, ..Fault::at("", "secret_like_value", detail) };
        return Err(Problem::malformed(fault));
    }
    if fits && is_only_one {
        return Ok(Some(text.to_owned()));
    }
    let detail = format!(
        "Idempotency-Key is one string of 1 to {} visible ASCII characters",
        idempotency::MAX_BYTES
    );
    let fault = Fault { pointer: None, ..Fault::at("", "invalid_idempotency_key", detail) };
    Err(Problem::malformed(fault))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: &HeaderName, lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn if_match_compares_strongly() {
        let required =
            |lines: &[&'static str]| required_revisions(&headers(&header::IF_MATCH, lines));
        assert_eq!(required(&[]), None);
        assert_eq!(required(&["*"]), None);
        assert_eq!(required(&["\"r7\", \"r8\""]), Some(vec![7, 8]));
        for no_match in ["W/\"r7\"", "r7", "\"v7\"", "\"r7", "\"rx\""] {
            assert_eq!(required(&[no_match]), Some(vec![]), "{no_match}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let held = |line| is_held(&headers(&header::IF_NONE_MATCH, &[line]), "\"r7\"");
        assert!(held("\"r7\"") && held("W/\"r7\"") && held("*") && held("\"r6\", \"r7\""));
        assert!(!held("\"r8\"") && !held("r7"));
    }

    #[test]
    fn handling_is_read_among_other_preferences() {
        let lenient = |lines: &[&'static str]| prefers_lenient(&headers(&PREFER, lines));
        assert!(lenient(&["return=minimal, handling=lenient"]));
        assert!(lenient(&["respond-async", "Handling=\"Lenient\"; foo"]));
        assert!(!lenient(&["handling=strict"]) && !lenient(&["lenient"]) && !lenient(&[]));
    }

    #[test]
    fn an_idempotency_key_is_taken_quoted_or_not() {
        let key = |lines: &[&'static str]| {
            idempotency_key(&headers(&IDEMPOTENCY_KEY, lines), &Firewall::default())
        };
        assert_eq!(key(&["\"abc-1\""]).unwrap().as_deref(), Some("abc-1"));
        assert_eq!(key(&["abc-1"]).unwrap().as_deref(), Some("abc-1"));
        assert_eq!(key(&[]).unwrap(), None);
        for wrong in ["", "\"\"", "a b", "\"a"] {
            assert!(key(&[wrong]).is_err(), "{wrong}");
        }
        assert!(key(&["a", "b"]).is_err());
        for secret in ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", "sk-proj-a1B2a1B2", "\"ghp_a1B2\""] {
            assert!(key(&[secret]).is_err(), "{secret}");
        }
    }
}
