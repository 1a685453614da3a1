//! The service that `brune config` talks to, and its credentials.

use std::{fs, io, net::SocketAddr, path::PathBuf};

use crate::{
    config::{Auth, ConfigError, ConfigErrors, Environment, Secret, address, directories},
    files::{self, Existing},
};

/// The name of the address file in the data directory.
const ADDRESS: &str = "address";

/// A service and the credentials for its API.
#[derive(Debug, Clone)]
pub struct Client {
    /// The address, such as `http://127.0.0.1:8080`.
    pub url: String,
    /// The token to send; `None` when a token is signed with [`Self::auth`].
    pub token: Option<Secret>,
    /// Signs a token for the local service, in development.
    pub auth: Option<Auth>,
}

impl Client {
    /// Reads `BRUNE_URL` and `BRUNE_TOKEN`; defaults to the local service.
    ///
    /// # Errors
    /// A variable is invalid, or missing without a local service.
    pub fn load(environment: &Environment) -> Result<Self, ConfigErrors> {
        let errors = environment.errors();
        if !errors.is_empty() {
            return Err(errors.into());
        }
        let token = environment.secret("BRUNE_TOKEN")?.map(|(token, _)| token);
        let url = environment.text("BRUNE_URL")?.map(|(url, _)| url.trim().to_owned());
        let url = url.filter(|url| !url.is_empty());
        if let Some(Err(error)) = url.as_deref().map(address::root) {
            return Err(ConfigError::new("BRUNE_URL", error.problem, error.fix).into());
        }
        let is_local = url.is_none();
        let url = match url {
            Some(url) => url,
            None => local_url(environment)?,
        };
        // The local secret must not sign a token for another service.
        let auth = if token.is_none() && is_local { Auth::load(environment).ok() } else { None };
        if token.is_none() && auth.is_none() {
            let fix = "set it to the token of a SUPER_ADMIN";
            return Err(ConfigError::new("BRUNE_TOKEN", "is required", fix).into());
        }
        Ok(Self { url, token, auth })
    }
}

fn local_url(environment: &Environment) -> Result<String, ConfigError> {
    let path = directories::data_dir(environment)?.join(ADDRESS);
    let address = fs::read_to_string(path).map_err(|_| {
        let problem = "is required, since no local service has written its address";
        let fix = "set it, such as http://127.0.0.1:8080, or start `brune serve`";
        ConfigError::new("BRUNE_URL", problem, fix)
    })?;
    Ok(format!("http://{}", address.trim()))
}

/// The file with the address of the running service, removed on drop.
#[derive(Debug)]
pub struct AddressFile(PathBuf);

impl AddressFile {
    /// Writes `address` to the address file in `dir`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(dir: &std::path::Path, address: SocketAddr) -> io::Result<Self> {
        let path = dir.join(ADDRESS);
        files::write(&path, address.to_string().as_bytes(), 0o644, Existing::Replace)?;
        Ok(Self(path))
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // A stale file is harmless: the client reports that the address does not answer.
        let _ = fs::remove_file(&self.0);
    }
}
