//! The database that a command works on: somebody's, or a private one that is started for it.

use std::{fmt, fs};

use sqlx::Connection as _;
use tracing::info;

use crate::{
    app::{Error, guard},
    config::{self, Config, Environment, Pooler, Source},
    database::{
        self, MIGRATOR, Pool, Topology,
        roles::{self, OWNER, Scope},
    },
    embedded_postgres,
    secret_scanner::SecretScanner,
    settings::{self, BRUN_E, Catalog, Kind, PublishPlan},
    text,
};

/// A database that answers.
#[derive(Debug)]
pub struct Database {
    pool: Pool,
    server: Option<embedded_postgres::Server>,
}

impl Database {
    /// Connects to the configured database, starting a private one if none is configured.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let (server, options) = match &config.database {
            config::Database::Url(url) => (None, database::options_from_url(url)?),
            config::Database::Embedded(embedded) => {
                let server = start(embedded).await?;
                let options = server.options();
                (Some(server), options)
            }
        };
        let pool = Pool::open(options, reach(config)?, config.pool_size).await?;
        Ok(Self { pool, server })
    }

    /// Connects like [`Self::open`], as the role that migrates.
    pub async fn open_to_migrate(config: &Config) -> Result<Self, Error> {
        match (&config.database, &config.migrate_url) {
            (config::Database::Embedded(embedded), _) => {
                let server = start(embedded).await?;
                let pool = owner_pool(&server).await?;
                Ok(Self { pool, server: Some(server) })
            }
            (config::Database::Url(_), Some(url)) => {
                let options = database::options_from_url(url)?;
                let pool = Pool::open(options, Topology::Direct, config.pool_size).await?;
                Ok(Self { pool, server: None })
            }
            (config::Database::Url(_), None) => Self::open(config).await,
        }
    }

    /// Like [`Self::open`], but content with a private server that another process runs: for looking only.
    pub async fn attach(config: &Config) -> Result<Self, Error> {
        if let config::Database::Embedded(embedded) = &config.database
            && let Some(options) = embedded_postgres::running(embedded).await?
        {
            let pool = Pool::open(options, Topology::Direct, config.pool_size).await?;
            return Ok(Self { pool, server: None });
        }
        Self::open(config).await
    }

    /// Its connections.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Brings a private server's database up to date, as the role that migrates. Returns whether first values came
    /// from the environment or `.env`. Another server is left alone.
    pub(super) async fn migrate_private(
        &self,
        catalog: &Catalog,
        environment: &Environment,
        scanner: &SecretScanner,
    ) -> Result<bool, Error> {
        let Some(server) = &self.server else { return Ok(false) };
        let owner = owner_pool(server).await?;
        let migrated = migrate(&owner, catalog, environment, scanner).await;
        owner.close().await;
        Ok(migrated?.0.imports())
    }

    /// Whether it lives and dies with this process.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.server.is_some()
    }

    /// Resolves when a private server is gone although nobody asked for that; never for another.
    pub(super) async fn exited(&mut self) -> embedded_postgres::Error {
        match &mut self.server {
            Some(server) => server.exited().await,
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

async fn start(config: &config::Embedded) -> Result<embedded_postgres::Server, Error> {
    Ok(embedded_postgres::Server::start(config, embedded_postgres::Profile::Durable).await?)
}

async fn owner_pool(server: &embedded_postgres::Server) -> Result<Pool, Error> {
    Ok(Pool::open(server.owner_options(), Topology::Direct, 2).await?)
}

/// What stands between this process and the server.
fn reach(config: &Config) -> Result<Topology, database::Error> {
    let Pooler::Transaction { direct } = &config.pooler else { return Ok(Topology::Direct) };
    let direct = direct.as_ref().map(database::options_from_url).transpose()?;
    Ok(Topology::Pooler { direct: direct.map(Box::new) })
}

/// The configured catalog, read and checked.
pub fn catalog(config: &Config) -> Result<Catalog, Error> {
    let Some(path) = &config.catalog else {
        return Catalog::parse(BRUN_E).map_err(|err| Error::Catalog(err.of_file("built in")));
    };
    let fault =
        |err: &dyn fmt::Display| Error::Catalog(format!("BRUNE_CATALOG {}: {err}", path.display()));
    let bytes = fs::read(path).map_err(|err| fault(&err))?;
    let text = text::decode(&bytes, usize::MAX).map_err(|err| fault(&err))?;
    Catalog::parse(text).map_err(|err| Error::Catalog(err.of_file(&path.display().to_string())))
}

/// What keeps the secrets of this process, and what looks like one, out of the settings.
#[must_use]
pub fn secret_scanner(
    config: &Config,
    catalog: &Catalog,
    environment: &Environment,
) -> SecretScanner {
    let declared = catalog.schema.all().filter(|it| it.kind == Kind::Secret);
    // A product's own: this process does not use them, and has them all the same.
    let given = declared.filter_map(|it| Some(environment.secret(&it.key).ok()??.0));
    SecretScanner::with_known_secrets(config.held_secrets().into_iter().chain(given))
}

/// Brings the database up to date: migrations, privileges, declarations, first values. Run twice, it changes nothing.
/// Returns what it published, and what it did about privileges.
pub async fn migrate(
    pool: &Pool,
    catalog: &Catalog,
    environment: &Environment,
    scanner: &SecretScanner,
) -> Result<(PublishPlan, roles::Outcome), Error> {
    let mut privileges = roles::Outcome::default();
    match database::unlimited_owner(pool).await? {
        Some(mut session) => {
            MIGRATOR.run(&mut session).await.map_err(may_not_migrate)?;
            privileges = roles::apply(&mut session, Scope::Grants).await?;
            session.close().await?;
        }
        // The migrator locks a session, and does not know which one that was.
        None => guard::require_schema(pool).await?,
    }
    let provided = |key: &str| provided(environment, key);
    let plan = settings::publish(pool, catalog, &provided, scanner, false).await?;
    if !plan.is_empty() {
        let (declared, seeded) = (plan.declare.len(), plan.seed.len());
        info!(catalog = catalog.name, declared, seeded, "published the catalog");
    }
    Ok((plan, privileges))
}

/// Turns a lack of the right to create tables into the advice what to connect as.
fn may_not_migrate(err: sqlx::migrate::MigrateError) -> Error {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    let (sqlx::migrate::MigrateError::Execute(fault)
    | sqlx::migrate::MigrateError::ExecuteMigration(fault, _)) = &err
    else {
        return err.into();
    };
    let code = fault.as_database_error().and_then(sqlx::error::DatabaseError::code);
    if code.as_deref() != Some(INSUFFICIENT_PRIVILEGE) {
        return err.into();
    }
    Error::Role(format!(
        "the connected role must not create tables here: set DATABASE_MIGRATE_URL to a login of {OWNER}; in a new \
         database run `brune migrate --roles` as an administrator first"
    ))
}

/// Brings roles, owners and privileges in order, as far as the connected role may; with `dry_run` nothing is changed,
/// and what would be done is returned as left.
pub async fn apply_roles(pool: &Pool, dry_run: bool) -> Result<roles::Outcome, Error> {
    let Some(mut session) = database::unlimited(pool).await? else {
        return Err(Error::Role(
            "roles need a session of the server: set DATABASE_DIRECT_URL or DATABASE_MIGRATE_URL to the server \
             itself"
                .to_owned(),
        ));
    };
    if let Some(name) = roles::service_login(&mut session).await? {
        return Err(Error::Role(format!(
            "{name} is a login of the service, which must not be given more; set DATABASE_MIGRATE_URL to a login of \
             {OWNER}, or of an administrator"
        )));
    }
    let outcome = if dry_run {
        roles::Outcome {
            rejected: roles::plan(&mut session, Scope::Whole).await?,
            applied: Vec::new(),
        }
    } else {
        roles::apply(&mut session, Scope::Whole).await?
    };
    session.close().await?;
    Ok(outcome)
}

/// The migrations that [`migrate`] would run, and what it would publish.
pub async fn plan(
    pool: &Pool,
    catalog: &Catalog,
    environment: &Environment,
    scanner: &SecretScanner,
) -> Result<(Vec<String>, PublishPlan), Error> {
    let migrations = database::migrations(pool).await?;
    let provided = |key: &str| provided(environment, key);
    let plan = if migrations.applied == 0 {
        settings::plan_of_empty(catalog, &provided, scanner)?
    } else {
        settings::publish(pool, catalog, &provided, scanner, true).await?
    };
    Ok((migrations.pending, plan))
}

/// The first value of `key` that the environment or `.env` provides, or why it cannot be read; a blank one provides
/// nothing.
pub(super) fn provided(
    environment: &Environment,
    key: &str,
) -> Option<(Result<String, String>, &'static str)> {
    match environment.first_value(key).transpose()? {
        Ok((text, Source::EnvFile)) => Some((Ok(text), ".env")),
        Ok((text, _)) => Some((Ok(text), "the environment")),
        Err(fault) => {
            Some((Err(format!("{}; {}", fault.what, fault.way_out)), "the environment or .env"))
        }
    }
}
