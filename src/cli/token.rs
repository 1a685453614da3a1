//! `brune token`.

use std::process::ExitCode;

use chrono::TimeDelta;
use clap::Args;

use crate::{
    cli::say,
    clock::Clock,
    config::{Auth, Environment},
    http::{Grant, issue},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Whom it is for
    #[arg(long, default_value = "developer")]
    sub: String,
    /// Their role: SUPER_ADMIN for an administrator, none for a user who starts sessions
    #[arg(long)]
    role: Option<String>,
    /// Their plan, such as pro; a user without one may start no session by default
    #[arg(long)]
    plan: Option<String>,
    /// Their level, such as senior
    #[arg(long)]
    level: Option<String>,
    /// Minutes it is good for, 1 to 720
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=720))]
    minutes: u16,
}

pub(super) fn run(environment: &Environment, arguments: &Arguments) -> Result<ExitCode, String> {
    let auth = Auth::load(environment).map_err(|faults| faults.to_string())?;
    let grant = Grant {
        sub: arguments.sub.clone(),
        role: arguments.role.clone(),
        plan: arguments.plan.clone(),
        level: arguments.level.clone(),
    };
    let life = TimeDelta::minutes(arguments.minutes.into());
    let token = issue(&auth, &grant, Clock::system().now(), life).map_err(|err| err.to_string())?;
    say(&token);
    Ok(ExitCode::SUCCESS)
}
