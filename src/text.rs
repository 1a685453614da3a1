//! Text validation: forbidden characters, identifiers, decoding.
//!
//! Values, reasons, names and identifiers arrive through JSON, YAML, `.env` files, the environment, tokens and
//! the command line. Every entry point calls these functions, so that all accept the same text.

use std::{borrow::Cow, fmt::Write as _};

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark, is_nfc};

/// Describes why `c` is forbidden in text; `None` if allowed.
///
/// Postgres cannot store NUL. The other characters make a value or a reason look different ("Trojan Source",
/// CVE-2021-42574).
#[must_use]
pub fn forbidden(c: char) -> Option<&'static str> {
    let point = u32::from(c);
    match c {
        '\0' => Some("a NUL character"),
        '\u{2028}' | '\u{2029}' => Some("a line or paragraph separator"),
        c if c.is_control() => Some("a control character"),
        '\u{061C}'
        | '\u{200E}'
        | '\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2066}'..='\u{2069}' => Some("a character that changes the direction of text"),
        '\u{FEFF}' => Some("a byte order mark"),
        '\u{FDD0}'..='\u{FDEF}' => Some("a Unicode noncharacter"),
        // The last two code points of every plane.
        _ if point & 0xFFFE == 0xFFFE => Some("a Unicode noncharacter"),
        _ => None,
    }
}

/// A forbidden character in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{description} (U+{point:04X})", point = u32::from(*.character))]
pub struct ForbiddenCharacter {
    /// The first forbidden character of the text.
    pub character: char,
    /// The kind of character, with an article.
    pub description: &'static str,
}

/// Verifies that `text` has no [`forbidden`] character.
///
/// # Errors
/// The first forbidden character.
pub fn check(text: &str) -> Result<(), ForbiddenCharacter> {
    let first_forbidden = text.chars().find_map(|character| {
        forbidden(character).map(|description| ForbiddenCharacter { character, description })
    });
    first_forbidden.map_or(Ok(()), Err)
}

/// Verifies a multi-line text, such as a PEM block: like [`check`], but line ends (LF or CRLF) and tabs are
/// allowed.
///
/// # Errors
/// The first forbidden character; a CR without an LF is forbidden.
pub fn check_lines(text: &str) -> Result<(), ForbiddenCharacter> {
    let lines = text.split('\n');
    let without_ends = lines.map(|line| line.strip_suffix('\r').unwrap_or(line));
    // No LF follows the last line, so a final CR is not part of a line end.
    if text.ends_with('\r') {
        return check("\r");
    }
    without_ends.flat_map(|line| line.split('\t')).try_for_each(check)
}

/// Returns `text` with every forbidden character as `\u{…}`, for a terminal and for lines with tabs.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if check(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match forbidden(c) {
            // Escaped instead of removed, so that readers notice the character.
            Some(_) => escaped.extend(c.escape_unicode()),
            None => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Returns `text` without a final line end (LF or CRLF), which editors and `echo` append.
#[must_use]
pub fn without_line_end(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// Whether `text` is quoted for an `.env` parser; `docker run --env-file` passes such quotes on.
#[must_use]
pub fn is_quoted(text: &str) -> bool {
    let text = text.trim();
    text.len() > 1
        && ['"', '\''].iter().any(|quote| text.starts_with(*quote) && text.ends_with(*quote))
}

/// Maximum size of a document in bytes: an import, or the `.env` file.
pub const DOCUMENT_BYTES: usize = 1024 * 1024;

/// The reason why bytes cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input is too long.
    #[error("longer than {} KiB", .max / 1024)]
    TooLong {
        /// Maximum number of bytes.
        max: usize,
    },
    /// The input is not UTF-8.
    #[error("not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// Offset of the first invalid byte, counted from 0.
        at: usize,
    },
}

/// Decodes up to `max` bytes of UTF-8 and strips the byte order mark that Windows editors prepend.
///
/// # Errors
/// The input is too long or not UTF-8.
pub fn decode(bytes: &[u8], max: usize) -> Result<&str, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { max });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| DecodeError::NotUtf8 { at: error.valid_up_to() })?;
    Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text))
}

/// Whether `c` is invisible (Unicode's `Default_Ignorable_Code_Point`, and interlinear annotations).
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// Whether `c` is displayed as blank: white space, an invisible character, a control character, or the empty
/// Braille pattern and the null notehead, which fonts draw as blanks.
#[must_use]
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || is_invisible(c) || matches!(c, '\u{2800}' | '\u{1D159}')
}

/// Counts the visible characters of `text`. A combining mark belongs to the preceding character.
#[must_use]
pub fn visible_length(text: &str) -> usize {
    text.chars().filter(|c| !is_blank(*c) && !is_combining_mark(*c)).count()
}

/// Returns `text` as displayed: without invisible characters, normalized to NFKC.
#[must_use]
pub fn as_seen(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    // NFKC, because fullwidth and mathematical letters look like ASCII letters.
    Cow::Owned(text.chars().filter(|c| !is_invisible(*c)).nfkc().collect())
}

/// The reason why a text is not a valid identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// No visible character.
    #[error("must have at least one visible character")]
    Blank,
    /// Too many bytes.
    #[error("must have at most {max} bytes")]
    TooLong {
        /// Maximum number of bytes.
        max: usize,
    },
    /// A [`forbidden`] character.
    #[error("must not contain {0}")]
    Forbidden(&'static str),
    /// An invisible character, which makes two different identifiers look the same.
    #[error("must not contain an invisible character")]
    Invisible,
    /// Leading or trailing white space.
    #[error("must not begin or end with white space")]
    OuterWhitespace,
    /// White space other than single spaces.
    #[error("must not contain white space other than single spaces")]
    InnerWhitespace,
    /// Not in normalization form C: the same letters would have two encodings.
    #[error("must be in Unicode normalization form C")]
    NotNormalized,
}

/// Verifies that `text` is an identifier: two valid identifiers that look the same are equal, except for
/// look-alike letters of different scripts.
///
/// # Errors
/// The first violated rule.
pub fn check_identifier(text: &str, max_bytes: usize) -> Result<(), IdentifierError> {
    // The cheapest rule first: the other rules read the whole text.
    if text.len() > max_bytes {
        return Err(IdentifierError::TooLong { max: max_bytes });
    }
    if visible_length(text) == 0 {
        return Err(IdentifierError::Blank);
    }
    if let Some(character) = text.chars().find_map(forbidden) {
        return Err(IdentifierError::Forbidden(character));
    }
    if text.chars().any(is_invisible) {
        return Err(IdentifierError::Invisible);
    }
    // Outer white space is invisible in listings, so two users would look the same.
    if text.trim_matches(is_blank) != text {
        return Err(IdentifierError::OuterWhitespace);
    }
    let is_unusual_space = |c: char| is_blank(c) && c != ' ';
    // HTML collapses repeated spaces, so two users would look the same.
    if text.contains(is_unusual_space) || text.contains("  ") {
        return Err(IdentifierError::InnerWhitespace);
    }
    if !is_nfc(text) {
        return Err(IdentifierError::NotNormalized);
    }
    Ok(())
}

/// Verifies an optional identifier: white space alone counts as absent.
///
/// # Errors
/// The first violated rule.
pub fn check_optional_identifier(text: &str, max_bytes: usize) -> Result<(), IdentifierError> {
    if let Some(character) = text.chars().find_map(forbidden) {
        return Err(IdentifierError::Forbidden(character));
    }
    // An identity provider may send a blank claim for a missing plan.
    if text.len() <= max_bytes && text.trim().is_empty() {
        return Ok(());
    }
    check_identifier(text, max_bytes)
}

/// Returns `bytes` in hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Declares an enum whose variants have a name in the database and the API, with `ALL`, `as_str` and `parse`.
macro_rules! string_enum {
    ($(#[$attribute:meta])* $visibility:vis enum $name:ident {
        $($(#[$variant_attribute:meta])* $variant:ident = $text:literal,)+
    }) => {
        $(#[$attribute])*
        $visibility enum $name {
            $($(#[$variant_attribute])* $variant,)+
        }

        impl $name {
            /// Every variant.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// Returns the name in the database and the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Returns the variant with the name `text`.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|variant| variant.as_str() == text)
            }
        }
    };
}
pub(crate) use string_enum;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deceptive_characters_are_forbidden_and_common_characters_are_allowed() {
        for c in "\0\n\t\u{7F}\u{85}\u{061C}\u{200E}\u{202E}\u{2066}\u{2028}\u{FEFF}\u{FFFE}\u{FDD0}\u{10FFFF}".chars() {
            assert!(forbidden(c).is_some(), "{:x}", u32::from(c));
        }
        for c in "aé 漢👩\u{200D}\u{FFFD}\u{FFFC}אא".chars() {
            assert_eq!(forbidden(c), None, "{:x}", u32::from(c));
        }
    }

    #[test]
    fn text_of_invisible_characters_has_no_visible_length() {
        for blank in [
            "\u{200B}\u{200B}\u{200B}",
            "\u{3164}\u{3164}\u{3164}",
            "\u{E0041}\u{E0042}\u{E0043}",
            "\u{FE0F}\u{FE0E}\u{E0100}",
            "\u{2800}\u{2800}\u{2800}",
            "\u{A0}\u{3000}\u{2003}",
            "\u{34F}\u{AD}\u{2060}",
            "\u{FFF9}\u{FFFA}\u{FFFB}",
            "\u{1D159}\u{1D159}\u{1D159}",
            "\u{301}\u{302}\u{303}",
        ] {
            assert_eq!(visible_length(blank), 0, "{}", blank.escape_unicode());
        }
        assert_eq!(visible_length("né 漢👩\u{200D}🚀"), 5);
    }

    #[test]
    fn lines_may_have_ends_and_tabs_but_no_lone_carriage_return() {
        for text in ["", "a", "a\nb", "a\r\nb\r\n", "\tkey\n\n", "-----BEGIN-----\r\nQQ==\r\n"] {
            assert_eq!(check_lines(text), Ok(()), "{text:?}");
        }
        for text in ["a\r", "a\rb", "\r", "a\n\r", "a\u{1B}", "a\n\u{202E}b", "a\0", "\u{FEFF}a"] {
            assert!(check_lines(text).is_err(), "{text:?}");
        }
        assert_eq!(check("3\r").unwrap_err().to_string(), "a control character (U+000D)");
        assert_eq!(
            ["a\r\n", "a\n", "a", "a\n\n", "\n"].map(without_line_end),
            ["a", "a", "a", "a\n", ""]
        );
    }

    #[test]
    fn bytes_are_decoded_if_valid_utf8_within_the_limit() {
        assert_eq!(decode("\u{FEFF}a\u{FEFF}".as_bytes(), 9), Ok("a\u{FEFF}"));
        assert_eq!(decode(b"abc", 2), Err(DecodeError::TooLong { max: 2 }));
        assert_eq!(decode(b"ab\xFF", 9), Err(DecodeError::NotUtf8 { at: 2 }));
        for quoted in ["\"3\"", "'3'", " \"3\" ", "\"\""] {
            assert!(is_quoted(quoted), "{quoted}");
        }
        for plain in ["", "\"", "'", "\"3", "3\"", "\"3'", "it's"] {
            assert!(!is_quoted(plain), "{plain}");
        }
    }

    #[test]
    fn identifiers_that_look_alike_are_rejected() {
        use IdentifierError as E;
        for (text, error) in [
            ("", E::Blank),
            ("\u{200B}\u{200B}", E::Blank),
            ("ada\u{202E}", E::Forbidden("a character that changes the direction of text")),
            ("ad\u{7}a", E::Forbidden("a control character")),
            ("ad\u{200B}a", E::Invisible),
            ("ad\u{AD}a", E::Invisible),
            (" ada", E::OuterWhitespace),
            ("ada\u{3000}", E::OuterWhitespace),
            ("ada\u{2800}", E::OuterWhitespace),
            ("a\u{A0}b", E::InnerWhitespace),
            ("a  b", E::InnerWhitespace),
            ("a\u{FFF9}b", E::Invisible),
            ("Rene\u{301}", E::NotNormalized),
            ("aaaaaaaaaaaaaaaaa", E::TooLong { max: 16 }),
        ] {
            assert_eq!(check_identifier(text, 16), Err(error), "{}", text.escape_unicode());
        }
        assert_eq!(check_optional_identifier(" ", 16), Ok(()));
        assert_eq!(check_optional_identifier("\u{200B}", 16), Err(E::Blank));
        assert_eq!(check_optional_identifier("\t", 16), Err(E::Forbidden("a control character")));
        for text in ["ada", "auth0|5f7c8ec7", "René", "ada lovelace", "山田太郎", "שרה", "a:b@c"]
        {
            assert_eq!(check_identifier(text, 16), Ok(()), "{text}");
        }
    }
}
