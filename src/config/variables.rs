//! The list of variables that the program reads. `tests/architecture.rs` compares the list with the code.

/// An environment variable of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: &'static str,
    /// Whether the value is a secret, which `<name>_FILE` may provide as well.
    pub is_secret: bool,
}

const fn plain(name: &'static str) -> Variable {
    Variable { name, is_secret: false }
}

const fn secret(name: &'static str) -> Variable {
    Variable { name, is_secret: true }
}

/// Every variable that the program reads, sorted by name.
pub const VARIABLES: &[Variable] = &[
    plain("ADMIN_WRITE_RATE_LIMIT_PER_MINUTE"),
    plain("ALERT_ALLOW_PRIVATE"),
    plain("ALERT_EVENTS"),
    secret("ALERT_WEBHOOK_SECRET"),
    secret("ALERT_WEBHOOK_URL"),
    plain("BRUNE_CATALOG"),
    plain("BRUNE_CHANGE_WORKER_ENABLED"),
    plain("BRUNE_CHANGE_WORKER_INTERVAL_MS"),
    plain("BRUNE_CORS_ORIGINS"),
    plain("BRUNE_DATA_DIR"),
    plain("BRUNE_DB_ALLOW_OWNER"),
    plain("BRUNE_DB_POOLER"),
    plain("BRUNE_DB_POOL_SIZE"),
    plain("BRUNE_EXPIRY_WORKER_BATCH_SIZE"),
    plain("BRUNE_EXPIRY_WORKER_ENABLED"),
    plain("BRUNE_EXPIRY_WORKER_INTERVAL_MS"),
    plain("BRUNE_LISTEN"),
    plain("BRUNE_OPENAI_BASE_URL"),
    plain("BRUNE_OUTBOX_MAX_RETRIES"),
    plain("BRUNE_OUTBOX_RETRY_BASE_MS"),
    plain("BRUNE_OUTBOX_WORKER_BATCH_SIZE"),
    plain("BRUNE_OUTBOX_WORKER_ENABLED"),
    plain("BRUNE_OUTBOX_WORKER_INTERVAL_MS"),
    plain("BRUNE_OUTBOX_WORKER_LEASE_MS"),
    plain("BRUNE_PG_BIN_DIR"),
    plain("BRUNE_PG_NO_DOWNLOAD"),
    plain("BRUNE_PG_USER"),
    plain("BRUNE_PUBLIC_URL"),
    plain("BRUNE_RELOAD"),
    plain("BRUNE_RELOAD_POLL_MS"),
    plain("BRUNE_START_RATE_LIMIT_PER_MINUTE"),
    secret("BRUNE_TOKEN"),
    plain("BRUNE_URL"),
    plain("CREDENTIALS_DIRECTORY"),
    secret("DATABASE_DIRECT_URL"),
    secret("DATABASE_MIGRATE_URL"),
    secret("DATABASE_URL"),
    secret("DISCORD_WEBHOOK_URL"),
    plain("HOME"),
    secret("INTERNAL_API_KEY"),
    plain("JWT_AUDIENCE"),
    plain("JWT_ISSUER"),
    plain("JWT_MAX_LIFE"),
    secret("JWT_SECRET"),
    plain("LOG_DISCORD_LEVELS"),
    plain("LOG_FORMAT"),
    plain("LOG_LEVEL"),
    plain("NODE_ENV"),
    plain("NO_COLOR"),
    secret("OPENAI_API_KEY"),
    plain("PATH"),
    plain("PORTE_TALENT_BASE_URL"),
    plain("POSTGRES_DB"),
    plain("POSTGRES_HOST"),
    secret("POSTGRES_PASSWORD"),
    plain("POSTGRES_PORT"),
    plain("POSTGRES_USER"),
    secret("REDIS_URL"),
    plain("XDG_CACHE_HOME"),
    plain("XDG_DATA_HOME"),
];
