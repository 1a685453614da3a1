//! Under which account the server's programs run, and with what environment.

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

/// Starts programs as the server's account with an environment of our making.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    path: OsString,
    /// Our own account's name, if it has one.
    own_name: Option<String>,
    /// Another account: only when we are root.
    account: Option<Account>,
}

#[derive(Debug, Clone)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Runner {
    /// Ourselves, unless we are root: Postgres refuses to run as that.
    pub(super) fn detect(config: &Embedded) -> Result<Self, Error> {
        let mut path = config.path.clone();
        // An empty or exotic PATH must not hide `sleep` and `id`.
        path.push(if path.is_empty() { "/usr/bin:/bin" } else { ":/usr/bin:/bin" });
        let mut runner = Self { path, own_name: None, account: None };
        runner.own_name = runner.id(&["-u", "-n"]);
        if rustix::process::geteuid().is_root() {
            runner.account = Some(runner.other_account(config.account.as_deref())?);
        }
        Ok(runner)
    }

    /// `program` as the server's account, in `/`, with nothing of our environment but PATH.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = self.own(program);
        if let Some(account) = &self.account {
            // The standard library clears the supplementary groups itself when it leaves root.
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    /// The user id that the server's files belong to.
    pub(super) fn uid(&self) -> u32 {
        self.account
            .as_ref()
            .map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid)
    }

    /// Gives `path` to the server's account.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        match &self.account {
            Some(account) => std::os::unix::fs::lchown(path, Some(account.uid), Some(account.gid)),
            None => Ok(()),
        }
    }

    /// Fails when the server's account cannot get into `dir` at all: the home of root is 0700.
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

    /// The names of the accounts that may use the server: ours, the one that it runs as, and root, which could
    /// become either.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        let server = self.account.as_ref().map(|account| account.name.as_str());
        self.own_name.as_deref().into_iter().chain(server).chain(["root"]).collect()
    }

    /// PATH, with what is always searched.
    pub(super) fn path(&self) -> &OsString {
        &self.path
    }

    fn own(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Everything else is dropped: PG* and LC_* change what Postgres does, DATABASE_URL may hold
        // a password.
        command.env_clear().env("PATH", &self.path).env("LC_ALL", "C").current_dir("/");
        command
    }

    fn other_account(&self, chosen: Option<&str>) -> Result<Account, Error> {
        let names = chosen.map_or_else(|| vec!["postgres", "nobody"], |name| vec![name]);
        names
            .iter()
            .find_map(|name| self.look_up(name).filter(|account| account.uid != 0))
            .ok_or_else(|| Error::NoAccount { tried: names.join(" or ") })
    }

    fn look_up(&self, name: &str) -> Option<Account> {
        let id = |flag: &str| self.id(&[flag, "--", name])?.parse().ok();
        Some(Account { name: name.to_owned(), uid: id("-u")?, gid: id("-g")? })
    }

    /// What the program `id` prints.
    fn id(&self, arguments: &[&str]) -> Option<String> {
        let mut command = self.own(Path::new("id"));
        let output = command.args(arguments).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    }
}
