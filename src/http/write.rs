//! What every write has: its terms, its author, its answer.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{FromRef, FromRequestParts, MatchedPath},
    http::{HeaderName, Method, StatusCode, Uri, header, request::Parts},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::{
    audit::{Actor, Reason},
    database::Pool,
    fleet::{Applied, Fleet},
    http::{
        auth::Caller,
        problem::{Code, Problem},
        request::{
            preconditions::{self, Tag},
            query::Query,
        },
        response::JsonResponse,
        serve::limits::AnswerDue,
    },
    idempotency,
    ids::RequestId,
    json::FieldError,
    secret_scanner::SecretScanner,
    settings::{ChangeResult, GlobalSettingsService, WriteOptions},
};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long a wait may be asked for, in milliseconds: within a request's deadline, with the write before it.
const TIMEOUTS: std::ops::RangeInclusive<i64> = 100..=4000;
/// How long it is when nobody says.
const USUAL_TIMEOUT: i64 = 2000;
/// What is kept of a request's time for its answer.
const ANSWERING: Duration = Duration::from_millis(250);

/// What the head of a write asks for.
pub(in crate::http) struct WriteHeaders {
    terms: WriteOptions,
    /// The versions of which the one key that is written must be at one (`If-Match`).
    versions: Option<Vec<i64>>,
    /// Why `If-Match` is false whatever is current, if it is.
    mismatch_reason: Option<String>,
    key: Option<String>,
    target: String,
    /// `If-Match` as it came: what a repeat must repeat.
    tags: Vec<u8>,
    wait: Wait,
}

impl<S> FromRequestParts<S> for WriteHeaders
where
    S: Sync,
    Pool: FromRef<S>,
    GlobalSettingsService: FromRef<S>,
    SecretScanner: FromRef<S>,
    Fleet: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // A parameter that is wrong is the handler's to refuse, which knows all that there may be.
        let dry_run = Query::parse(parts.uri.query().unwrap_or_default()).boolean("dry_run");
        let kind = kind(parts);
        let required = preconditions::required(&parts.headers, kind)?;
        let (numbers, mismatch_reason) =
            required.map(|it| (it.numbers, it.mismatch_reason)).unzip();
        let (revisions, versions) = match kind {
            Tag::Revision => (numbers, None),
            Tag::Version => (None, numbers),
        };
        let lenient = preconditions::prefers_lenient(&parts.headers);
        let scanner = SecretScanner::from_ref(state);
        let key = preconditions::idempotency_key(&parts.headers, &scanner)?;
        let terms = WriteOptions { revisions, lenient, dry_run, idempotency: None };
        let tags = parts.headers.get_all(header::IF_MATCH).iter();
        let tags = tags.flat_map(|it| [it.as_bytes(), b","].concat()).collect();
        let wait = Wait::of(parts, state);
        let target = target(&parts.method, &parts.uri);
        Ok(Self {
            terms,
            versions,
            mismatch_reason: mismatch_reason.flatten(),
            key,
            target,
            tags,
            wait,
        })
    }
}

/// What binds a write: the version of the one key it is for, or the revision of all.
fn kind(parts: &Parts) -> Tag {
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    if route == Some("/admin/config/{key}") { Tag::Version } else { Tag::Revision }
}

/// What is written to. Whether somebody waits is not of it: a repeat may, where the first did not.
fn target(method: &Method, uri: &Uri) -> String {
    let whole = uri.path_and_query().map_or("/", |it| it.as_str());
    let waits = |pair: &&str| matches!(pair.split('=').next(), Some("wait" | "timeout_ms"));
    match whole.split_once('?') {
        Some((path, query)) if query.split('&').any(|pair| waits(&pair)) => {
            let rest: Vec<_> = query.split('&').filter(|pair| !waits(pair)).collect();
            let mark = if rest.is_empty() { "" } else { "?" };
            format!("{method} {path}{mark}{}", rest.join("&"))
        }
        _ => format!("{method} {whole}"),
    }
}

impl WriteHeaders {
    /// The versions of which the one key that is written must be at one, if `If-Match` names any.
    pub(in crate::http) fn versions(&self) -> Option<&[i64]> {
        self.versions.as_deref()
    }

    /// What adds to a failed precondition why it could not hold.
    pub(in crate::http) fn explain(&mut self) -> impl Fn(Problem) -> Problem + use<> {
        let mismatch_reason = self.mismatch_reason.take();
        move |problem: Problem| match &mismatch_reason {
            Some(reason) if problem.code() == Code::RevisionMismatch => {
                problem.with_detail(reason.clone())
            }
            _ => problem,
        }
    }

    /// The terms of a write with this body, by this caller, and what its answer waits for. A dry run has no
    /// result to be repeated.
    pub(in crate::http) fn terms(self, caller: &Caller, body: &[u8]) -> (WriteOptions, Wait) {
        let key = self.key.filter(|_| !self.terms.dry_run);
        let lenient = [u8::from(self.terms.lenient)];
        let request = [self.target.as_bytes(), &self.tags, &lenient, body];
        let idempotency = key.map(|key| idempotency::Key::new(caller.user.clone(), key, &request));
        (WriteOptions { idempotency, ..self.terms }, self.wait)
    }
}

/// Refuses every parameter but those of every write.
pub(in crate::http) fn only_usual(mut query: Query) -> Result<(), Problem> {
    ask_usual(&mut query);
    query.finish()
}

/// Asks for the parameters of every write, and says what is wrong with them: `dry_run`, `wait`,
/// `timeout_ms`. Returns whether it is a dry run; the wait is [`Wait`]'s.
pub(in crate::http) fn ask_usual(query: &mut Query) -> bool {
    let dry_run = query.boolean("dry_run");
    asked_to_wait(query);
    dry_run
}

/// How long to wait for every instance, if at all.
fn asked_to_wait(query: &mut Query) -> Option<Duration> {
    let (wait, timeout) = (query.text("wait"), query.integer("timeout_ms", TIMEOUTS));
    match wait.as_deref() {
        Some("applied") => {
            let timeout = timeout.unwrap_or(USUAL_TIMEOUT);
            return u64::try_from(timeout).ok().map(Duration::from_millis);
        }
        Some(_) => query.fault("wait", "not_a_choice", "must be `applied`"),
        None if timeout.is_some() => {
            query.fault("timeout_ms", "without_wait", "is of `wait=applied`; send both");
        }
        None => (),
    }
    None
}

/// Whether the caller waits until every instance has the change. The one way to the answer of a write, so
/// that all of them can be waited for.
pub(in crate::http) struct Wait {
    /// Not of a dry run: it may be the write's rehearsal to the letter, and there is nothing to wait for.
    timeout: Option<Duration>,
    due: Option<AnswerDue>,
    fleet: Fleet,
    pool: Pool,
    settings: GlobalSettingsService,
}

impl<S> FromRequestParts<S> for Wait
where
    S: Sync,
    Pool: FromRef<S>,
    GlobalSettingsService: FromRef<S>,
    Fleet: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts, state))
    }
}

/// A write's answer, with what became of the wait if there was one.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WriteResponse<T> {
    #[serde(flatten)]
    body: T,
    /// With `wait=applied`: how far the change got.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
}

impl Wait {
    fn of<S>(parts: &Parts, state: &S) -> Self
    where
        Pool: FromRef<S>,
        GlobalSettingsService: FromRef<S>,
        Fleet: FromRef<S>,
    {
        let mut query = Query::parse(parts.uri.query().unwrap_or_default());
        let dry_run = query.boolean("dry_run");
        Self {
            timeout: asked_to_wait(&mut query).filter(|_| !dry_run),
            due: parts.extensions.get().copied(),
            fleet: Fleet::from_ref(state),
            pool: Pool::from_ref(state),
            settings: GlobalSettingsService::from_ref(state),
        }
    }

    /// The answer `body` to a write that led to `revision`: at once, or when every live instance has applied
    /// it, or when the time is over. What is answered here is stored, so this is never a failure: 202 says
    /// that it is not everywhere yet.
    pub(in crate::http) async fn answer(
        self,
        body: impl Serialize,
        revision: i64,
    ) -> Result<JsonResponse, Problem> {
        let Some(timeout) = self.timeout else {
            return JsonResponse::ok(&WriteResponse { body, applied: None });
        };
        let latest = self.due.and_then(|AnswerDue(due)| due.checked_sub(ANSWERING));
        let until = Instant::now() + timeout;
        let until = latest.map_or(until, |latest| until.min(latest));
        let applied = self.fleet.wait(&self.pool, &self.settings, revision, until).await;
        let everywhere = applied.is_everywhere();
        let status = if everywhere { StatusCode::OK } else { StatusCode::ACCEPTED };
        JsonResponse::new(status, &WriteResponse { body, applied: Some(applied) })
    }
}

/// Who changes, and why.
pub(in crate::http) fn actor(
    caller: &Caller,
    reason: Option<String>,
    request: RequestId,
) -> Result<Actor, Problem> {
    let refused = |detail: &str| {
        let fault = FieldError::at("/reason", "reason_required", detail);
        Problem::new(Code::ReasonRequired, format!("the reason {detail}")).with_faults(fault)
    };
    let reason = reason.ok_or_else(|| refused("is missing"))?;
    let reason = Reason::parse(&reason).map_err(refused)?;
    Ok(Actor { user: caller.user.clone(), reason, request })
}

/// What was changed, with the tag of the revision it led to.
pub(in crate::http) async fn answer(
    changed: &ChangeResult,
    terms: &WriteOptions,
    wait: Wait,
) -> Result<JsonResponse, Problem> {
    let tag = preconditions::revision_tag(changed.revision);
    let answer = wait.answer(changed, changed.revision).await?.with(header::ETAG, &tag);
    let lenient = "handling=lenient";
    Ok(if terms.lenient { answer.with(PREFERENCE_APPLIED, lenient) } else { answer })
}
