//! The database of a command: the configured server, or a private Postgres that the command starts.

use crate::{
    app::error::Error,
    config::{self, Config, Pooler},
    database::{self, Pool, Topology},
    embedded_postgres::{self, Profile, Server},
};

/// An open database.
#[derive(Debug)]
pub struct Database {
    pool: Pool,
    server: Option<Server>,
}

impl Database {
    /// Connects to the configured database. Starts a private Postgres if none is configured.
    ///
    /// # Errors
    /// The private Postgres does not start, or the database does not answer.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let (server, options) = match &config.database {
            config::Database::Url(url) => (None, database::options_from_url(url)?),
            config::Database::Embedded(embedded) => {
                let server = start(embedded).await?;
                let options = server.options();
                (Some(server), options)
            }
        };
        let pool = Pool::open(options, topology(config)?, config.tuning.pool_size).await?;
        Ok(Self { pool, server })
    }

    /// Connects like [`Self::open`], as the role that migrates.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_to_migrate(config: &Config) -> Result<Self, Error> {
        match (&config.database, &config.migrate_url) {
            (config::Database::Embedded(embedded), _) => {
                let server = start(embedded).await?;
                let pool = owner_pool(&server).await?;
                Ok(Self { pool, server: Some(server) })
            }
            (config::Database::Url(_), Some(url)) => {
                let options = database::options_from_url(url)?;
                let pool = Pool::open(options, Topology::Direct, config.tuning.pool_size).await?;
                Ok(Self { pool, server: None })
            }
            (config::Database::Url(_), None) => Self::open(config).await,
        }
    }

    /// Connects like [`Self::open`], or to the private Postgres of another process. For reading only.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn attach(config: &Config) -> Result<Self, Error> {
        if let config::Database::Embedded(embedded) = &config.database
            && let Some(options) = embedded_postgres::running(embedded).await?
        {
            let pool = Pool::open(options, Topology::Direct, config.tuning.pool_size).await?;
            return Ok(Self { pool, server: None });
        }
        Self::open(config).await
    }

    /// Returns the connection pool.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Connects to the private Postgres as the owner of the tables; `None` for a configured server.
    pub(super) async fn private_owner_pool(&self) -> Result<Option<Pool>, Error> {
        match &self.server {
            Some(server) => Ok(Some(owner_pool(server).await?)),
            None => Ok(None),
        }
    }

    /// Returns whether this is a private Postgres, which ends with the process.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.server.is_some()
    }

    /// Waits until the private Postgres exits by itself. Never resolves for a configured server.
    pub(super) async fn exited(&mut self) -> embedded_postgres::Error {
        match &mut self.server {
            Some(server) => server.exited().await,
            None => std::future::pending().await,
        }
    }

    /// Closes the connections, then stops the private Postgres.
    ///
    /// # Errors
    /// The private Postgres does not stop.
    pub async fn close(self) -> Result<(), Error> {
        self.pool.close().await;
        if let Some(server) = self.server {
            server.stop().await?;
        }
        Ok(())
    }
}

async fn start(config: &config::Embedded) -> Result<Server, Error> {
    Ok(Server::start(config, Profile::Durable).await?)
}

async fn owner_pool(server: &Server) -> Result<Pool, Error> {
    // Migrations need one connection for the lock and one for the work.
    Ok(Pool::open(server.owner_options(), Topology::Direct, 2).await?)
}

fn topology(config: &Config) -> Result<Topology, database::Error> {
    // Session features (LISTEN, advisory locks) bypass a pooler in transaction mode.
    let Pooler::Transaction { direct } = &config.pooler else { return Ok(Topology::Direct) };
    let direct = direct.as_ref().map(database::options_from_url).transpose()?;
    Ok(Topology::Pooler { direct: direct.map(Box::new) })
}
