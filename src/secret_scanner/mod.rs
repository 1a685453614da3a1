//! Detection of secrets, which are never stored: patterns of well-known providers, and the secrets of this
//! process. Pure.
//!
//! Non-ASCII text is scanned twice: as received, and as displayed, without invisible characters and normalized to
//! NFKC (for example fullwidth letters). A match anywhere in a text counts. A secret in several pieces is found
//! only in a list and only if known to this process; an encoded secret is not found. The scanner prevents
//! accidents, not deliberate evasion by an administrator.

mod known_secrets;
mod lookalike;
mod patterns;

use std::{fmt, sync::Arc};

use known_secrets::KnownSecret;
pub use lookalike::skeleton as lookalike_skeleton;

use crate::{config::Secret, json::StrictJson, text};

/// The kind of a secret, with an article, such as `an OpenAI API key`. Never a part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretKind(&'static str);

const KNOWN: SecretKind = SecretKind("a secret of this service");

impl SecretKind {
    /// Returns the problem and the fix, as a predicate for the name of a setting or field.
    #[must_use]
    pub fn detail(self) -> String {
        format!(
            "looks like {self}; secrets are never stored: provide a secret through the environment, a file or \
             a credential directory"
        )
    }
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Finds secrets in texts. The default scanner knows only patterns. Cheap to clone.
#[derive(Clone, Default)]
pub struct SecretScanner(Arc<[KnownSecret]>);

impl SecretScanner {
    /// Creates a scanner that also knows the `secrets` of this process, except secrets shorter than 8 bytes.
    #[must_use]
    pub fn with_known_secrets(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self(secrets.into_iter().filter_map(KnownSecret::new).collect())
    }

    /// Returns the kind of the first secret in `text`.
    #[must_use]
    pub fn scan(&self, text: &str) -> Option<SecretKind> {
        let displayed = text::as_seen(text);
        // A second scan only for texts that display differently; most texts are ASCII.
        let differs = displayed != text;
        self.find(text).or_else(|| self.find(differs.then_some(&*displayed)?))
    }

    /// Whether `text` may contain a secret or the prefix of a well-known secret.
    ///
    /// For identifiers from callers, which are logged and stored and can be replaced by new identifiers. Parts of
    /// this process's secrets do not match, because the response would confirm a guess piece by piece.
    #[must_use]
    pub fn may_be_secret_fragment(&self, text: &str) -> bool {
        self.scan(text).is_some() || patterns::contains_prefix(text)
    }

    fn find(&self, text: &str) -> Option<SecretKind> {
        // Known secrets first: a leak of this service's secrets is the more serious mistake.
        if self.contains_known_secret(text) {
            return Some(KNOWN);
        }
        patterns::kind(text).map(SecretKind)
    }

    fn contains_known_secret(&self, text: &str) -> bool {
        // No short-circuit: the duration must not reveal which secret matched.
        self.0.iter().fold(false, |is_found, secret| secret.is_in(text) | is_found)
    }

    /// Returns the kind of the first secret in the strings, names and numbers of `json`: a password may consist
    /// of digits.
    #[must_use]
    pub fn scan_json(&self, json: &StrictJson) -> Option<SecretKind> {
        match json {
            StrictJson::Null | StrictJson::Bool(_) => None,
            StrictJson::Number(text) | StrictJson::String(text) => self.scan(text),
            StrictJson::Array(items) => {
                let in_item = items.iter().find_map(|item| self.scan_json(item));
                in_item.or_else(|| self.scan_joined(items))
            }
            StrictJson::Object(members) => {
                let mut members = members.iter();
                members.find_map(|(name, value)| self.scan(name).or_else(|| self.scan_json(value)))
            }
        }
    }

    /// Scans the joined items, because a list may be a text that was split at commas.
    fn scan_joined(&self, items: &[StrictJson]) -> Option<SecretKind> {
        let text = |item: &StrictJson| match item {
            StrictJson::String(text) => Some(text.clone()),
            _ => None,
        };
        let texts: Vec<String> = items.iter().filter_map(text).collect();
        let contains_secret = |separator: &&str| self.contains_known_secret(&texts.join(separator));
        let is_found = texts.len() > 1 && ["", ",", ", "].iter().any(contains_secret);
        is_found.then_some(KNOWN)
    }
}

impl fmt::Debug for SecretScanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretScanner")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner() -> SecretScanner {
        SecretScanner::with_known_secrets([
            Secret::new("correct horse".to_owned()),
            Secret::new("short".to_owned()),
        ])
    }

    #[test]
    fn a_known_secret_is_found_in_any_part_of_a_value() {
        let text = |text: &str| StrictJson::String(text.to_owned());
        let inside = StrictJson::Object(vec![(
            "a".to_owned(),
            StrictJson::Array(vec![text("my correct horse")]),
        )]);
        assert_eq!(scanner().scan_json(&inside), Some(SecretKind("a secret of this service")));
        let name = StrictJson::Object(vec![("correct horse".to_owned(), StrictJson::Null)]);
        assert!(scanner().scan_json(&name).is_some());
        assert_eq!(
            scanner().scan_json(&StrictJson::Array(vec![text("short"), StrictJson::Bool(true)])),
            None
        );
        let list =
            |items: &[&str]| StrictJson::Array(items.iter().map(|item| text(item)).collect());
        let commas =
            SecretScanner::with_known_secrets([Secret::new("one, two and three".to_owned())]);
        assert!(commas.scan_json(&list(&["zero", "one", "two and three"])).is_some());
        assert!(scanner().scan_json(&list(&["correct ", "horse"])).is_some());
        assert_eq!(scanner().scan_json(&list(&["correct", "horse"])), None);
        let digits = SecretScanner::with_known_secrets([Secret::new("1234567890".to_owned())]);
        assert!(digits.scan_json(&StrictJson::Number("1234567890".to_owned())).is_some());
    }

    #[test]
    fn invisible_and_fullwidth_characters_do_not_hide_a_secret() {
        let key = format!("sk-proj-{}", "a1B2".repeat(8));
        let wide = |c: char| char::from_u32(u32::from(c) + 0xFEE0).unwrap();
        for text in [
            key.clone(),
            format!("for the record: {key}."),
            key.replace("proj", "pr\u{200B}oj"),
            key.replace("a1", "a\u{AD}1"),
            key.chars().map(wide).collect(),
            "correct \u{2060}horse".to_owned(),
        ] {
            assert!(scanner().scan(&text).is_some(), "{text}");
        }
        assert_eq!(scanner().scan("Grüße, 日本語 👩\u{200D}🚀"), None);
    }

    #[test]
    fn debug_output_contains_no_secret() {
        assert_eq!(format!("{:?}", scanner()), "SecretScanner");
    }
}
