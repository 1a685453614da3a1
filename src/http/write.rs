//! The parameters, headers and responses of every write.

use std::time::Duration;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderName, Method, StatusCode, Uri, header, request::Parts},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};
use validator::ValidationError;

use crate::{
    audit::{Actor, Reason},
    database::Pool,
    fleet::{Applied, Fleet},
    http::{
        auth::Caller,
        problem::{Code, Problem},
        request::{
            group::group,
            headers::{self, IdempotencyKey},
            preconditions::{self, Required, Tag},
            query::{Drafted, query},
            rules::violation,
            value::choices,
        },
        response::JsonResponse,
        serve::limits::ResponseDeadline,
    },
    idempotency,
    ids::RequestId,
    secret_scanner::SecretScanner,
    settings::{Approval, ChangeResult, GlobalSettingsService, WriteOptions},
};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long a write waits for the other instances by default.
const DEFAULT_WAIT: Duration = Duration::from_secs(2);

/// The part of a request's time reserved for the response.
const RESPONSE_TIME: Duration = Duration::from_millis(250);

/// The states to wait for after a write.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum WaitFor {
    /// Every live instance has applied the change.
    Applied,
}

choices! {
    WaitFor: [("applied", Self::Applied)];
}

group! {
    /// The explanation of a change, in the body or the query of every write.
    struct ChangeNote {
        /// Why, in 3 to 500 characters on one line, 3 of them visible.
        reason: Reason,
    }
}

impl ChangeNote {
    /// Returns the author of a change with the note.
    pub(in crate::http) fn actor(self, caller: Caller, request: RequestId) -> Actor {
        Actor { user: caller.user, reason: self.reason, request }
    }
}

query! {
    /// The parameters of every write.
    #[validate(schema(function = timeout_needs_wait))]
    struct WriteParameters {
        /// Validate without saving
        dry_run: bool = false,
        /// Write protected settings without their approvals, also during a freeze: recorded as an emergency, which somebody
        /// else has to acknowledge
        emergency: bool = false,
        /// `applied`: answer when every live instance has applied the change; ignored with `dry_run`
        wait: Option<WaitFor>,
        /// The longest wait in milliseconds; 2000 by default
        // 4 seconds leave time for the write within the 5 seconds of a request.
        #[validate(range(min = 100, max = 4_000))]
        timeout_ms: Option<i64>,
    }
}

query! {
    /// The parameters of a write that changes no setting.
    struct StepParameters {
        /// Validate without saving
        dry_run: bool = false,
    }
}

fn timeout_needs_wait(draft: &<WriteParameters as Drafted>::Draft) -> Result<(), ValidationError> {
    let has_timeout = matches!(draft.timeout_ms.0, Some(Some(_)));
    // An unreadable `wait` has an error of its own.
    if has_timeout && matches!(draft.wait.0, Some(None)) {
        return Err(violation("timeout_ms", "without_wait", "requires `wait=applied`"));
    }
    Ok(())
}

impl WriteParameters {
    /// Returns how the write is permitted.
    pub(in crate::http) fn approval(&self) -> Approval {
        if self.emergency { Approval::Emergency } else { Approval::None }
    }

    /// Whether the caller waits until every instance has applied the change.
    pub(in crate::http) fn is_awaited(&self) -> bool {
        self.wait.is_some() && !self.dry_run
    }

    /// Returns the time to wait, if any. A dry run accepts `wait`, as the rehearsal of a write, but has no change to wait
    /// for.
    fn timeout(&self) -> Option<Duration> {
        let timeout = self.timeout_ms.and_then(|timeout| u64::try_from(timeout).ok());
        self.is_awaited().then(|| timeout.map_or(DEFAULT_WAIT, Duration::from_millis))
    }
}

/// The headers of a write: `If-Match`, `Prefer` and `Idempotency-Key`. `If-Match` names revisions of all settings, or
/// versions of the written setting.
pub(in crate::http) struct WriteHeaders<const OF_ONE_SETTING: bool = false> {
    required: Option<Required>,
    is_lenient: bool,
    idempotency_key: Option<String>,
    target: String,
    /// The received `If-Match`: a repeat must have the same value.
    tags: Vec<u8>,
}

impl<S, const OF_ONE_SETTING: bool> FromRequestParts<S> for WriteHeaders<OF_ONE_SETTING>
where
    S: Sync,
    SecretScanner: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let kind = if OF_ONE_SETTING { Tag::Version } else { Tag::Revision };
        let required = preconditions::required(&parts.headers, kind)?;
        let IdempotencyKey(idempotency_key) =
            IdempotencyKey::from_request_parts(parts, state).await?;
        let tags = parts.headers.get_all(header::IF_MATCH).iter();
        Ok(Self {
            required,
            is_lenient: headers::prefers_lenient(&parts.headers),
            idempotency_key,
            target: target(&parts.method, &parts.uri),
            // Several lines equal a single line with commas (RFC 9110, 5.3).
            tags: tags.flat_map(|tag| [tag.as_bytes(), b","].concat()).collect(),
        })
    }
}

/// Returns the method and the address of a write without the parameters of the wait: a repeat may wait even if the first
/// request did not.
fn target(method: &Method, uri: &Uri) -> String {
    let address = uri.path_and_query().map_or("/", |address| address.as_str());
    // The raw text suffices: a client repeats a request byte for byte.
    let waits = |pair: &&str| matches!(pair.split('=').next(), Some("wait" | "timeout_ms"));
    match address.split_once('?') {
        Some((path, query)) if query.split('&').any(|pair| waits(&pair)) => {
            let rest: Vec<_> = query.split('&').filter(|pair| !waits(pair)).collect();
            let mark = if rest.is_empty() { "" } else { "?" };
            format!("{method} {path}{mark}{}", rest.join("&"))
        }
        _ => format!("{method} {address}"),
    }
}

impl<const OF_ONE_SETTING: bool> WriteHeaders<OF_ONE_SETTING> {
    /// Returns the revisions or versions in `If-Match`, if any.
    pub(in crate::http) fn required(&self) -> Option<&[i64]> {
        self.required.as_ref().map(|required| required.numbers.as_slice())
    }

    /// Explains a failed precondition.
    pub(in crate::http) fn explain(&self, problem: Problem) -> Problem {
        let reason = self.required.as_ref().and_then(|required| required.mismatch_reason.clone());
        match reason {
            // Other problems have another cause, so the reason would mislead.
            Some(reason) if problem.code() == Code::RevisionMismatch => problem.with_detail(reason),
            _ => problem,
        }
    }

    /// Returns the options of a write with `body` by `caller`. A dry run stores no result for a repeat.
    pub(in crate::http) fn options(
        &self,
        caller: &Caller,
        parameters: &WriteParameters,
        body: &[u8],
    ) -> WriteOptions {
        let dry_run = parameters.dry_run;
        let key = self.idempotency_key.clone().filter(|_| !dry_run);
        let lenient = [u8::from(self.is_lenient)];
        // A request with other conditions is another request, even with the same body.
        let request = [self.target.as_bytes(), &self.tags, &lenient, body];
        let idempotency = key.map(|key| idempotency::Key::new(caller.user.clone(), key, &request));
        // The version of a single setting is part of the edit instead.
        let numbers = self.required().filter(|_| !OF_ONE_SETTING);
        let revisions = numbers.map(<[i64]>::to_vec);
        // Skipping the only key of a request would be a success without a change.
        let lenient = self.is_lenient && !OF_ONE_SETTING;
        let (approval, is_awaited) = (parameters.approval(), parameters.is_awaited());
        let is_delegated = caller.is_delegated;
        WriteOptions {
            revisions,
            lenient,
            dry_run,
            approval,
            idempotency,
            is_awaited,
            is_delegated,
        }
    }
}

impl<const OF_ONE_SETTING: bool> IntoParams for WriteHeaders<OF_ONE_SETTING> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let (if_match, example) = if OF_ONE_SETTING {
            ("The version that must be current, as `\"v<version>\"`", "\"v3\"")
        } else {
            ("The revision that must be current, as `\"r<revision>\"`", "\"r7\"")
        };
        let prefer =
            "`handling=lenient` skips locked keys of a batch instead of refusing the request";
        vec![
            preconditions::parameter("If-Match", if_match, example),
            headers::parameter::<String>("Prefer", prefer),
            IdempotencyKey::parameter(),
        ]
    }
}

/// The headers of a write that changes no setting: `Idempotency-Key`, and `If-Match` with editions if the step `WRITES_EDITION`.
pub(in crate::http) struct StepHeaders<const WRITES_EDITION: bool = false> {
    required: Option<Required>,
    idempotency_key: Option<String>,
    target: String,
}

impl<S, const WRITES_EDITION: bool> FromRequestParts<S> for StepHeaders<WRITES_EDITION>
where
    S: Sync,
    SecretScanner: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let required = preconditions::required(&parts.headers, Tag::Edition)?;
        let IdempotencyKey(idempotency_key) =
            IdempotencyKey::from_request_parts(parts, state).await?;
        Ok(Self { required, idempotency_key, target: target(&parts.method, &parts.uri) })
    }
}

impl<const WRITES_EDITION: bool> StepHeaders<WRITES_EDITION> {
    /// Returns the editions in `If-Match`, if any.
    pub(in crate::http) fn required(&self) -> Option<&[i64]> {
        self.required.as_ref().map(|required| required.numbers.as_slice())
    }

    /// Returns the options of a step with `body` by `caller`. A dry run stores no result for a repeat.
    pub(in crate::http) fn options(
        &self,
        caller: &Caller,
        dry_run: bool,
        body: &[u8],
    ) -> WriteOptions {
        let key = self.idempotency_key.clone().filter(|_| !dry_run);
        let tags = format!("{:?}", self.required());
        let request = [self.target.as_bytes(), tags.as_bytes(), body];
        let idempotency = key.map(|key| idempotency::Key::new(caller.user.clone(), key, &request));
        let is_delegated = caller.is_delegated;
        WriteOptions { dry_run, idempotency, is_delegated, ..WriteOptions::default() }
    }
}

impl<const WRITES_EDITION: bool> IntoParams for StepHeaders<WRITES_EDITION> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let if_match = "The edition that must be current, as `\"e<edition>\"`";
        let if_match = preconditions::parameter("If-Match", if_match, "\"e1\"");
        let if_match = WRITES_EDITION.then_some(if_match);
        if_match.into_iter().chain([IdempotencyKey::parameter()]).collect()
    }
}

/// Makes the responses of writes, on request after every instance has applied the change.
pub(in crate::http) struct WriteResponder {
    deadline: ResponseDeadline,
    fleet: Fleet,
    pool: Pool,
    settings: GlobalSettingsService,
}

impl<S> FromRequestParts<S> for WriteResponder
where
    S: Sync,
    Pool: FromRef<S>,
    GlobalSettingsService: FromRef<S>,
    Fleet: FromRef<S>,
{
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self {
            deadline: ResponseDeadline::from_request_parts(parts, state).await?,
            fleet: Fleet::from_ref(state),
            pool: Pool::from_ref(state),
            settings: GlobalSettingsService::from_ref(state),
        })
    }
}

/// The response of a write, with the outcome of the wait, if any.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WriteResponse<T> {
    #[serde(flatten)]
    body: T,
    /// With `wait=applied`: the progress of the instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
}

impl WriteResponder {
    /// Returns the response `body` of a write with the new `revision`: at once, or after every live instance has applied
    /// the revision, or after the timeout. The write is committed, so a timeout is not an error but a 202. `wrap` converts
    /// the response into the declared type of the route.
    pub(in crate::http) async fn respond<T, R: Serialize>(
        self,
        parameters: &WriteParameters,
        body: T,
        revision: i64,
        wrap: impl FnOnce(WriteResponse<T>) -> R,
    ) -> Result<JsonResponse, Problem> {
        let Some(timeout) = parameters.timeout() else {
            return JsonResponse::ok(&wrap(WriteResponse { body, applied: None }));
        };
        // Beyond the request's deadline the response would be a 503, although the write is committed.
        let ResponseDeadline(due) = self.deadline;
        let latest = due.checked_sub(RESPONSE_TIME);
        let until = Instant::now() + timeout;
        let until = latest.map_or(until, |latest| until.min(latest));
        let applied = self.fleet.wait(&self.pool, &self.settings, revision, until).await;
        let status = if applied.is_everywhere() { StatusCode::OK } else { StatusCode::ACCEPTED };
        JsonResponse::new(status, &wrap(WriteResponse { body, applied: Some(applied) }))
    }

    /// Returns the response of a write of several settings, with the tag of the new revision.
    pub(in crate::http) async fn respond_with_changes<R: Serialize>(
        self,
        parameters: &WriteParameters,
        changed: ChangeResult,
        is_lenient: bool,
        wrap: impl FnOnce(WriteResponse<ChangeResult>) -> R,
    ) -> Result<JsonResponse, Problem> {
        let revision = changed.revision;
        // The tag lets a client chain the next write without a read.
        let tag = preconditions::revision_tag(revision);
        let response = self.respond(parameters, changed, revision, wrap).await?;
        let response = response.with(header::ETAG, &tag);
        let applied = "handling=lenient";
        Ok(if is_lenient { response.with(PREFERENCE_APPLIED, applied) } else { response })
    }
}
