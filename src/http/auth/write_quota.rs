//! The rate limit of an administrator's writes (draft-ietf-httpapi-ratelimit-headers-10).

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
        auth::{caller::Caller, extract::SuperAdmin, token::TokenVerifier},
        problem::{Code, Problem},
        request::query_string,
    },
    ids::UserId,
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The number of tracked users from which on idle ones are evicted.
const TRACKED_USERS: usize = 10_000;

/// The writes that one user may make on this instance.
#[derive(Clone)]
pub struct WriteQuota(Arc<Inner>);

struct Inner {
    per_minute: NonZeroU32,
    limiter: DefaultKeyedRateLimiter<UserId>,
}

impl WriteQuota {
    /// Permits `per_minute` writes in a minute, in one burst if necessary.
    #[must_use]
    pub fn new(per_minute: NonZeroU32) -> Self {
        let limiter = DefaultKeyedRateLimiter::dashmap(Quota::per_minute(per_minute));
        Self(Arc::new(Inner { per_minute, limiter }))
    }

    fn spend(&self, user: &UserId) -> Result<(), Problem> {
        let Inner { per_minute, limiter } = &*self.0;
        // The scan is expensive, so idle users stay until there are many.
        if limiter.len() > TRACKED_USERS {
            limiter.retain_recent();
        }
        let Err(rejection) = limiter.check_key(user) else { return Ok(()) };
        // Rounded up: a client that waits as told must not be early again.
        let wait = rejection.wait_time_from(MonotonicClock.now()).as_secs() + 1;
        let detail = format!("at most {per_minute} writes a minute; retry in {wait} s");
        // The quota refills within a minute, so the default never applies.
        let wait = u32::try_from(wait).unwrap_or(60);
        let mut problem = Problem::new(Code::RateLimited, detail).retry_after(wait);
        let fields = [
            (POLICY, format!("\"admin-write\";q={per_minute};w=60")),
            (LIMIT, format!("\"admin-write\";r=0;t={wait}")),
        ];
        for (name, text) in fields {
            if let Ok(value) = HeaderValue::from_str(&text) {
                problem = problem.with_header(name, value);
            }
        }
        Err(problem)
    }
}

/// A super administrator within the write quota. A dry run spends nothing.
#[derive(Debug)]
pub(in crate::http) struct RateLimitedAdmin(
    /// The administrator.
    pub Caller,
);

impl<S> FromRequestParts<S> for RateLimitedAdmin
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
    WriteQuota: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let SuperAdmin(caller) = SuperAdmin::from_request_parts(parts, state).await?;
        // The rest of the query is validated by the handler.
        if !query_string::is_dry_run(parts.uri.query().unwrap_or_default()) {
            WriteQuota::from_ref(state).spend(&caller.user)?;
        }
        Ok(Self(caller))
    }
}
