//! The secrets of this process, for the scanner that keeps secrets out of settings.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::{Config, Database, Pooler, Reload, Secret};

impl Config {
    /// Returns every secret of the configuration, with the passwords in addresses and the tokens of webhooks.
    #[must_use]
    pub fn known_secrets(&self) -> Vec<Secret> {
        let mut secrets = self.auth.jwt_secrets.clone();
        if let Reload::Redis(url) = &self.reload {
            secrets.extend(passwords(url));
            secrets.push(url.clone());
        }
        secrets.extend(self.auth.internal_api_key.clone());
        secrets.extend(self.openai_api_key.clone());
        for webhook in [&self.alerts.discord, &self.alerts.webhook].into_iter().flatten() {
            secrets.push(webhook.clone());
            secrets.extend(token(webhook));
            secrets.extend(passwords(webhook));
        }
        for signing in &self.alerts.signing {
            secrets.push(signing.clone());
            secrets.push(without_prefix(signing));
        }
        let database = match &self.database {
            Database::Url(url) => Some(url),
            Database::Embedded(_) => None,
        };
        let direct = match &self.pooler {
            Pooler::Transaction { direct } => direct.as_ref(),
            Pooler::None => None,
        };
        for url in database.into_iter().chain(direct).chain(&self.migrate_url) {
            secrets.extend(passwords(url));
            secrets.push(url.clone());
        }
        secrets
    }
}

/// Returns the password in `url`, percent-encoded and decoded.
fn passwords(url: &Secret) -> Vec<Secret> {
    let url = Url::parse(url.expose());
    let Some(encoded) = url.as_ref().ok().and_then(Url::password) else { return Vec::new() };
    let decoded = percent_decode_str(encoded).decode_utf8_lossy().into_owned();
    [encoded.to_owned(), decoded].map(Secret::new).to_vec()
}

/// Returns the last path segment of `webhook`, which is the secret part of such an address.
fn token(webhook: &Secret) -> Option<Secret> {
    let url = Url::parse(webhook.expose()).ok()?;
    let token = url.path_segments()?.next_back().filter(|segment| !segment.is_empty())?;
    Some(Secret::new(token.to_owned()))
}

fn without_prefix(signing: &Secret) -> Secret {
    Secret::new(signing.expose().trim_start_matches("whsec_").to_owned())
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, Needs};

    use super::*;

    fn known(pairs: &[(&str, &str)]) -> Vec<String> {
        let environment = Environment::from_pairs(pairs.iter().copied());
        let secrets = Config::load(&environment, Needs::Serve).unwrap().known_secrets();
        secrets.iter().map(|secret| secret.expose().to_owned()).collect()
    }

    #[test]
    fn every_secret_is_known_and_passwords_in_both_forms() {
        let common = [
            ("NODE_ENV", "production"),
            ("JWT_SECRET", "a secret of thirty-two bytes, 01"),
            ("INTERNAL_API_KEY", "an-internal-key-of-ours"),
            ("OPENAI_API_KEY", "key-of-the-provider"),
            ("DISCORD_WEBHOOK_URL", "https://discord.test/hooks/1/a-token-of-the-hook"),
            ("ALERT_WEBHOOK_URL", "https://ada:a-word@alerts.test/a-token-of-alerts"),
            ("ALERT_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ];
        let pooler = [
            ("BRUNE_DB_POOLER", "transaction"),
            ("DATABASE_DIRECT_URL", "postgres://brune:past%20it@server/brune"),
        ];
        let migration = [("DATABASE_MIGRATE_URL", "postgres://owner:owners%20word@server/brune")];
        let url = [("DATABASE_URL", "postgres://brune:p%40ss%2Fword@db/brune")];
        let parts = [
            ("POSTGRES_HOST", "db"),
            ("POSTGRES_USER", "brune"),
            ("POSTGRES_PASSWORD", "p@ss/word"),
            ("POSTGRES_DB", "brune"),
        ];
        for database in [&url[..], &parts] {
            let secrets = known(&[&common[..], &pooler, &migration, database].concat());
            let values = common[1..].iter().chain(&pooler[1..]).map(|(_, value)| *value);
            let passwords = ["p@ss/word", "p%40ss%2Fword", "past it", "owners word", "a-word"];
            let tokens =
                ["a-token-of-the-hook", "a-token-of-alerts", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
            for secret in values.chain(passwords).chain(tokens) {
                assert!(secrets.iter().any(|value| value == secret), "{secret}: {secrets:?}");
            }
        }
    }
}
