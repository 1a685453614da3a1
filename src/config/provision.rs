//! Where the keys that are not in the database come from: names and sources, never values.

use std::{collections::BTreeMap, sync::Arc};

use crate::config::{Environment, Source};

/// For each key that is provisioned outside the database, where its value comes from; and what this
/// instance is called. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Provision(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    instance: String,
    sources: BTreeMap<String, Source>,
}

impl Provision {
    /// What `environment` holds of `keys`, on this machine.
    pub fn of<'k>(environment: &Environment, keys: impl IntoIterator<Item = &'k str>) -> Self {
        let source = |key: &str| {
            let given = environment.raw(key).filter(|(text, _)| !text.is_empty());
            let read = || environment.secret(key).ok().flatten().map(|(_, source)| source);
            given.map(|(_, source)| source).or_else(read)
        };
        let sources = keys.into_iter().filter_map(|key| Some((key.to_owned(), source(key)?)));
        let instance = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self(Arc::new(Inner { instance, sources: sources.collect() }))
    }

    /// Where `key` comes from; `None` when nobody gave it.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<&'static str> {
        self.0.sources.get(key).map(|source| source.as_str())
    }

    /// What this instance is called: the name of its machine.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.0.instance
    }
}
