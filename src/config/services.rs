//! Services that session starts call.

use url::Url;

use crate::config::{Secret, address, reader::Reader};

const OPENAI: &str = "BRUNE_OPENAI_BASE_URL";
const PORTE_TALENT: &str = "PORTE_TALENT_BASE_URL";

/// Services that session starts call.
#[derive(Debug, Clone)]
pub struct Services {
    /// The realtime provider (`BRUNE_OPENAI_BASE_URL`).
    pub openai_url: Url,
    /// The service that knows the users' plans (`PORTE_TALENT_BASE_URL`).
    pub porte_talent_url: Option<Url>,
}

impl Services {
    /// Returns `None` if the address of the realtime provider is invalid.
    pub(super) fn read(reader: &mut Reader<'_>, internal_api_key: Option<&Secret>) -> Option<Self> {
        let openai_text = reader.text(OPENAI);
        let openai_text = openai_text.as_deref().unwrap_or("https://api.openai.com/v1");
        let openai_url = root(reader, OPENAI, openai_text);
        let porte_talent_url =
            reader.text(PORTE_TALENT).and_then(|text| root(reader, PORTE_TALENT, &text));
        if porte_talent_url.is_some() && internal_api_key.is_none() {
            let problem = "requires INTERNAL_API_KEY, which authenticates the calls";
            reader.reject(PORTE_TALENT, problem, "set INTERNAL_API_KEY, or unset it");
        }
        Some(Self { openai_url: openai_url?, porte_talent_url })
    }
}

fn root(reader: &mut Reader<'_>, variable: &str, text: &str) -> Option<Url> {
    address::root(text).map_err(|error| reader.reject(variable, error.problem, error.fix)).ok()
}

#[cfg(test)]
mod tests {
    use crate::config::Environment;

    use super::*;

    fn read_from(pairs: &[(&str, &str)]) -> Result<Services, String> {
        let environment = Environment::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&environment);
        let key = Secret::new("key".to_owned());
        let services = Services::read(&mut reader, Some(&key));
        reader.finish(services).map_err(|errors| errors.to_string())
    }

    #[test]
    fn the_default_is_the_provider_and_no_other_service() {
        let services = read_from(&[]).unwrap();
        assert_eq!(services.openai_url.as_str(), "https://api.openai.com/v1");
        assert_eq!(services.porte_talent_url, None);
    }

    #[test]
    fn an_invalid_address_is_rejected_and_not_repeated() {
        for variable in [OPENAI, PORTE_TALENT] {
            for text in [
                "api.test/v1",
                "ftp://api.test",
                "https://user:hunter2@api.test",
                "https://api.test/?hunter2",
                "https://api.test/#hunter2",
                "https://",
            ] {
                let error = read_from(&[(variable, text)]).unwrap_err();
                assert!(error.contains(variable) && !error.contains("hunter2"), "{text}: {error}");
            }
        }
    }

    #[test]
    fn a_service_without_its_key_is_an_error() {
        let environment = Environment::from_pairs([(PORTE_TALENT, "http://talent.test")]);
        let mut reader = Reader::new(&environment);
        let services = Services::read(&mut reader, None);
        let error = reader.finish(services).unwrap_err().to_string();
        assert!(error.contains("INTERNAL_API_KEY"), "{error}");
    }
}
