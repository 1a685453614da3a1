//! The secrets that this process holds, for whoever must not let one through.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::{Config, Database, Secret};

impl Config {
    /// Every secret that the process was started with; of the database's address, the password as well.
    #[must_use]
    pub fn held_secrets(&self) -> Vec<Secret> {
        let mut held = self.auth.jwt_secrets.clone();
        let others = [&self.auth.internal_api_key, &self.openai_api_key, &self.discord_webhook_url];
        held.extend(others.into_iter().flatten().cloned());
        if let Database::Url(url) = &self.database {
            held.extend(passwords(url));
            held.push(url.clone());
        }
        held
    }
}

/// The password in `url` as it stands there, and as it is.
fn passwords(url: &Secret) -> Vec<Secret> {
    let url = Url::parse(url.expose());
    let Some(encoded) = url.as_ref().ok().and_then(Url::password) else { return Vec::new() };
    let plain = percent_decode_str(encoded).decode_utf8_lossy().into_owned();
    [encoded.to_owned(), plain].map(Secret::new).to_vec()
}
