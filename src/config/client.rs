//! Where `brune config` finds the service, and what it shows itself with.

use std::{fs, path::PathBuf};

use crate::{
    config::{Auth, Environment, Fault, Faults, Secret, address, directories},
    files::{self, Existing},
};

/// The file in the data directory that says where the service of this machine answers.
const ADDRESS: &str = "address";

/// A service to speak to.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address, such as `http://127.0.0.1:8080`.
    pub url: String,
    /// The token to send; `None` when one is to be made with [`Self::auth`].
    pub token: Option<Secret>,
    /// What a token for the service of this machine is signed with, in development.
    pub auth: Option<Auth>,
}

impl Client {
    /// `BRUNE_URL` with `BRUNE_TOKEN`; or, where they are not set, the service that runs on this machine.
    ///
    /// # Errors
    /// Neither is there.
    pub fn load(env: &Environment) -> Result<Self, Faults> {
        let faults = env.faults();
        if !faults.is_empty() {
            return Err(faults.into());
        }
        let token = env.secret("BRUNE_TOKEN")?.map(|(token, _)| token);
        let given = env.text("BRUNE_URL")?.map(|(url, _)| url.trim().to_owned());
        let given = given.filter(|url| !url.is_empty());
        if let Some(Err(error)) = given.as_deref().map(address::root) {
            return Err(Fault::of("BRUNE_URL", error.what, error.fix).into());
        }
        let url = match given.clone() {
            Some(url) => url,
            None => local(env)?,
        };
        // Only for the service of this machine: a secret of ours must not sign for somebody else's.
        let auth = if token.is_none() && given.is_none() { Auth::load(env).ok() } else { None };
        if token.is_none() && auth.is_none() {
            let fault = Fault::of("BRUNE_TOKEN", "is not set", "set it to a SUPER_ADMIN's token");
            return Err(fault.into());
        }
        Ok(Self { url, token, auth })
    }
}

fn local(env: &Environment) -> Result<String, Fault> {
    let address = directories::data_dir(env)?.join(ADDRESS);
    let text = fs::read_to_string(address).map_err(|_| {
        let what = "is not set, and no service of this machine says where it answers";
        Fault::of(
            "BRUNE_URL",
            what,
            "set it, such as http://127.0.0.1:8080, or start `brune serve`",
        )
    })?;
    Ok(format!("http://{}", text.trim()))
}

/// Says in `dir` where the service answers, for as long as it is held.
#[derive(Debug)]
pub struct Announcement(PathBuf);

impl Announcement {
    /// Writes the note.
    ///
    /// # Errors
    /// It cannot be written, which keeps the service from nothing.
    pub fn new(dir: &std::path::Path, address: std::net::SocketAddr) -> std::io::Result<Self> {
        let path = dir.join(ADDRESS);
        files::write(&path, address.to_string().as_bytes(), 0o644, Existing::Replace)?;
        Ok(Self(path))
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // One that stays leads to a service that does not answer, which the client says.
        let _ = fs::remove_file(&self.0);
    }
}
