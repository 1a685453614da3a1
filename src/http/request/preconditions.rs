//! Conditional requests: entity tags, `If-Match` and `If-None-Match` (RFC 9110, 8.8.3 and 13.1).

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use utoipa::{
    IntoParams,
    openapi::{
        SchemaFormat,
        path::{Parameter, ParameterIn},
    },
};

use crate::http::{
    problem::{Code, Problem},
    request::headers::{self, elements, invalid},
    response::JsonResponse,
};

/// Returns the tag of all settings at a revision.
pub(in crate::http) fn revision_tag(revision: i64) -> String {
    format!("\"r{revision}\"")
}

/// Returns the tag of a setting at a version.
pub(in crate::http) fn version_tag(version: i32) -> String {
    format!("\"v{version}\"")
}

/// Returns the tag of a proposal at an edition.
pub(in crate::http) fn edition_tag(edition: i32) -> String {
    format!("\"e{edition}\"")
}

/// The kinds of tags in `If-Match` of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Tag {
    /// `"r7"`: all settings at a revision.
    Revision,
    /// `"v3"`: a single setting at a version.
    Version,
    /// `"e1"`: an edition of a proposal.
    Edition,
}

impl Tag {
    fn letter(self) -> char {
        match self {
            Self::Revision => 'r',
            Self::Version => 'v',
            Self::Edition => 'e',
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Revision => "a revision of all settings",
            Self::Version => "a version of one setting",
            Self::Edition => "an edition of the proposal",
        }
    }

    fn others(self) -> impl Iterator<Item = Self> {
        [Self::Revision, Self::Version, Self::Edition].into_iter().filter(move |tag| *tag != self)
    }

    /// Returns the number in `text`, the quoted part of an entity tag; `None` for a tag of another kind.
    fn number(self, text: &str) -> Option<i64> {
        let digits = text.strip_prefix('"')?.strip_prefix(self.letter())?.strip_suffix('"')?;
        // `parse` alone would accept a sign, as in `r+7`.
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    }
}

/// An entity tag of a condition (RFC 9110, 8.8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EntityTag<'h> {
    weak: bool,
    /// With quotes.
    text: &'h str,
}

/// The form of a conditional header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// `*`: the resource exists, in any state.
    Any,
    /// The state has any of the tags.
    Tags,
}

/// Reads the lines of `If-Match` or `If-None-Match` and passes every tag to `visit`; `None` without lines.
fn read<'h>(
    lines: impl IntoIterator<Item = &'h HeaderValue>,
    name: &HeaderName,
    mut visit: impl FnMut(EntityTag<'h>),
) -> Result<Option<Condition>, Problem> {
    let (mut has_lines, mut any, mut tags) = (false, 0, 0);
    // Several lines of a header form a single list (RFC 9110, 5.3).
    for line in lines {
        has_lines = true;
        // The usual line is one strong tag, and needs no search for separators.
        if let Some(tag) = single_tag(line) {
            tags += 1;
            visit(tag);
            continue;
        }
        let line = line.to_str().map_err(|_| malformed(name, "must be ASCII"))?;
        for element in elements(line) {
            match element {
                "*" => any += 1,
                element => {
                    tags += 1;
                    visit(entity_tag(name, element)?);
                }
            }
        }
    }
    match (any, tags) {
        _ if !has_lines => Ok(None),
        (0, 1..) => Ok(Some(Condition::Tags)),
        (1, 0) => Ok(Some(Condition::Any)),
        // An empty list is a client's mistake: no state would satisfy the condition.
        (0, 0) => Err(malformed(name, "must not be empty")),
        _ => Err(malformed(name, "`*` must be the only element")),
    }
}

/// Returns the strong tag that is all of `line`, if `line` has this form.
fn single_tag(line: &HeaderValue) -> Option<EntityTag<'_>> {
    let text = line.to_str().ok()?;
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b',';
    inner.bytes().all(is_plain).then_some(EntityTag { weak: false, text })
}

fn entity_tag<'h>(name: &HeaderName, element: &'h str) -> Result<EntityTag<'h>, Problem> {
    let (weak, text) = match element.strip_prefix("W/") {
        Some(text) => (true, text),
        None => (false, element),
    };
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    // RFC 9110, 8.8.3 permits bytes beyond ASCII, but no tag of the service has any.
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if text.len() < 2 || !inner.is_some_and(is_plain) {
        return Err(malformed(name, "a tag is not quoted or has a forbidden character"));
    }
    Ok(EntityTag { weak, text })
}

fn malformed(name: &HeaderName, reason: &str) -> Problem {
    let name = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
    let detail =
        format!("{name} must be `*` or a list of quoted entity tags such as `\"r7\"`: {reason}");
    invalid("invalid_precondition", detail)
}

fn failed(detail: impl Into<String>) -> Problem {
    Problem::new(Code::RevisionMismatch, detail)
}

/// Routes whose writes evaluate `If-Match`.
// An import is bound to a state by `plan_id` instead of a tag.
const CONDITIONAL_WRITES: [&str; 4] = [
    "/admin/global-settings",
    "/admin/global-settings/rollback",
    "/admin/config/{key}",
    "/admin/proposals/{number}",
];

/// Checks the conditions of a request for `route` before anything else is read. A client relies on a condition, so a
/// malformed condition is refused, and also a condition without effect on the route.
pub(in crate::http) fn check(
    method: &Method,
    route: &str,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let form = |name| read(headers.get_all(name), name, |_| ());
    let if_match = form(&header::IF_MATCH)?;
    let if_none_match = form(&header::IF_NONE_MATCH)?;
    // An evaluation of flags only reads, despite the method POST.
    if method.is_safe() || route.starts_with("/ofrep/") {
        return Ok(());
    }
    let unsupported = |detail: &str| Err(invalid("unsupported_precondition", detail));
    // `If-Match: *` needs no evaluation: every addressed resource exists.
    if matches!(if_match, Some(Condition::Tags)) && !CONDITIONAL_WRITES.contains(&route) {
        return unsupported("If-Match with a tag is not evaluated here; omit it");
    }
    // A client sends `If-None-Match: *` to avoid an overwrite, so silence would be unsafe.
    if matches!(if_none_match, Some(Condition::Any)) && !CONDITIONAL_WRITES.contains(&route) {
        return unsupported("If-None-Match: * is not evaluated here; omit it");
    }
    if matches!(if_none_match, Some(Condition::Tags)) {
        return unsupported(
            "If-None-Match with a tag is for reading; use If-Match to bind a write",
        );
    }
    Ok(())
}

/// The outcome of the conditions of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum ReadOutcome {
    /// The state is sent.
    Send,
    /// The reader has the state already: 304.
    NotModified,
}

/// Evaluates the conditions of a reader against the `current` tag, in the order of RFC 9110, 13.2.2.
///
/// # Errors
/// A malformed condition, or a failed `If-Match`.
pub(in crate::http) fn evaluate<'h>(
    if_match: impl IntoIterator<Item = &'h HeaderValue>,
    if_none_match: impl IntoIterator<Item = &'h HeaderValue>,
    current: &str,
) -> Result<ReadOutcome, Problem> {
    let mut is_current = false;
    // `If-Match` compares strongly: a weak tag never matches (RFC 9110, 13.1.1).
    let compare_strongly = |tag: EntityTag<'_>| is_current |= !tag.weak && tag.text == current;
    let if_match = read(if_match, &header::IF_MATCH, compare_strongly)?;
    // `*` needs no check: the resource of a read always exists.
    if if_match == Some(Condition::Tags) && !is_current {
        return Err(failed(format!("If-Match does not name the current tag, {current}")));
    }
    let mut is_known = false;
    // `If-None-Match` compares weakly: `W/` does not count (RFC 9110, 13.1.2).
    let compare_weakly = |tag: EntityTag<'_>| is_known |= tag.text == current;
    let if_none_match = read(if_none_match, &header::IF_NONE_MATCH, compare_weakly)?;
    let is_known = is_known || if_none_match == Some(Condition::Any);
    Ok(if is_known { ReadOutcome::NotModified } else { ReadOutcome::Send })
}

/// The conditions of a reader: copied instead of evaluated, because the current tag is known only after the state is
/// read.
pub(in crate::http) struct ReadConditions {
    if_match: Vec<HeaderValue>,
    if_none_match: Vec<HeaderValue>,
}

impl<S: Send + Sync> FromRequestParts<S> for ReadConditions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let lines = |name| parts.headers.get_all(name).iter().cloned().collect();
        Ok(Self { if_match: lines(header::IF_MATCH), if_none_match: lines(header::IF_NONE_MATCH) })
    }
}

impl ReadConditions {
    /// Whether the reader sends a condition at all.
    pub(in crate::http) fn is_conditional(&self) -> bool {
        !self.if_match.is_empty() || !self.if_none_match.is_empty()
    }

    /// Returns the response with `tag`, or a 304 if the reader has the current state already.
    ///
    /// # Errors
    /// As of [`evaluate`], and of `response`.
    pub(in crate::http) fn tagged(
        &self,
        tag: &str,
        response: impl FnOnce() -> Result<JsonResponse, Problem>,
    ) -> Result<Response, Problem> {
        match self.not_modified(tag)? {
            Some(response) => Ok(response),
            None => Ok(response()?.with(header::ETAG, tag).into_response()),
        }
    }

    /// Returns a 304 with `tag` if the reader has the current state already, before a costly response is computed.
    ///
    /// # Errors
    /// As of [`evaluate`].
    pub(in crate::http) fn not_modified(&self, tag: &str) -> Result<Option<Response>, Problem> {
        Ok(self.evaluate(tag)?.not_modified(tag))
    }

    /// Evaluates the conditions against the `current` tag.
    ///
    /// # Errors
    /// As of [`evaluate`].
    pub(in crate::http) fn evaluate(&self, current: &str) -> Result<ReadOutcome, Problem> {
        evaluate(&self.if_match, &self.if_none_match, current)
    }
}

impl ReadOutcome {
    fn not_modified(self, tag: &str) -> Option<Response> {
        match self {
            Self::Send => None,
            Self::NotModified => {
                // A 304 repeats the tag (RFC 9110, 15.4.5).
                Some((StatusCode::NOT_MODIFIED, [(header::ETAG, tag.to_owned())]).into_response())
            }
        }
    }
}

/// Returns a 304 with `tag` if the reader has the current state already.
///
/// # Errors
/// As of [`evaluate`].
pub(in crate::http) fn not_modified(
    headers: &HeaderMap,
    tag: &str,
) -> Result<Option<Response>, Problem> {
    let if_match = headers.get_all(header::IF_MATCH);
    let if_none_match = headers.get_all(header::IF_NONE_MATCH);
    Ok(evaluate(if_match, if_none_match, tag)?.not_modified(tag))
}

impl IntoParams for ReadConditions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The `ETag` of an earlier answer: 304 while that state is current";
        vec![parameter("If-None-Match", description, "\"r7\"")]
    }
}

/// Describes a conditional header for the document.
pub(in crate::http) fn parameter(name: &str, description: &str, example: &str) -> Parameter {
    let tag = r#"(W/)?"[!#-~]*""#;
    let pattern = format!(r"^(\*|{tag}( *, *{tag})*)$");
    // The format names the grammar for tools that cannot generate text from the pattern.
    let schema = headers::text(&pattern, example);
    let schema = schema.format(Some(SchemaFormat::Custom("entity-tags".to_owned())));
    headers::parameter_of(schema.into(), name, description)
}

/// The condition of a write (`If-Match`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Required {
    /// The allowed revisions or versions; without any the condition fails.
    pub(in crate::http) numbers: Vec<i64>,
    /// Why the condition fails in any state, if so.
    pub(in crate::http) mismatch_reason: Option<String>,
}

/// Reads the allowed revisions or versions (`If-Match`, compared strongly). `None` without the header, and for `*`, as
/// every state satisfies `*`.
///
/// # Errors
/// A malformed condition, or `If-None-Match: *`.
pub(in crate::http) fn required(
    headers: &HeaderMap,
    kind: Tag,
) -> Result<Option<Required>, Problem> {
    // Settings always exist, so `*` fails before any state is read.
    let if_none_match = headers.get_all(header::IF_NONE_MATCH);
    if read(if_none_match, &header::IF_NONE_MATCH, |_| ())? == Some(Condition::Any) {
        return Err(failed("If-None-Match: * failed: the resource exists"));
    }
    let mut tags = Vec::new();
    let if_match = headers.get_all(header::IF_MATCH);
    if read(if_match, &header::IF_MATCH, |tag| tags.push(tag))? != Some(Condition::Tags) {
        return Ok(None);
    }
    let strong = tags.iter().filter(|tag| !tag.weak);
    // An empty list still is a condition: the write must fail instead of running unguarded.
    let numbers: Vec<i64> = strong.filter_map(|tag| kind.number(tag.text)).collect();
    // A list with a usable tag may match, so only a list without any needs an explanation.
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
    // Clients confuse the tag of a setting with the tag of all settings.
    if let Some(sent_kind) = kind.others().find(|kind| kind.number(tag.text).is_some()) {
        let actual = sent_kind.meaning();
        return format!("If-Match names {actual}; it must be {meaning}, `\"{letter}<number>\"`");
    }
    format!("If-Match is not a tag of a setting; it must be {meaning}, `\"{letter}<number>\"`")
}

#[cfg(test)]
mod tests {
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
        let numbers =
            |lines: &[&'static str]| required(lines).unwrap().map(|required| required.numbers);
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
        let evaluated = |line| evaluate(&[], &[HeaderValue::from_static(line)], "\"r7\"").unwrap();
        for current in ["\"r7\"", "W/\"r7\"", "*", "\"r6\", \"r7\""] {
            assert_eq!(evaluated(current), ReadOutcome::NotModified, "{current}");
        }
        for outdated in ["\"r8\"", "\"r6\", \"r5\"", "W/\"v7\""] {
            assert_eq!(evaluated(outdated), ReadOutcome::Send, "{outdated}");
        }
    }
}
