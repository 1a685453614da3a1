//! Values out of an [`Environment`], keeping every fault on the way.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use super::{Environment, Fault, Faults, Secret};

/// An environment being read, and what was found wrong with it so far.
pub(super) struct Reading<'a> {
    pub(super) env: &'a Environment,
    faults: Faults,
}

impl<'a> Reading<'a> {
    pub(super) fn of(env: &'a Environment) -> Self {
        Self { env, faults: env.faults().into() }
    }

    /// `value` if nothing was wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(self.faults),
        }
    }

    pub(super) fn fault(&mut self, variable: &str, what: impl Into<String>, way_out: &str) {
        self.faults.push(Fault::of(variable, what, way_out));
    }

    /// The secret `variable` is needed and was not given, unless what was given is at fault already.
    pub(super) fn missing(&mut self, variable: &str, way_out: &str) {
        if matches!(self.env.secret(variable), Ok(None)) {
            self.fault(variable, "is not set, and in production nothing is made up", way_out);
        }
    }

    /// The value of `outcome`, or its fault kept.
    pub(super) fn take<T>(&mut self, outcome: Result<T, Fault>) -> Option<T> {
        self.faults.take(outcome)
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let given = self.take(self.env.text(name))??;
        Some(given.0.trim().to_owned())
    }

    pub(super) fn parsed<T: FromStr>(
        &mut self,
        name: &str,
        what: &str,
        way_out: &str,
    ) -> Option<T> {
        let parsed = self.text(name)?.parse().ok();
        if parsed.is_none() {
            self.fault(name, what, way_out);
        }
        parsed
    }

    pub(super) fn number<T>(&mut self, name: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let Some(text) = self.text(name) else { return default };
        if let Some(number) = text.parse().ok().filter(|number| range.contains(number)) {
            return number;
        }
        let what = format!("is no whole number from {} to {}", range.start(), range.end());
        self.fault(name, what, &format!("set one, or unset it for {default}"));
        default
    }

    pub(super) fn milliseconds(
        &mut self,
        name: &str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_millis(self.number(name, default, range))
    }

    pub(super) fn choice<T: Copy>(&mut self, name: &str, known: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let chosen = known.iter().find(|(word, _)| text == *word).map(|(_, value)| *value);
        if chosen.is_none() {
            let words: Vec<_> = known.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.fault(name, "is none of the known values", &format!("use {}", words.join(", ")));
        }
        chosen
    }

    pub(super) fn boolean(&mut self, name: &str, default: bool) -> bool {
        let known = [("true", true), ("false", false), ("1", true), ("0", false)];
        self.choice(name, &known).unwrap_or(default)
    }

    pub(super) fn secret(&mut self, name: &str) -> Option<Secret> {
        Some(self.take(self.env.secret(name))??.0)
    }

    /// A secret of `least` bytes or more.
    pub(super) fn secret_of(&mut self, name: &str, least: usize) -> Option<Secret> {
        let secret = self.secret(name)?;
        if secret.expose().len() < least {
            let way_out = "make one with `openssl rand -hex 32`";
            self.fault(name, format!("is shorter than {least} bytes"), way_out);
            return None;
        }
        Some(secret)
    }

    /// One secret, or while it is being replaced two, each on a line of its own and of `least` bytes or
    /// more; the new one first.
    pub(super) fn secrets_of(&mut self, name: &str, least: usize) -> Vec<Secret> {
        let Some(given) = self.secret(name) else { return Vec::new() };
        let lines: Vec<&str> = given.expose().lines().collect();
        let way_out = "make one with `openssl rand -hex 32`";
        if 2 < lines.len() {
            self.fault(
                name,
                "holds more than two lines",
                "keep the new secret and the one before it",
            );
        }
        if lines.iter().any(|it| it.len() < least) {
            let which = if lines.len() == 1 { "is" } else { "has a line that is" };
            self.fault(name, format!("{which} shorter than {least} bytes"), way_out);
        }
        lines.into_iter().map(|it| Secret::new(it.to_owned())).collect()
    }

    /// A secret that travels in a header, where a blank or a line break would never match.
    pub(super) fn header_secret(&mut self, name: &str, least: usize) -> Option<Secret> {
        let secret = self.secret_of(name, least)?;
        if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = "holds a blank, a line break or a character outside ASCII";
            self.fault(name, what, "set it again without");
            return None;
        }
        Some(secret)
    }
}
