//! Escapes and cuts texts for Discord.

/// Escapes `text` so that nothing is rendered as markdown, a mention or a link.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Markdown permits a backslash before every punctuation character, and hides the backslash.
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | '\'' | '"' | '%' | '&' | '/') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    // Discord links any text with `//`, in every scheme, even behind a backslash.
    escaped.replace("//", "/\u{200b}/")
}

/// Formats `text` as inline code, cut after `limit` characters.
#[must_use]
pub fn code(text: &str, limit: usize) -> String {
    // Only a backtick ends inline code, and empty code is not rendered as code.
    let text = text.replace('`', "\u{2cb}");
    let text = if text.trim().is_empty() { format!("\u{200b}{text}") } else { text };
    format!("`{}`", cut(&text, limit))
}

/// Cuts `text` after `limit` characters, the last an ellipsis. Counted in UTF-16 code units, never fewer than Discord counts.
#[must_use]
pub fn cut(text: &str, limit: usize) -> String {
    if length(text) <= limit {
        return text.to_owned();
    }
    // The ellipsis takes a code unit of the limit.
    let mut remaining = limit.saturating_sub(1);
    let fits = |c: &char| {
        let fits = c.len_utf16() <= remaining;
        remaining = remaining.saturating_sub(c.len_utf16());
        fits
    };
    let prefix: String = text.chars().take_while(fits).collect();
    if limit == 0 { prefix } else { prefix + "…" }
}

/// Returns the length of `text` in UTF-16 code units.
pub(super) fn length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("🎛🎛🎛", 5), "🎛🎛…");
        assert_eq!(cut("🎛🎛🎛", 6), "🎛🎛🎛");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn escaped_text_is_not_markdown() {
        assert_eq!(plain("**a** <@1> [b](c)"), r"\*\*a\*\* \<\@1\> \[b\]\(c\)");
        assert!(!plain("https://evil.test").contains("//"));
        assert_eq!(code("a`b", 10), "`aˋb`");
        assert_eq!(code("", 10), "`\u{200b}`");
        assert_eq!(code("abcdef", 4), "`abc…`");
    }
}
