//! Where the keys that are not in the database come from: names and sources, and never the value of a
//! secret.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::{Environment, Source},
    text,
};

/// What this instance was given for the keys of the catalog, and what it is called. Cheap to clone.
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
    /// What `environment` holds of `secrets`, and of `others`, on this machine.
    pub fn of<'k>(
        environment: &Environment,
        secrets: impl IntoIterator<Item = &'k str>,
        others: impl IntoIterator<Item = &'k str>,
    ) -> Self {
        let source = |key: &str| environment.secret(key).ok().flatten().map(|(_, source)| source);
        let secrets = secrets.into_iter().filter_map(|key| Some((key.to_owned(), source(key)?)));
        let text = |key: &str| environment.raw(key).filter(|(text, _)| !text.trim().is_empty());
        let texts = others.into_iter().filter_map(|key| Some((key.to_owned(), text(key)?)));
        let instance = name_of(&rustix::system::uname().nodename().to_string_lossy());
        let production =
            environment.raw("NODE_ENV").is_some_and(|(it, _)| it.trim() == "production");
        let (secrets, texts) = (secrets.collect(), texts.collect());
        Self(Arc::new(Inner { instance, production, secrets, texts }))
    }

    /// Where `key` comes from; `None` when nobody gave it.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<Source> {
        let secret = self.0.secrets.get(key).copied();
        secret.or_else(|| self.0.texts.get(key).map(|(_, source)| *source))
    }

    /// What was given for `key`, which is no secret.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<(&str, Source)> {
        self.0.texts.get(key).map(|(text, source)| (text.as_str(), *source))
    }

    /// Whether nothing is made up here (`NODE_ENV`).
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.0.production
    }

    /// What this instance is called: the name of its machine.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.0.instance
    }
}

/// The name of a machine as it goes into documents, messages and the log: the system lets any bytes be one.
fn name_of(machine: &str) -> String {
    let is_shown = |c: char| text::forbidden(c).is_none() && !text::is_invisible(c);
    let name: String = machine.chars().filter(|c| is_shown(*c)).collect();
    if text::visible_length(&name) == 0 { "unnamed".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_machine_can_be_shown() {
        for (machine, name) in [
            ("brune-1.test", "brune-1.test"),
            ("bru\u{202E}ne\u{1B}[31m\u{200B}\n", "brune[31m"),
            ("\u{3164}\u{200B}", "unnamed"),
            ("", "unnamed"),
        ] {
            assert_eq!(name_of(machine), name);
        }
    }
}
