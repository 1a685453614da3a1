//! Names that only look different from a key: `openai_api_key`, or one with a Cyrillic letter in it. Nothing
//! is written under such a name, but who tries it on a key that is never written here means that key.

use unicode_security::skeleton;

use crate::text;

/// The most bytes of a name that is looked at; what is longer resembles nothing.
const LONGEST: usize = 1024;

/// What all the disguises of one name have in common: no case, no punctuation, no blanks, nothing invisible,
/// and the letter that each letter looks like. Two names resemble each other when both have the same.
#[must_use]
pub fn bare(name: &str) -> Option<String> {
    if LONGEST < name.len() {
        return None;
    }
    let plain = text::as_seen(name).to_uppercase();
    let bare: String = skeleton(&plain).filter(|c| c.is_alphanumeric()).collect();
    Some(bare).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disguise_has_the_bare_name_of_what_it_resembles() {
        let key = bare("OPENAI_API_KEY");
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
            assert_eq!(bare(name), key, "{name}");
        }
        for name in ["OPENAI_API_KEYS", "OPENAI_KEY", "", "_", "KEY"] {
            assert_ne!(bare(name), key, "{name}");
        }
        assert_eq!(bare(""), None);
        assert_eq!(bare(&"K".repeat(1025)), None);
    }
}
