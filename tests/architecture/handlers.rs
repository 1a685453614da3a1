//! Handlers declare parameters as types: a handler without a query type would ignore unknown parameters, and a
//! description by hand could differ from the reader.

use proc_macro2::{Delimiter, TokenTree};

use crate::source::Source;

/// Returns the handlers of `source` without a query type, without the description of the query type, or with a parameter
/// described by hand.
pub(crate) fn undeclared_parameters(source: &Source) -> Vec<String> {
    let levels = source.levels();
    levels.iter().flat_map(|level| breaches(level)).collect()
}

fn breaches(level: &[TokenTree]) -> Vec<String> {
    let mut breaches = Vec::new();
    for (index, token) in level.iter().enumerate() {
        let Some(description) = route_description(token) else { continue };
        let rest = &level[index..];
        let Some((name, signature)) = function(rest) else { continue };
        let arguments =
            signature.iter().find_map(|token| group_text(token, Delimiter::Parenthesis));
        let arguments = arguments.unwrap_or_default();
        if query_type(&arguments).is_none() {
            breaches.push(format!("the handler `{name}` has no argument of type `Query<…>`"));
        }
        if let Some(parameters) = query_type(&arguments)
            && parameters != "NoParameters"
            && !mentions(&description, parameters)
        {
            breaches.push(format!("the handler `{name}` does not describe `params({parameters})`"));
        }
        for place in ["Query", "Header"] {
            let is_by_hand =
                [",", ")"].iter().any(|end| description.contains(&format!(",{place}{end}")));
            if is_by_hand {
                breaches
                    .push(format!("the handler `{name}` describes a {place} parameter by hand"));
            }
        }
    }
    breaches
}

/// Returns the type of a handler's parameters: `P` of `Query<P>`.
fn query_type(arguments: &str) -> Option<&str> {
    let (_, parameters) = arguments.split_once("Query<")?;
    parameters.split_once('>').map(|(parameters, _)| parameters)
}

/// Whether `description` has the word `name`.
fn mentions(description: &str, name: &str) -> bool {
    let mut words = description.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.any(|word| word == name)
}

/// Returns the text of an attribute `#[utoipa::path(…)]`.
fn route_description(token: &TokenTree) -> Option<String> {
    let text = group_text(token, Delimiter::Bracket)?;
    text.starts_with("utoipa::path(").then_some(text)
}

/// Returns the text of a group without spaces.
fn group_text(token: &TokenTree, delimiter: Delimiter) -> Option<String> {
    match token {
        TokenTree::Group(group) if group.delimiter() == delimiter => {
            Some(group.stream().to_string().replace([' ', '\n'], ""))
        }
        _ => None,
    }
}

/// Returns the name of the next function, and the tokens after the name.
fn function(tokens: &[TokenTree]) -> Option<(String, &[TokenTree])> {
    let is_fn = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word == "fn");
    let index = tokens.iter().position(is_fn)?;
    let (name, signature) = tokens.get(index + 1..)?.split_first()?;
    Some((name.to_string(), signature))
}

#[test]
fn undeclared_parameters_are_found() {
    let check = |arguments: &str, parameters: &str| {
        let text = format!(
            "#[utoipa::path(get, path = \"/x\", params({parameters}))]\n\
             #[expect(dead_code)] pub(in crate::http) async fn x({arguments}) -> Response {{ y(Query::<Z>()) }}"
        );
        undeclared_parameters(&Source::of("src/http/routes/x.rs", &text))
    };
    for declared in
        ["_: Query<NoParameters>", "a: A, Query(q): Query<P>, b: B", "_: LenientQuery<P>"]
    {
        assert!(check(declared, "P, (\"id\" = Uuid, Path)").is_empty(), "{declared}");
    }
    for missing in ["", "headers: HeaderMap", "query: QueryString"] {
        assert_eq!(check(missing, "").len(), 1, "{missing}");
    }
    for by_hand in ["(\"x\" = String, Query, description = \"\")", "(\"X\" = String, Header)"] {
        assert_eq!(check("_: Query<P>", &format!("P, {by_hand}")).len(), 1, "{by_hand}");
    }
}
