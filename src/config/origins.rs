//! Origins whose pages may call the service from a browser.

use url::Url;

use crate::config::reader::Reader;

const VARIABLE: &str = "BRUNE_CORS_ORIGINS";

/// Reads the origins in the form browsers send; `*` allows every origin.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<String> {
    let Some(text) = reader.text(VARIABLE) else { return Vec::new() };
    let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    if items == ["*"] {
        return vec!["*".to_owned()];
    }
    let origins: Vec<_> = items.iter().filter_map(|item| origin(item)).collect();
    if origins.len() < items.len() {
        let fix = "write `https://app.example.com, http://localhost:3000`, or only `*` for all";
        reader.reject(VARIABLE, "must list origins only", fix);
    }
    origins
}

/// Parses scheme, host and port, without anything else.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let origin = url.origin().ascii_serialization();
    let is_bare = [origin.clone(), format!("{origin}/")].contains(&url.to_string());
    // A browser never sends a pattern, so a pattern would match no request.
    (is_bare && !text.ends_with('/') && !text.contains('*')).then_some(origin)
}

#[cfg(test)]
mod tests {
    use crate::config::Environment;

    use super::*;

    fn read_from(text: &str) -> Result<Vec<String>, String> {
        let environment = Environment::from_pairs([(VARIABLE, text)]);
        let mut reader = Reader::new(&environment);
        let origins = read(&mut reader);
        reader.finish(Some(origins)).map_err(|errors| errors.to_string())
    }

    #[test]
    fn origins_are_normalized_as_browsers_send_them() {
        let origins = read_from("https://App.example.com:443, http://localhost:3000").unwrap();
        assert_eq!(origins, ["https://app.example.com", "http://localhost:3000"]);
        assert_eq!(read_from("*").unwrap(), ["*"]);
        assert_eq!(read_from(" , ").unwrap(), [""; 0]);
    }

    #[test]
    fn invalid_origins_are_rejected() {
        for text in [
            "app.example.com",
            "https://a.test/path",
            "https://a.test/",
            "https://user:word@a.test",
            "https://a.test?x",
            "https://*.a.test",
            "ftp://a.test",
            "null",
            "*, https://a.test",
        ] {
            let error = read_from(text).unwrap_err();
            assert!(error.contains(VARIABLE), "{text}: {error}");
        }
    }
}
