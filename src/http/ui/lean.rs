//! Files as they are sent: the same program and the same style in fewer bytes.

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_minifier::{Minifier, MinifierOptions};
use oxc_parser::Parser;
use oxc_span::SourceType;

/// The text of the file `name` without what only its authors read: comments, indentation, long names of what is local.
pub(super) fn lean(name: &str, text: &str) -> String {
    match name.rsplit_once('.') {
        Some((_, "js")) => module(text).unwrap_or_else(|| text.to_owned()),
        Some((_, "css")) => style(text),
        _ => text.to_owned(),
    }
}

/// `None` of what is no module: it is sent as it stands, and whoever loads it is told where it fails.
fn module(text: &str) -> Option<String> {
    let allocator = Allocator::default();
    let mut parsed = Parser::new(&allocator, text, SourceType::mjs()).parse();
    if parsed.panicked || !parsed.diagnostics.is_empty() {
        return None;
    }
    let names = Minifier::new(MinifierOptions::default()).minify(&allocator, &mut parsed.program);
    let options = CodegenOptions::minify();
    let codegen = Codegen::new().with_options(options).with_scoping(names.scoping);
    Some(codegen.build(&parsed.program).code)
}

/// Without comments that have lines of their own, and blanks that mean nothing: our styles write `a: b` of a property and
/// `a:b` of a selector, and hold no such blanks in texts.
fn style(text: &str) -> String {
    let mut lean = String::with_capacity(text.len());
    let mut in_comment = false;
    for line in text.lines().map(str::trim) {
        in_comment |= line.starts_with("/*");
        if !in_comment && !line.is_empty() {
            let spaced =
                [(": ", ":"), ("; ", ";"), (", ", ","), (" {", "{"), ("{ ", "{"), (" }", "}")];
            lean += &spaced
                .iter()
                .fold(line.to_owned(), |line, (wide, dense)| line.replace(wide, dense));
            if !lean.ends_with(['{', '}', ';', ',']) {
                lean.push('\n');
            }
        }
        in_comment &= !line.ends_with("*/");
    }
    lean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_keeps_what_it_does_and_exports() {
        let text = "/** Why. */\nexport const twice = (number) => {\n  const result = number * 2;\n  return result + other(result);\n};\n";
        let lean = lean("a.js", text);
        assert!(
            lean.contains("export") && lean.contains("twice") && lean.contains("other"),
            "{lean}"
        );
        assert!(lean.len() * 2 < text.len(), "{lean}");
    }

    #[test]
    fn what_is_no_module_is_sent_as_it_stands() {
        assert_eq!(lean("a.js", "export const = 1;"), "export const = 1;");
    }

    #[test]
    fn a_style_loses_its_comments_and_its_indentation() {
        let text =
            "/* Why,\n   on two lines. */\na { b: c }\n\n@media d {\n  /* e */\n  f { g: h }\n}\n";
        assert_eq!(lean("a.css", text), "a{b:c}@media d{f{g:h}}");
    }
}
