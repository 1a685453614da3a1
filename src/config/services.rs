//! The services that a session start asks.

use std::num::NonZeroU32;

use url::Url;

use crate::config::{Secret, address, reading::Reading};

const OPENAI: &str = "BRUNE_OPENAI_BASE_URL";
const PORTE_TALENT: &str = "PORTE_TALENT_BASE_URL";

/// What takes part in session starts.
#[derive(Debug, Clone)]
pub struct Services {
    /// Where the realtime provider answers (`BRUNE_OPENAI_BASE_URL`).
    pub openai_url: Url,
    /// Where the service answers that knows the users' plans (`PORTE_TALENT_BASE_URL`).
    pub porte_talent_url: Option<Url>,
    /// Starts that a user may try in a minute (`BRUNE_START_RATE_LIMIT_PER_MINUTE`).
    pub starts_per_minute: NonZeroU32,
}

impl Services {
    /// `None` when where the realtime provider answers cannot be read.
    pub(super) fn read(
        reading: &mut Reading<'_>,
        internal_api_key: Option<&Secret>,
    ) -> Option<Self> {
        let given = reading.text(OPENAI);
        let text = given.as_deref().unwrap_or("https://api.openai.com/v1");
        let openai_url = root(reading, OPENAI, text);
        let porte_talent_url =
            reading.text(PORTE_TALENT).and_then(|text| root(reading, PORTE_TALENT, &text));
        if porte_talent_url.is_some() && internal_api_key.is_none() {
            let what = "is set, but not the INTERNAL_API_KEY that it is asked with";
            reading.fault(PORTE_TALENT, what, "set INTERNAL_API_KEY, or unset it");
        }
        let starts = reading.number("BRUNE_START_RATE_LIMIT_PER_MINUTE", 10, 1..=1000);
        Some(Self {
            openai_url: openai_url?,
            porte_talent_url,
            starts_per_minute: NonZeroU32::new(starts).unwrap_or(NonZeroU32::MIN),
        })
    }
}

/// The address that a service's paths begin with.
fn root(reading: &mut Reading<'_>, variable: &str, text: &str) -> Option<Url> {
    address::root(text).map_err(|error| reading.fault(variable, error.what, error.fix)).ok()
}

#[cfg(test)]
mod tests {
    use crate::config::Environment;

    use super::*;

    fn read_from(pairs: &[(&str, &str)]) -> Result<Services, String> {
        let environment = Environment::of_pairs(pairs.iter().copied());
        let mut reading = Reading::of(&environment);
        let key = Secret::new("key".to_owned());
        let services = Services::read(&mut reading, Some(&key));
        reading.finish(services).map_err(|faults| faults.to_string())
    }

    #[test]
    fn nothing_said_is_the_provider_itself_and_no_other_service() {
        let services = read_from(&[]).unwrap();
        assert_eq!(services.openai_url.as_str(), "https://api.openai.com/v1");
        assert_eq!((services.porte_talent_url, services.starts_per_minute.get()), (None, 10));
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        for variable in [OPENAI, PORTE_TALENT] {
            for wrong in [
                "api.test/v1",
                "ftp://api.test",
                "https://user:hunter2@api.test",
                "https://api.test/?hunter2",
                "https://api.test/#hunter2",
                "https://",
            ] {
                let fault = read_from(&[(variable, wrong)]).unwrap_err();
                assert!(fault.contains(variable) && !fault.contains("hunter2"), "{wrong}: {fault}");
            }
        }
    }

    #[test]
    fn a_service_that_cannot_be_asked_is_a_fault() {
        let environment = Environment::of_pairs([(PORTE_TALENT, "http://talent.test")]);
        let mut reading = Reading::of(&environment);
        let services = Services::read(&mut reading, None);
        let fault = reading.finish(services).unwrap_err().to_string();
        assert!(fault.contains("INTERNAL_API_KEY"), "{fault}");
    }
}
