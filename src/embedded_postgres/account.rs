//! The account and the environment of the server's programs.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

use super::error::Error;
use crate::config::Embedded;

/// Starts programs under the server's account with a clean environment.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    path: OsString,
    /// The account name of this process.
    own_name: Option<String>,
    /// The other account of the server, if this process runs as root.
    account: Option<Account>,
}

#[derive(Debug, Clone)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Runner {
    /// Chooses the account: that of this process, or another if this process is root, which Postgres refuses.
    pub(super) fn detect(config: &Embedded) -> Result<Self, Error> {
        let mut path = config.path.clone();
        // `sleep` and `id` must be found even with an empty or unusual PATH.
        path.push(if path.is_empty() { "/usr/bin:/bin" } else { ":/usr/bin:/bin" });
        let mut runner = Self { path, own_name: None, account: None };
        runner.own_name = runner.id(&["-u", "-n"]);
        if rustix::process::geteuid().is_root() {
            runner.account = Some(runner.other_account(config.account.as_deref())?);
        }
        Ok(runner)
    }

    /// Returns a command that runs `program` as the server's account, in `/`, with PATH as its only variable.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = self.own_command(program);
        if let Some(account) = &self.account {
            // The standard library clears the supplementary groups when root changes its uid.
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    /// Returns the user id that owns the server's files.
    pub(super) fn uid(&self) -> u32 {
        self.account
            .as_ref()
            .map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid)
    }

    /// Makes the server's account the owner of `path`.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        match &self.account {
            // `chown` would follow a link, which another user may plant in /tmp.
            Some(account) => std::os::unix::fs::lchown(path, Some(account.uid), Some(account.gid)),
            None => Ok(()),
        }
    }

    /// Fails if the server's account cannot enter `dir`, as with root's home, which has mode 0700.
    pub(super) fn check_reach(&self, dir: &Path) -> Result<(), Error> {
        let Some(account) = &self.account else { return Ok(()) };
        let mut command = self.command(Path::new("/bin/sh"));
        command
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(dir)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(Error::Unreachable { account: account.name.clone(), dir: dir.to_owned() }),
            Err(source) => Err(Error::Account { account: account.name.clone(), source }),
        }
    }

    /// Returns the accounts that may use the server: that of this process, the server's, and root, which could become
    /// either.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        let server = self.account.as_ref().map(|account| account.name.as_str());
        self.own_name.as_deref().into_iter().chain(server).chain(["root"]).collect()
    }

    /// Returns PATH with the standard directories.
    pub(super) fn path(&self) -> &OsString {
        &self.path
    }

    fn own_command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Drops the environment: PG* and LC_* change the behaviour of Postgres, DATABASE_URL may hold a password.
        command.env_clear().env("PATH", &self.path).env("LC_ALL", "C").current_dir("/");
        command
    }

    fn other_account(&self, chosen: Option<&str>) -> Result<Account, Error> {
        let names = chosen.map_or_else(|| vec!["postgres", "nobody"], |name| vec![name]);
        names
            .iter()
            // Postgres refuses an alias of root as well.
            .find_map(|name| self.look_up(name).filter(|account| account.uid != 0))
            .ok_or_else(|| Error::NoAccount { tried: names.join(" or ") })
    }

    fn look_up(&self, name: &str) -> Option<Account> {
        // A name may start with `-`, so `--` ends the options.
        let id = |flag: &str| self.id(&[flag, "--", name])?.parse().ok();
        Some(Account { name: name.to_owned(), uid: id("-u")?, gid: id("-g")? })
    }

    /// Returns the output of the program `id`.
    fn id(&self, arguments: &[&str]) -> Option<String> {
        // `id` asks the C library, which also knows accounts of LDAP and other directories.
        let mut command = self.own_command(Path::new("id"));
        let output = command.args(arguments).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    }
}
