//! The secrets that this process holds, for whoever must not let one through.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::{Config, Database, Pooler, Reload, Secret};

impl Config {
    /// Every secret that the process was started with; of the database's address the password as well, and of
    /// a webhook's its token.
    #[must_use]
    pub fn held_secrets(&self) -> Vec<Secret> {
        let mut held = self.auth.jwt_secrets.clone();
        let redis = match &self.reload {
            Reload::Redis(url) => Some(url),
            Reload::Notify | Reload::Poll => None,
        };
        held.extend(redis.into_iter().flat_map(|url| [passwords(url), vec![url.clone()]].concat()));
        let others = [&self.auth.internal_api_key, &self.openai_api_key];
        held.extend(others.into_iter().flatten().cloned());
        for webhook in [&self.alerts.discord, &self.alerts.webhook].into_iter().flatten() {
            held.push(webhook.clone());
            held.extend(token(webhook));
            held.extend(passwords(webhook));
        }
        held.extend(self.alerts.signing.iter().flat_map(|it| [it.clone(), unmarked(it)]));
        let database = match &self.database {
            Database::Url(url) => Some(url),
            Database::Embedded(_) => None,
        };
        let direct = match &self.pooler {
            Pooler::Transaction { direct } => direct.as_ref(),
            Pooler::None => None,
        };
        for url in database.into_iter().chain(direct).chain(&self.migrate_url) {
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

/// What makes the address of a webhook a secret: its last segment.
fn token(webhook: &Secret) -> Option<Secret> {
    let url = Url::parse(webhook.expose()).ok()?;
    let last = url.path_segments()?.next_back().filter(|it| !it.is_empty())?;
    Some(Secret::new(last.to_owned()))
}

/// A signing secret without what says that it is one.
fn unmarked(signing: &Secret) -> Secret {
    Secret::new(signing.expose().trim_start_matches("whsec_").to_owned())
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, Needs};

    use super::*;

    fn held(pairs: &[(&str, &str)]) -> Vec<String> {
        let environment = Environment::of_pairs(pairs.iter().copied());
        let held = Config::load(&environment, Needs::Serve).unwrap().held_secrets();
        held.iter().map(|it| it.expose().to_owned()).collect()
    }

    #[test]
    fn every_secret_is_held_and_the_databases_password_as_it_is() {
        let common = [
            ("NODE_ENV", "production"),
            ("JWT_SECRET", "a secret of thirty-two bytes, 01"),
            ("INTERNAL_API_KEY", "an-internal-key-of-ours"),
            ("OPENAI_API_KEY", "key-of-the-provider"),
            ("DISCORD_WEBHOOK_URL", "https://discord.test/hooks/1/a-token-of-the-hook"),
            ("ALERT_WEBHOOK_URL", "https://ada:a-word@alerts.test/a-token-of-alerts"),
            ("ALERT_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ];
        let around = [
            ("BRUNE_DB_POOLER", "transaction"),
            ("DATABASE_DIRECT_URL", "postgres://brune:past%20it@server/brune"),
        ];
        let migrating = [("DATABASE_MIGRATE_URL", "postgres://owner:owners%20word@server/brune")];
        let url = [("DATABASE_URL", "postgres://brune:p%40ss%2Fword@db/brune")];
        let parts = [
            ("POSTGRES_HOST", "db"),
            ("POSTGRES_USER", "brune"),
            ("POSTGRES_PASSWORD", "p@ss/word"),
            ("POSTGRES_DB", "brune"),
        ];
        for database in [&url[..], &parts] {
            let held = held(&[&common[..], &around, &migrating, database].concat());
            let given = common[1..].iter().chain(&around[1..]).map(|(_, value)| *value);
            let parts = [
                "p@ss/word",
                "p%40ss%2Fword",
                "past it",
                "owners word",
                "a-token-of-the-hook",
                "a-word",
            ];
            let more = ["a-token-of-alerts", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
            for secret in given.chain(parts).chain(more) {
                assert!(held.iter().any(|it| it == secret), "{secret}: {held:?}");
            }
        }
    }
}
