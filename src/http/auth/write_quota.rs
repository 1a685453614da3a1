//! How often an administrator may write (draft-ietf-httpapi-ratelimit-headers-10).

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderName, HeaderValue, request::Parts},
};
use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock as _, MonotonicClock},
};

use crate::{
    http::{
        auth::{Caller, SuperAdmin, TokenVerifier},
        problem::{Code, Problem},
        request::query,
    },
    ids::UserId,
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Persons remembered before those who have been quiet are forgotten.
const REMEMBERED: usize = 10_000;

/// How often one person may write on this instance.
#[derive(Clone)]
pub struct WriteQuota(Arc<Inner>);

struct Inner {
    per_minute: NonZeroU32,
    spent: DefaultKeyedRateLimiter<UserId>,
}

impl WriteQuota {
    /// At most `per_minute` writes in a minute, all at once if need be.
    #[must_use]
    pub fn new(per_minute: NonZeroU32) -> Self {
        let spent = DefaultKeyedRateLimiter::dashmap(Quota::per_minute(per_minute));
        Self(Arc::new(Inner { per_minute, spent }))
    }

    fn spend(&self, user: &UserId) -> Result<(), Problem> {
        let Inner { per_minute, spent } = &*self.0;
        if REMEMBERED < spent.len() {
            spent.retain_recent();
        }
        let Err(early) = spent.check_key(user) else { return Ok(()) };
        // Rounded up: a client that comes back when told must not be early again.
        let wait = early.wait_time_from(MonotonicClock.now()).as_secs() + 1;
        let detail = format!("{per_minute} writes a minute are allowed; the next one in {wait} s");
        let wait = u32::try_from(wait).unwrap_or(60);
        let problem = Problem::new(Code::RateLimited, detail).retry_after(wait);
        let fields = [
            (POLICY, format!("\"admin-write\";q={per_minute};w=60")),
            (LIMIT, format!("\"admin-write\";r=0;t={wait}")),
        ];
        let named = fields.into_iter().filter_map(|(name, text)| {
            HeaderValue::from_str(&text).ok().map(|value| (name, value))
        });
        Err(named.fold(problem, |problem, (name, value)| problem.with_header(name, value)))
    }
}

/// A super administrator who has not written too often. A dry run is no write.
#[derive(Debug)]
pub(in crate::http) struct Writer(
    /// Who it is.
    pub Caller,
);

impl<S> FromRequestParts<S> for Writer
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
    WriteQuota: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let SuperAdmin(caller) = SuperAdmin::from_request_parts(parts, state).await?;
        if !query::is_dry_run(parts.uri.query().unwrap_or_default()) {
            WriteQuota::from_ref(state).spend(&caller.user)?;
        }
        Ok(Self(caller))
    }
}
