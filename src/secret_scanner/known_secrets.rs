//! Constant-time search for the secrets of this process.

use subtle::{Choice, ConstantTimeEq as _};

use crate::config::Secret;

/// Minimum length of a secret in bytes; shorter secrets occur in ordinary words.
const MIN_LENGTH: usize = 8;

/// Minimum length for the search of an alphabetic secret within a longer text.
///
/// A shorter secret is a word (`postgres`, `password` in development): a sentence with the word reveals nothing,
/// but its rejection would reveal the secret.
const MIN_ALPHABETIC_LENGTH: usize = 16;

/// The base of the rolling hash; odd, so that no power is zero modulo 2^64.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A secret, prepared for the search.
pub(super) struct KnownSecret {
    secret: Secret,
    /// Whether only the whole text is compared.
    whole_text_only: bool,
    hash: u64,
    /// The weight of the first byte of a window in the hash.
    first_weight: u64,
}

impl KnownSecret {
    /// Prepares `secret`. Returns `None` if the secret is too short.
    pub(super) fn new(secret: Secret) -> Option<Self> {
        let bytes = secret.expose().as_bytes();
        if bytes.len() < MIN_LENGTH {
            return None;
        }
        let first_weight = (1..bytes.len()).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        let hash = bytes.iter().fold(0, |hash, byte| append(hash, *byte));
        let whole_text_only =
            bytes.len() < MIN_ALPHABETIC_LENGTH && bytes.iter().all(u8::is_ascii_alphabetic);
        Some(Self { secret, whole_text_only, hash, first_weight })
    }

    /// Whether `text` contains the secret, or equals an alphabetic secret.
    ///
    /// The duration must not reveal how many bytes of a guess match. A window is therefore compared only if the
    /// rolling hashes are equal, then in constant time, and a match does not end the search.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let secret = self.secret.expose().as_bytes();
        if self.whole_text_only {
            // Constant time here too: the duration reveals at most the length.
            return text.trim().as_bytes().ct_eq(secret).into();
        }
        let text = text.as_bytes();
        let Some(start) = text.get(..secret.len() - 1) else { return false };
        let mut hash = start.iter().fold(0, |hash, byte| append(hash, *byte));
        // Not a bool, because the compiler could branch on a bool.
        let mut is_found = Choice::from(0);
        for window in text.windows(secret.len()) {
            // Unreachable for a shorter window, because of the minimum length.
            let [first, .., last] = window else { continue };
            hash = append(hash, *last);
            // A part of the secret has another hash, so a partial guess causes no comparison.
            if hash == self.hash {
                is_found |= window.ct_eq(secret);
            }
            hash = hash.wrapping_sub(u64::from(*first).wrapping_mul(self.first_weight));
        }
        is_found.into()
    }
}

/// Appends a byte to the rolling hash.
fn append(hash: u64, byte: u8) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(u64::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(secret: &str) -> Option<KnownSecret> {
        KnownSecret::new(Secret::new(secret.to_owned()))
    }

    #[test]
    fn a_secret_is_found_anywhere_but_a_part_is_not() {
        let secret = known("correct horse").unwrap();
        for text in ["correct horse", "a correct horse battery", "xcorrect horse", "correct horse!"]
        {
            assert!(secret.is_in(text), "{text}");
        }
        for text in
            ["", "correct", "correct hors", "orrect horse", "Correct horse", "correct  horse"]
        {
            assert!(!secret.is_in(text), "{text}");
        }
    }

    #[test]
    fn a_short_secret_is_ignored() {
        assert!(known("1234567").is_none() && known("").is_none());
        assert!(known("12345678").is_some());
    }

    #[test]
    fn an_alphabetic_secret_matches_only_the_whole_text() {
        let secret = known("postgres").unwrap();
        assert!(secret.is_in("postgres") && secret.is_in(" postgres\t"));
        assert!(
            !secret.is_in("moved to postgres 18") && !secret.is_in("postgre") && !secret.is_in("")
        );
    }

    proptest! {
        #[test]
        fn the_search_agrees_with_str_contains(secret in "[a1]{7,9}1", text in "[a1]{0,80}") {
            prop_assert_eq!(known(&secret).unwrap().is_in(&text), text.contains(&secret));
        }
    }
}
