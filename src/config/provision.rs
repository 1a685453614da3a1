//! Sources of the keys that are not stored in the database, without the values of secrets.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::{Environment, Source},
    text,
};

/// The catalog's keys that the environment provides, and the name of this instance. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Provision(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    instance: String,
    production: bool,
    secrets: BTreeMap<String, Source>,
    texts: BTreeMap<String, (String, Source)>,
}

impl Provision {
    /// Looks up the keys of `secrets` and `texts` in `environment`.
    pub fn of<'k>(
        environment: &Environment,
        secrets: impl IntoIterator<Item = &'k str>,
        texts: impl IntoIterator<Item = &'k str>,
    ) -> Self {
        let source = |key: &str| environment.secret(key).ok().flatten().map(|(_, source)| source);
        let secrets = secrets.into_iter().filter_map(|key| Some((key.to_owned(), source(key)?)));
        let text = |key: &str| environment.raw(key).filter(|(text, _)| !text.trim().is_empty());
        let texts = texts.into_iter().filter_map(|key| Some((key.to_owned(), text(key)?)));
        let instance = printable_name(&rustix::system::uname().nodename().to_string_lossy());
        let production =
            environment.raw("NODE_ENV").is_some_and(|(mode, _)| mode.trim() == "production");
        let secrets = secrets.collect();
        let texts = texts.collect();
        Self(Arc::new(Inner { instance, production, secrets, texts }))
    }

    /// Returns the source of `key`, if the environment provides the key.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<Source> {
        let secret = self.0.secrets.get(key).copied();
        secret.or_else(|| self.0.texts.get(key).map(|(_, source)| *source))
    }

    /// Returns the text and the source of `key`, which must not be a secret.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<(&str, Source)> {
        self.0.texts.get(key).map(|(text, source)| (text.as_str(), *source))
    }

    /// Returns whether this is production (`NODE_ENV`).
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.0.production
    }

    /// Returns the name of this instance: the host name.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.0.instance
    }
}

/// Returns `machine` without characters that documents, messages and the log must not have.
fn printable_name(machine: &str) -> String {
    // The system accepts any bytes as a host name.
    let is_printable = |c: char| text::forbidden(c).is_none() && !text::is_invisible(c);
    let name: String = machine.chars().filter(|c| is_printable(*c)).collect();
    if text::visible_length(&name) == 0 { "unnamed".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_name_is_printable() {
        for (machine, name) in [
            ("brune-1.test", "brune-1.test"),
            ("bru\u{202E}ne\u{1B}[31m\u{200B}\n", "brune[31m"),
            ("\u{3164}\u{200B}", "unnamed"),
            ("", "unnamed"),
        ] {
            assert_eq!(printable_name(machine), name);
        }
    }
}
