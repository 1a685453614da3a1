//! The services that session starts ask.

use tracing::warn;

use crate::{
    app::Error,
    config::{Config, Services},
    metrics::Metrics,
    outbox::Outbox,
    sessions::{KEYS, Plans, Realtime, SessionStarter},
    settings::GlobalSettingsService,
};

/// What takes part in session starts, as `config` says.
pub(super) fn starts(
    config: &Config,
    settings: &GlobalSettingsService,
    outbox: &Outbox,
    metrics: &Metrics,
) -> Result<SessionStarter, Error> {
    let Services { porte_talent_url, starts_per_minute, .. } = &config.services;
    let plans = porte_talent_url.clone().zip(config.auth.internal_api_key.clone());
    let plans = plans.map(|(url, key)| Plans::new(url, key)).transpose()?;
    let realtime = realtime(config, metrics)?;
    let has_sessions = settings.snapshot().schema.find(KEYS[0]).is_some();
    if realtime.is_none() && has_sessions {
        warn!(
            "OPENAI_API_KEY is not set: sessions start without a client secret (`realtime` is null)"
        );
    }
    Ok(SessionStarter::new(plans, realtime, *starts_per_minute, outbox.clone()))
}

fn realtime(config: &Config, metrics: &Metrics) -> Result<Option<Realtime>, Error> {
    let Some(key) = config.openai_api_key.clone() else { return Ok(None) };
    Ok(Some(Realtime::openai(config.services.openai_url.clone(), key, metrics.clone())?))
}
