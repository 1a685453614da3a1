//! Lookalikes of a key, such as `openai_api_key` or a name with a Cyrillic letter. A write to a lookalike of a
//! locked key is treated as a write to the locked key.

use unicode_security::skeleton as character_skeleton;

use crate::text;

/// Maximum length of a name in bytes; longer names have no skeleton.
const MAX_BYTES: usize = 1024;

/// Returns the skeleton of `name`, which is equal for all lookalikes: upper case, letters and digits only, confusable
/// letters replaced (Unicode Technical Standard 39).
#[must_use]
pub fn skeleton(name: &str) -> Option<String> {
    // Names come from callers, and the skeleton of a long name is expensive.
    if name.len() > MAX_BYTES {
        return None;
    }
    // Upper case first, because confusable letters differ between cases.
    let displayed = text::as_seen(name).to_uppercase();
    let letters: String = character_skeleton(&displayed).filter(|c| c.is_alphanumeric()).collect();
    // Names without letters, such as `--` and `..`, would otherwise all look alike.
    (!letters.is_empty()).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookalikes_have_the_same_skeleton() {
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
