//! Whose pages may call the service from a browser.

use url::Url;

use crate::config::reading::Reading;

const VARIABLE: &str = "BRUNE_CORS_ORIGINS";

/// The origins, as browsers spell them; `*` stands for all.
pub(super) fn read(reading: &mut Reading<'_>) -> Vec<String> {
    let Some(text) = reading.text(VARIABLE) else { return Vec::new() };
    let given: Vec<&str> = text.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    if given == ["*"] {
        return vec!["*".to_owned()];
    }
    let read: Vec<_> = given.iter().filter_map(|it| origin(it)).collect();
    if read.len() < given.len() {
        let way_out =
            "write `https://app.example.com, http://localhost:3000`, or `*` alone for all";
        reading.fault(VARIABLE, "holds what is no origin", way_out);
    }
    read
}

/// Scheme, host and port, and nothing else.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|it| matches!(it.scheme(), "http" | "https"))?;
    let origin = url.origin().ascii_serialization();
    let bare = [origin.clone(), format!("{origin}/")].contains(&url.to_string());
    // A browser never sends a pattern, so one would allow nobody.
    (bare && !text.ends_with('/') && !text.contains('*')).then_some(origin)
}

#[cfg(test)]
mod tests {
    use crate::config::Environment;

    use super::*;

    fn read_from(text: &str) -> Result<Vec<String>, String> {
        let environment = Environment::of_pairs([(VARIABLE, text)]);
        let mut reading = Reading::of(&environment);
        let origins = read(&mut reading);
        reading.finish(Some(origins)).map_err(|faults| faults.to_string())
    }

    #[test]
    fn origins_are_taken_as_browsers_spell_them() {
        let read = read_from("https://App.example.com:443, http://localhost:3000").unwrap();
        assert_eq!(read, ["https://app.example.com", "http://localhost:3000"]);
        assert_eq!(read_from("*").unwrap(), ["*"]);
        assert_eq!(read_from(" , ").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for wrong in [
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
            let fault = read_from(wrong).unwrap_err();
            assert!(fault.contains(VARIABLE), "{wrong}: {fault}");
        }
    }
}
