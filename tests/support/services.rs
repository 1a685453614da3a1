//! The services that a test instance calls.

use std::{num::NonZeroU32, time::Duration};

use brune::{
    config::Secret,
    metrics::Metrics,
    outbox::{Outbox, Subscription},
    sessions::{Plans, Realtime, SessionStarter},
};

use super::{INTERNAL_KEY, PROVIDER_KEY};

/// The services around an instance.
#[derive(Clone)]
pub(crate) struct Services {
    /// Where the realtime provider answers, if there is one.
    pub(crate) realtime: Option<String>,
    /// Where the service answers that knows the users' plans, if there is one.
    pub(crate) plans: Option<String>,
    /// Starts that a user may try in a minute.
    pub(crate) per_minute: NonZeroU32,
    /// Who hears of what.
    pub(crate) sinks: Vec<Subscription>,
    /// Whether statements of starts that wait for a lock hold back all others for as long as they wait.
    pub(crate) is_patient: bool,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            realtime: None,
            plans: None,
            per_minute: NonZeroU32::MAX,
            sinks: Vec::new(),
            is_patient: false,
        }
    }
}

impl Services {
    /// Creates the clients of the services.
    pub(crate) fn session_starter(&self, outbox: Outbox, metrics: &Metrics) -> SessionStarter {
        let secret = |text: &str| Secret::new(text.to_owned());
        let plans = self
            .plans
            .as_ref()
            .map(|url| Plans::new(url.parse().unwrap(), secret(INTERNAL_KEY)).unwrap());
        let realtime = self.realtime.as_ref().map(|url| {
            let metrics = metrics.clone();
            Realtime::openai(url.parse().unwrap(), secret(PROVIDER_KEY), metrics).unwrap()
        });
        let starter =
            SessionStarter::new(plans, realtime, self.per_minute, outbox, metrics.clone());
        if self.is_patient {
            return starter.with_stuck_after(Duration::MAX, metrics.clone());
        }
        starter
    }
}
