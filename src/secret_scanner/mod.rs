//! What looks like a secret, and therefore is never stored: the forms that well-known providers give theirs,
//! and what this process itself holds. Pure.
//!
//! A text is looked at twice when it has more than ASCII: as it is, and as a reader sees it, with what is
//! invisible left out and what only looks different (NFKC: fullwidth letters, for one) made plain. A secret
//! anywhere in a text counts. One that was cut into pieces (but for one of this process, in a list), or encoded
//! once more, is not found: this keeps accidents out, not somebody who is allowed to change settings and wants
//! to hide something.

mod known_secrets;
mod lookalike;
mod patterns;

use std::{fmt, sync::Arc};

use known_secrets::KnownSecret;
pub use lookalike::skeleton as lookalike_skeleton;

use crate::{config::Secret, json::StrictJson, text};

/// What a text looks like: `an OpenAI API key`. Never a part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretKind(&'static str);

const HELD: SecretKind = SecretKind("a secret of this service");

impl SecretKind {
    /// What is wrong and what to do, after the name of what is at fault.
    #[must_use]
    pub fn detail(self) -> String {
        format!(
            "looks like {self}; a secret is never stored here: the service is given it in its environment, a \
             file or a credential directory"
        )
    }
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Tells what looks like a secret. The default one knows the forms only. Cheap to clone.
#[derive(Clone, Default)]
pub struct SecretScanner(Arc<[KnownSecret]>);

impl SecretScanner {
    /// One that also knows `secrets`, those of this process; any shorter than 8 bytes is left out.
    #[must_use]
    pub fn with_known_secrets(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self(secrets.into_iter().filter_map(KnownSecret::new).collect())
    }

    /// What `text` looks like, if it looks like a secret or has one in it.
    #[must_use]
    pub fn scan(&self, text: &str) -> Option<SecretKind> {
        let as_seen = text::as_seen(text);
        let other = (as_seen != text).then_some(&*as_seen);
        self.find(text).or_else(|| self.find(other?))
    }

    /// Whether `text` may hold a secret or the beginning of one that was cut short, by the forms of well-known
    /// secrets. For identifiers that callers make up and that are logged and stored: a new one can take their place.
    ///
    /// Parts of the secrets of this process are not looked for: the answer would confirm a guess piece by piece.
    #[must_use]
    pub fn may_be_secret_fragment(&self, text: &str) -> bool {
        self.scan(text).is_some() || patterns::begins(text)
    }

    fn find(&self, text: &str) -> Option<SecretKind> {
        if self.contains_known_secret(text) { Some(HELD) } else { patterns::likeness(text) }
    }

    /// Whether a secret of this process is in `text`; all are looked for, so that the time does not tell which
    /// it was.
    fn contains_known_secret(&self, text: &str) -> bool {
        self.0.iter().fold(false, |found, it| it.is_in(text) | found)
    }

    /// The same of any text in `json`, and of its numbers: a password may be all digits.
    #[must_use]
    pub fn scan_json(&self, json: &StrictJson) -> Option<SecretKind> {
        match json {
            StrictJson::Null | StrictJson::Bool(_) => None,
            StrictJson::Number(text) | StrictJson::String(text) => self.scan(text),
            StrictJson::Array(items) => {
                let found = items.iter().find_map(|it| self.scan_json(it));
                found.or_else(|| self.across(items))
            }
            StrictJson::Object(members) => {
                members.iter().find_map(|(name, it)| self.scan(name).or_else(|| self.scan_json(it)))
            }
        }
    }

    /// A list may have been one text, which was cut at its commas on the way.
    fn across(&self, items: &[StrictJson]) -> Option<SecretKind> {
        let text = |item: &StrictJson| match item {
            StrictJson::String(text) => Some(text.clone()),
            _ => None,
        };
        let texts: Vec<String> = items.iter().filter_map(text).collect();
        let cut = 1 < texts.len();
        let held = cut
            && ["", ",", ", "]
                .iter()
                .any(|between| self.contains_known_secret(&texts.join(between)));
        held.then_some(HELD)
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
    fn a_secret_of_the_process_is_found_in_any_part_of_a_value() {
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
        let cut = |items: &[&str]| StrictJson::Array(items.iter().map(|it| text(it)).collect());
        let commas =
            SecretScanner::with_known_secrets([Secret::new("one, two and three".to_owned())]);
        assert!(commas.scan_json(&cut(&["zero", "one", "two and three"])).is_some());
        assert!(scanner().scan_json(&cut(&["correct ", "horse"])).is_some());
        assert_eq!(scanner().scan_json(&cut(&["correct", "horse"])), None);
        let digits = SecretScanner::with_known_secrets([Secret::new("1234567890".to_owned())]);
        assert!(digits.scan_json(&StrictJson::Number("1234567890".to_owned())).is_some());
    }

    #[test]
    fn what_is_invisible_or_only_looks_different_hides_nothing() {
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
    fn it_says_nothing_of_what_it_holds() {
        assert_eq!(format!("{:?}", scanner()), "SecretScanner");
    }
}
