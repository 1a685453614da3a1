//! Names that only look different from a key: `openai_api_key`, or one with a Cyrillic letter in it. Nothing
//! is written under such a name, but who tries it on a key that is never written here means that key.

use unicode_security::skeleton as character_skeleton;

use crate::text;

/// The most bytes of a name that is looked at; what is longer resembles nothing.
const MAX_BYTES: usize = 1024;

/// What all the disguises of one name have in common: no case, no punctuation, no blanks, nothing invisible,
/// and the letter that each letter looks like. Two names resemble each other when both have the same.
#[must_use]
pub fn skeleton(name: &str) -> Option<String> {
    if name.len() > MAX_BYTES {
        return None;
    }
    let plain = text::as_seen(name).to_uppercase();
    let letters: String = character_skeleton(&plain).filter(|c| c.is_alphanumeric()).collect();
    (!letters.is_empty()).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disguise_has_the_bare_name_of_what_it_resembles() {
        let key = skeleton("OPENAI_API_KEY");
        for name in [
            "openai_api_key",
            "OpenaiApiKey",
            " OPENAI_API_KEY ",
            "openai-api.key",
            "${OPENAI_API_KEY}",
            "ＯＰＥＮＡＩ_ＡＰＩ_ＫＥＹ",
            "OPENAI_API_KEY\u{200D}",
            "O\u{200B}PENAI_API_KEY",
            "\u{41E}PENAI_API_KEY",
            "OPENAI_\u{391}PI_KEY",
            "0PENAI_API_KEY",
            "OPENAI_API_KE\u{301}Y",
            "𝐎𝐏𝐄𝐍𝐀𝐈_𝐀𝐏𝐈_𝐊𝐄𝐘",
        ] {
            assert_eq!(skeleton(name), key, "{name}");
        }
        for name in ["OPENAI_API_KEYS", "OPENAI_KEY", "", "_", "KEY"] {
            assert_ne!(skeleton(name), key, "{name}");
        }
        assert_eq!(skeleton(""), None);
        assert_eq!(skeleton(&"K".repeat(1025)), None);
    }
}
