//! The database that a command works on: somebody's, or a private one that is started for it.

use std::fs;

use tracing::info;

use crate::{
    app::{Error, guard},
    config::{self, Config, Environment, Pooler, Source},
    database::{self, MIGRATOR, Pool, Reach, embedded},
    settings::{self, BRUN_E, Catalog, Firewall, Kind, PublishPlan},
};

/// A database that answers.
#[derive(Debug)]
pub struct Database {
    pool: Pool,
    server: Option<embedded::Server>,
}

impl Database {
    /// Connects to the configured database, starting a private one if none is configured.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let (server, options) = match &config.database {
            config::Database::Url(url) => (None, database::options_from_url(url)?),
            config::Database::Embedded(embedded) => {
                let server = embedded::Server::start(embedded, embedded::Profile::Durable).await?;
                let options = server.options();
                (Some(server), options)
            }
        };
        let pool = Pool::open(options, reach(config)?, config.pool_size).await?;
        Ok(Self { pool, server })
    }

    /// Like [`Self::open`], but content with a private server that another process runs: for looking only.
    pub async fn attach(config: &Config) -> Result<Self, Error> {
        if let config::Database::Embedded(embedded) = &config.database
            && let Some(options) = embedded::running(embedded).await?
        {
            let pool = Pool::open(options, Reach::Direct, config.pool_size).await?;
            return Ok(Self { pool, server: None });
        }
        Self::open(config).await
    }

    /// Its connections.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether it lives and dies with this process.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.server.is_some()
    }

    /// Resolves when a private server is gone although nobody asked for that; never for another.
    pub(super) async fn died(&mut self) -> embedded::Error {
        match &mut self.server {
            Some(server) => server.died().await,
            None => std::future::pending().await,
        }
    }

    /// Closes the connections, then the private server.
    pub async fn close(self) -> Result<(), Error> {
        self.pool.close().await;
        if let Some(server) = self.server {
            server.stop().await?;
        }
        Ok(())
    }
}

/// What stands between this process and the server.
fn reach(config: &Config) -> Result<Reach, database::Error> {
    let Pooler::Transaction { direct } = &config.pooler else { return Ok(Reach::Direct) };
    let around = direct.as_ref().map(database::options_from_url).transpose()?;
    Ok(Reach::Pooler { around: around.map(Box::new) })
}

/// The configured catalog, read and checked.
pub fn catalog(config: &Config) -> Result<Catalog, Error> {
    let Some(path) = &config.catalog else {
        return Catalog::parse(BRUN_E).map_err(|err| Error::Catalog(err.of_file("built in")));
    };
    let text = fs::read_to_string(path)
        .map_err(|err| Error::Catalog(format!("BRUNE_CATALOG {}: {err}", path.display())))?;
    Catalog::parse(&text).map_err(|err| Error::Catalog(err.of_file(&path.display().to_string())))
}

/// What keeps the secrets of this process, and what looks like one, out of the settings.
#[must_use]
pub fn firewall(config: &Config, catalog: &Catalog, environment: &Environment) -> Firewall {
    let declared = catalog.schema.all().filter(|it| it.kind == Kind::Secret);
    // A product's own: this process does not use them, and has them all the same.
    let given = declared.filter_map(|it| Some(environment.secret(&it.key).ok()??.0));
    Firewall::holding(config.held_secrets().into_iter().chain(given))
}

/// Brings the database up to date: migrations, declarations, first values. Run twice, it changes nothing.
pub async fn migrate(
    pool: &Pool,
    catalog: &Catalog,
    environment: &Environment,
    firewall: &Firewall,
) -> Result<PublishPlan, Error> {
    match database::unlimited(pool).await? {
        Some(mut session) => MIGRATOR.run(&mut session).await?,
        // The migrator locks a session, and does not know which one that was.
        None => guard::require_schema(pool).await?,
    }
    let provided = |key: &str| provided(environment, key);
    let plan = settings::publish(pool, catalog, &provided, firewall, false).await?;
    if !plan.is_empty() {
        let (declared, seeded) = (plan.declare.len(), plan.seed.len());
        info!(catalog = catalog.name, declared, seeded, "published the catalog");
    }
    Ok(plan)
}

/// The migrations that [`migrate`] would run, and what it would publish.
pub async fn plan(
    pool: &Pool,
    catalog: &Catalog,
    environment: &Environment,
    firewall: &Firewall,
) -> Result<(Vec<String>, PublishPlan), Error> {
    let migrations = database::migrations(pool).await?;
    let provided = |key: &str| provided(environment, key);
    let plan = if migrations.applied == 0 {
        settings::plan_of_empty(catalog, &provided, firewall)?
    } else {
        settings::publish(pool, catalog, &provided, firewall, true).await?
    };
    Ok((migrations.pending, plan))
}

/// The first value of `key` that the environment or `.env` provides; a blank one provides nothing.
pub(super) fn provided(environment: &Environment, key: &str) -> Option<(String, &'static str)> {
    let (text, source) = environment.raw(key).filter(|(text, _)| !text.trim().is_empty())?;
    Some((text, if source == Source::EnvFile { ".env" } else { "the environment" }))
}
