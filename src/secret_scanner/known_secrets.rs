//! Whether a text holds a secret that this process was started with, told by no clock.

use subtle::{Choice, ConstantTimeEq as _};

use crate::config::Secret;

/// The shortest secret that is looked for; a shorter one would stand in ordinary words.
const SHORTEST: usize = 8;

/// The length from which on a secret that is made of letters only is looked for inside a text. A shorter one
/// is a word (`postgres`, `password`, as they are in development): who writes it in a sentence gives nothing
/// away, and a refusal would.
const NO_WORD: usize = 16;

/// Odd, so that no byte's weight is ever nothing.
const WEIGHT: u64 = 0x9E37_79B9_7F4A_7C15;

/// A secret, ready to be looked for.
pub(super) struct KnownSecret {
    secret: Secret,
    /// Whether only a text that is nothing else counts.
    alone: bool,
    print: u64,
    /// What the first byte of a window weighs.
    first: u64,
}

impl KnownSecret {
    /// `None` for one that is too short.
    pub(super) fn new(secret: Secret) -> Option<Self> {
        let bytes = secret.expose().as_bytes();
        if bytes.len() < SHORTEST {
            return None;
        }
        let first = (1..bytes.len()).fold(1_u64, |power, _| power.wrapping_mul(WEIGHT));
        let print = bytes.iter().fold(0, |print, byte| add(print, *byte));
        let alone = bytes.len() < NO_WORD && bytes.iter().all(u8::is_ascii_alphabetic);
        Some(Self { secret, alone, print, first })
    }

    /// Whether `text` contains it; of a word, whether it is it.
    ///
    /// A comparison that ends at the first byte that differs would tell, by its time, how much of a secret
    /// was guessed. So a window is compared only when its fingerprint is the secret's, which a part of the
    /// secret does not have; then in constant time; and what was found ends nothing.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let secret = self.secret.expose().as_bytes();
        if self.alone {
            return text.trim().as_bytes().ct_eq(secret).into();
        }
        let text = text.as_bytes();
        let Some(begin) = text.get(..secret.len() - 1) else { return false };
        let mut print = begin.iter().fold(0, |print, byte| add(print, *byte));
        let mut found = Choice::from(0);
        for window in text.windows(secret.len()) {
            let [out, .., new] = window else { continue };
            print = add(print, *new);
            if print == self.print {
                found |= window.ct_eq(secret);
            }
            print = print.wrapping_sub(u64::from(*out).wrapping_mul(self.first));
        }
        found.into()
    }
}

/// The fingerprint of what was printed so far with one more byte.
fn add(print: u64, byte: u8) -> u64 {
    print.wrapping_mul(WEIGHT).wrapping_add(u64::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(secret: &str) -> Option<KnownSecret> {
        KnownSecret::new(Secret::new(secret.to_owned()))
    }

    #[test]
    fn a_secret_is_found_wherever_it_stands_and_a_part_of_it_is_not() {
        let held = held("correct horse").unwrap();
        for text in ["correct horse", "a correct horse battery", "xcorrect horse", "correct horse!"]
        {
            assert!(held.is_in(text), "{text}");
        }
        for text in
            ["", "correct", "correct hors", "orrect horse", "Correct horse", "correct  horse"]
        {
            assert!(!held.is_in(text), "{text}");
        }
    }

    #[test]
    fn what_is_too_short_is_not_looked_for() {
        assert!(held("1234567").is_none() && held("").is_none());
        assert!(held("12345678").is_some());
    }

    #[test]
    fn a_word_is_a_secret_only_where_nothing_else_stands() {
        let held = held("postgres").unwrap();
        assert!(held.is_in("postgres") && held.is_in(" postgres\t"));
        assert!(!held.is_in("moved to postgres 18") && !held.is_in("postgre") && !held.is_in(""));
    }

    proptest! {
        #[test]
        fn it_finds_what_a_plain_search_finds(secret in "[a1]{7,9}1", text in "[a1]{0,80}") {
            prop_assert_eq!(held(&secret).unwrap().is_in(&text), text.contains(&secret));
        }
    }
}
