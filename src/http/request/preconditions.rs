//! The headers that bind a request: entity tags (RFC 9110, 8.8.3 and 13.1), `Prefer` (RFC 7240) and
//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07).

use axum::{
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use crate::{
    http::{
        problem::{Code, Problem},
        response::JsonResponse,
    },
    idempotency,
    json::FieldError,
    secret_scanner::SecretScanner,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The tag of a whole revision.
pub(in crate::http) fn revision_tag(revision: i64) -> String {
    format!("\"r{revision}\"")
}

/// The tag of one key's version.
pub(in crate::http) fn version_tag(version: i32) -> String {
    format!("\"v{version}\"")
}

/// The kinds of tags that bind a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Tag {
    /// `"r7"`: all settings at a revision.
    Revision,
    /// `"v3"`: one setting at a version.
    Version,
}

impl Tag {
    fn letter(self) -> char {
        match self {
            Self::Revision => 'r',
            Self::Version => 'v',
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Revision => "a revision of all settings",
            Self::Version => "a version of one setting",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Revision => Self::Version,
            Self::Version => Self::Revision,
        }
    }

    /// The number in `text`, the quoted part of an entity tag, if it is of this kind.
    fn number(self, text: &str) -> Option<i64> {
        let digits = text.strip_prefix('"')?.strip_prefix(self.letter())?.strip_suffix('"')?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    }
}

/// The elements of a comma-separated list (RFC 9110, 5.6.1). A comma in a quoted text separates nothing.
fn elements(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let separates = move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    line.split(separates).map(str::trim).filter(|element| !element.is_empty())
}

/// One entity tag of a condition (RFC 9110, 8.8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EntityTag<'h> {
    weak: bool,
    /// With its quotes.
    text: &'h str,
}

/// What a condition names.
#[derive(Debug, PartialEq, Eq)]
enum Condition<'h> {
    /// `*`: whatever is there now.
    Any,
    /// One of these.
    Tags(Vec<EntityTag<'h>>),
}

impl<'h> Condition<'h> {
    /// Reads `If-Match` or `If-None-Match`; `None` without the header.
    fn read(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        if !headers.contains_key(name) {
            return Ok(None);
        }
        let mut tags = Vec::new();
        let mut any = 0;
        for line in headers.get_all(name) {
            let line = line.to_str().map_err(|_| malformed(name, "must be ASCII"))?;
            for element in elements(line) {
                match element {
                    "*" => any += 1,
                    element => tags.push(entity_tag(name, element)?),
                }
            }
        }
        match (any, tags.is_empty()) {
            (0, false) => Ok(Some(Self::Tags(tags))),
            (1, true) => Ok(Some(Self::Any)),
            (0, true) => Err(malformed(name, "must not be empty")),
            _ => Err(malformed(name, "`*` must be the only element")),
        }
    }
}

fn entity_tag<'h>(name: &HeaderName, element: &'h str) -> Result<EntityTag<'h>, Problem> {
    let (weak, text) = match element.strip_prefix("W/") {
        Some(text) => (true, text),
        None => (false, element),
    };
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if text.len() < 2 || !inner.is_some_and(plain) {
        return Err(malformed(name, "a tag is not quoted, or has a character that no tag has"));
    }
    Ok(EntityTag { weak, text })
}

fn malformed(name: &HeaderName, reason: &str) -> Problem {
    let name = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
    let detail =
        format!("{name} must be `*` or a list of quoted entity tags such as `\"r7\"`: {reason}");
    of_header("invalid_precondition", detail)
}

fn of_header(code: &'static str, detail: String) -> Problem {
    Problem::malformed(FieldError { pointer: None, ..FieldError::at("", code, detail) })
}

fn failed(detail: impl Into<String>) -> Problem {
    Problem::new(Code::RevisionMismatch, detail)
}

/// Routes whose writes evaluate `If-Match`.
const BOUND: [&str; 3] =
    ["/admin/global-settings", "/admin/global-settings/rollback", "/admin/config/{key}"];

/// Checks the conditions of a request for `route` before anything else is read: what is malformed, and what the
/// route would not evaluate, is refused. A client that sends a condition relies on it.
pub(in crate::http) fn check(
    method: &Method,
    route: &str,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let if_match = Condition::read(headers, &header::IF_MATCH)?;
    let if_none_match = Condition::read(headers, &header::IF_NONE_MATCH)?;
    // An evaluation reads, though its method is that of a write.
    if method.is_safe() || route.starts_with("/ofrep/") {
        return Ok(());
    }
    let unsupported = |detail: &str| Err(of_header("unsupported_precondition", detail.to_owned()));
    if matches!(if_match, Some(Condition::Tags(_))) && !BOUND.contains(&route) {
        return unsupported("If-Match with a tag is not evaluated here; omit it");
    }
    if matches!(if_none_match, Some(Condition::Any)) && !BOUND.contains(&route) {
        return unsupported("If-None-Match: * is not evaluated here; omit it");
    }
    if matches!(if_none_match, Some(Condition::Tags(_))) {
        return unsupported(
            "If-None-Match with a tag is for reading; use If-Match to bind a write",
        );
    }
    Ok(())
}

/// Whether a reader is sent what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum ReadOutcome {
    /// It is sent.
    Send,
    /// The reader holds it already: 304.
    NotModified,
}

/// Evaluates the conditions of a reader against `tag`, the current one, in the order of RFC 9110, 13.2.2.
///
/// # Errors
/// A malformed condition, or an `If-Match` that is false.
pub(in crate::http) fn evaluate(headers: &HeaderMap, tag: &str) -> Result<ReadOutcome, Problem> {
    if let Some(Condition::Tags(tags)) = Condition::read(headers, &header::IF_MATCH)?
        && !tags.iter().any(|it| !it.weak && it.text == tag)
    {
        return Err(failed(format!("If-Match does not name the current tag, {tag}")));
    }
    Ok(match Condition::read(headers, &header::IF_NONE_MATCH)? {
        Some(Condition::Any) => ReadOutcome::NotModified,
        Some(Condition::Tags(tags)) if tags.iter().any(|it| it.text == tag) => {
            ReadOutcome::NotModified
        }
        None | Some(Condition::Tags(_)) => ReadOutcome::Send,
    })
}

/// `answer` with `tag`, or a 304 if the reader holds it already.
///
/// # Errors
/// As of [`evaluate`].
pub(in crate::http) fn tagged(
    headers: &HeaderMap,
    tag: &str,
    answer: impl FnOnce() -> Result<JsonResponse, Problem>,
) -> Result<Response, Problem> {
    match not_modified(headers, tag)? {
        Some(response) => Ok(response),
        None => Ok(answer()?.with(header::ETAG, tag).into_response()),
    }
}

/// Returns a 304 with `tag` if the reader holds it already: for an answer that is worth not computing.
///
/// # Errors
/// As of [`evaluate`].
pub(in crate::http) fn not_modified(
    headers: &HeaderMap,
    tag: &str,
) -> Result<Option<Response>, Problem> {
    Ok(match evaluate(headers, tag)? {
        ReadOutcome::Send => None,
        ReadOutcome::NotModified => {
            Some((StatusCode::NOT_MODIFIED, [(header::ETAG, tag.to_owned())]).into_response())
        }
    })
}

/// Whether the reader sends a condition at all.
pub(in crate::http) fn is_conditional(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_NONE_MATCH) || headers.contains_key(header::IF_MATCH)
}

/// What `If-Match` requires of a write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Required {
    /// The revisions or versions of which one must be current; without any the condition is false.
    pub(in crate::http) numbers: Vec<i64>,
    /// Why it is false whatever is current, if it is.
    pub(in crate::http) mismatch_reason: Option<String>,
}

/// Reads the revisions or versions of which one must be current (`If-Match`, compared strongly). `None` without the
/// header, and for `*`, which anything satisfies and which therefore protects nothing.
///
/// # Errors
/// A malformed condition, or `If-None-Match: *`.
pub(in crate::http) fn required(
    headers: &HeaderMap,
    kind: Tag,
) -> Result<Option<Required>, Problem> {
    if matches!(Condition::read(headers, &header::IF_NONE_MATCH)?, Some(Condition::Any)) {
        return Err(failed("If-None-Match: * failed: the resource exists"));
    }
    let tags = match Condition::read(headers, &header::IF_MATCH)? {
        None | Some(Condition::Any) => return Ok(None),
        Some(Condition::Tags(tags)) => tags,
    };
    let strong = tags.iter().filter(|tag| !tag.weak);
    let numbers: Vec<i64> = strong.filter_map(|tag| kind.number(tag.text)).collect();
    let first = tags.first().filter(|_| numbers.is_empty());
    let mismatch_reason = first.map(|tag| mismatch_reason(*tag, kind));
    Ok(Some(Required { numbers, mismatch_reason }))
}

/// Why `tag` can never match where tags are of `kind`.
fn mismatch_reason(tag: EntityTag<'_>, kind: Tag) -> String {
    let (letter, meaning) = (kind.letter(), kind.meaning());
    if tag.weak {
        return format!(
            "If-Match names a weak tag, which never matches; a proxy that compresses makes tags weak: send \
             `\"{letter}<number>\"`, or the version in the body"
        );
    }
    let other = kind.other();
    if other.number(tag.text).is_some() {
        let named = other.meaning();
        return format!(
            "If-Match names {named}; here it must be {meaning}, `\"{letter}<number>\"`"
        );
    }
    format!("If-Match is no tag of these settings; it must be {meaning}, `\"{letter}<number>\"`")
}

/// Whether the caller prefers lenient handling to strict. Of a preference that is sent twice the first counts
/// (RFC 7240, 2).
pub(in crate::http) fn prefers_lenient(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
    let handling = lines.flat_map(elements).find_map(|element| {
        let preference = element.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case("handling").then_some(value)
    });
    handling.is_some_and(|value| value.trim().trim_matches('"').eq_ignore_ascii_case("lenient"))
}

/// The caller's `Idempotency-Key`, quoted or not. It is stored, so it must not be a secret or a part of one.
pub(in crate::http) fn idempotency_key(
    headers: &HeaderMap,
    scanner: &SecretScanner,
) -> Result<Option<String>, Problem> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let text = line.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text);
    let fits = (1..=idempotency::MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    let is_only_one = lines.next().is_none();
    if fits && is_only_one && scanner.may_be_secret_fragment(text) {
        let detail = "Idempotency-Key looks like a secret; send a new random identifier";
        return Err(of_header("secret_like_value", detail.to_owned()));
    }
    if fits && is_only_one {
        return Ok(Some(text.to_owned()));
    }
    let detail = format!(
        "Idempotency-Key is one string of 1 to {} visible ASCII characters",
        idempotency::MAX_BYTES
    );
    Err(of_header("invalid_idempotency_key", detail))
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
            |lines: &[&'static str]| required(&headers(&header::IF_MATCH, lines), Tag::Revision);
        let numbers = |lines: &[&'static str]| required(lines).unwrap().map(|it| it.numbers);
        assert_eq!(numbers(&[]), None);
        assert_eq!(numbers(&["*"]), None);
        assert_eq!(numbers(&["\"r7\", \"r8\""]), Some(vec![7, 8]));
        assert_eq!(numbers(&["\"r7,\", W/\"r9\",", "\"r8\""]), Some(vec![8]));
        for never in ["W/\"r7\"", "\"v7\"", "\"rx\"", "\"r+7\""] {
            let required = required(&[never]).unwrap().unwrap();
            assert!(required.numbers.is_empty() && required.mismatch_reason.is_some(), "{never}");
        }
        for malformed in ["r7", "\"r7", "\"", "W/", " , ", "*, *", "\"r6, r7\""] {
            let problem = required(&[malformed]).unwrap_err();
            assert_eq!(problem.code(), Code::MalformedRequest, "{malformed}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let evaluated =
            |line| evaluate(&headers(&header::IF_NONE_MATCH, &[line]), "\"r7\"").unwrap();
        for held in ["\"r7\"", "W/\"r7\"", "*", "\"r6\", \"r7\""] {
            assert_eq!(evaluated(held), ReadOutcome::NotModified, "{held}");
        }
        for other in ["\"r8\"", "\"r6\", \"r5\"", "W/\"v7\""] {
            assert_eq!(evaluated(other), ReadOutcome::Send, "{other}");
        }
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
            idempotency_key(&headers(&IDEMPOTENCY_KEY, lines), &SecretScanner::default())
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
