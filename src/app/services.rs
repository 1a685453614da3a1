//! The services that session starts call.

use tracing::warn;

use crate::{
    app::error::Error,
    config::Config,
    metrics::Metrics,
    outbox::Outbox,
    sessions::{KEYS, Plans, Realtime, SessionStarter},
    settings::GlobalSettingsService,
};

/// Creates the clients of the configured services.
pub(super) fn session_starter(
    config: &Config,
    settings: &GlobalSettingsService,
    outbox: &Outbox,
    metrics: &Metrics,
) -> Result<SessionStarter, Error> {
    let porte_talent_url = config.services.porte_talent_url.clone();
    // The configuration requires the key beside the address, so `zip` drops no service.
    let plans = porte_talent_url.zip(config.auth.internal_api_key.clone());
    let plans = plans.map(|(url, key)| Plans::new(url, key)).transpose()?;
    let realtime = realtime(config, metrics)?;
    // The catalog of another product needs no realtime provider.
    let has_sessions = settings.snapshot().schema.find(KEYS[0]).is_some();
    if realtime.is_none() && has_sessions {
        warn!(
            "OPENAI_API_KEY is not set: sessions start without a client secret (`realtime` is null)"
        );
    }
    let per_minute = config.tuning.starts_per_minute;
    Ok(SessionStarter::new(plans, realtime, per_minute, outbox.clone(), metrics.clone()))
}

fn realtime(config: &Config, metrics: &Metrics) -> Result<Option<Realtime>, Error> {
    let Some(key) = config.openai_api_key.clone() else { return Ok(None) };
    Ok(Some(Realtime::openai(config.services.openai_url.clone(), key, metrics.clone())?))
}
