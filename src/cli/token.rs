//! `brune token`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use chrono::TimeDelta;
use clap::Args;

use crate::{
    cli::output::say,
    clock::Clock,
    config::{Auth, Environment},
    http::{Grant, issue},
    ids::UserId,
    text::check_optional_identifier,
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
    /// Minutes until it expires, at most JWT_MAX_LIFE (12 hours by default); 60 by default, or JWT_MAX_LIFE if that
    /// is shorter
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_080))]
    minutes: Option<u16>,
}

pub(super) fn run(environment: &Environment, arguments: &Arguments) -> Result<ExitCode, String> {
    let auth = Auth::load(environment).map_err(|faults| faults.to_string())?;
    let life = match check(arguments).and_then(|()| life(&auth, arguments.minutes)) {
        Ok(life) => life,
        Err(wrong) => {
            let _ = writeln!(io::stderr(), "brune: {wrong}");
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
    say(&token);
    Ok(ExitCode::SUCCESS)
}

/// Checks that the service would accept the names.
fn check(arguments: &Arguments) -> Result<(), String> {
    UserId::parse(&arguments.sub).map_err(|error| format!("--sub {error}"))?;
    for (option, word) in [("--plan", &arguments.plan), ("--level", &arguments.level)] {
        let word = word.as_deref().unwrap_or_default();
        let checked = check_optional_identifier(word, UserId::MAX_BYTES);
        checked.map_err(|error| format!("{option} {error}"))?;
    }
    Ok(())
}

/// How long the token lives: no longer than the service accepts.
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
