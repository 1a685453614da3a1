//! `brune token`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use chrono::TimeDelta;
use clap::Args;

use crate::{
    cli::output::print,
    clock::Clock,
    config::{Auth, Environment},
    http::{Grant, issue},
    ids::UserId,
    text::check_optional_identifier,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The user's id
    #[arg(long, default_value = "developer")]
    sub: String,
    /// The user's role: SUPER_ADMIN for an administrator, none for a user who starts sessions
    #[arg(long)]
    role: Option<String>,
    /// The user's plan, such as pro; by default a user without a plan cannot start sessions
    #[arg(long)]
    plan: Option<String>,
    /// The user's level, such as senior
    #[arg(long)]
    level: Option<String>,
    /// Minutes until the token expires, up to JWT_MAX_LIFE (12 hours by default) [default: 60, or JWT_MAX_LIFE if
    /// shorter]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_080))]
    minutes: Option<u16>,
}

pub(super) fn run(environment: &Environment, arguments: &Arguments) -> Result<ExitCode, String> {
    let auth = Auth::load(environment).map_err(|errors| errors.to_string())?;
    let life = match check(arguments).and_then(|()| life(&auth, arguments.minutes)) {
        Ok(life) => life,
        Err(error) => {
            let _ = writeln!(io::stderr(), "brune: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    let grant = Grant {
        sub: arguments.sub.clone(),
        role: arguments.role.clone(),
        plan: arguments.plan.clone(),
        level: arguments.level.clone(),
    };
    let token = issue(&auth, &grant, Clock::system().now(), life).map_err(|err| err.to_string())?;
    print(&token);
    Ok(ExitCode::SUCCESS)
}

/// Checks that the service will accept the names.
fn check(arguments: &Arguments) -> Result<(), String> {
    UserId::parse(&arguments.sub).map_err(|error| format!("--sub {error}"))?;
    for (option, text) in [("--plan", &arguments.plan), ("--level", &arguments.level)] {
        check_optional_identifier(text.as_deref().unwrap_or_default(), UserId::MAX_BYTES)
            .map_err(|error| format!("{option} {error}"))?;
    }
    Ok(())
}

/// Returns the life of the token, which the service limits.
fn life(auth: &Auth, minutes: Option<u16>) -> Result<TimeDelta, String> {
    let Some(minutes) = minutes else { return Ok(auth.cap_life(TimeDelta::hours(1))) };
    let life = TimeDelta::minutes(minutes.into());
    if life > auth.cap_life(life) {
        let max = auth.max_life / 60;
        return Err(format!(
            "--minutes must be an integer between 1 and {max} (JWT_MAX_LIFE is {} seconds)",
            auth.max_life
        ));
    }
    Ok(life)
}
