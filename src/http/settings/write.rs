//! What every write has: its terms, its author, its answer.

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, Method, Uri, header, request::Parts},
};

use crate::{
    audit::{Actor, Reason},
    http::{
        answer::Answer,
        auth::Caller,
        conditions,
        problem::{Code, Problem},
        query::Query,
    },
    idempotency,
    ids::RequestId,
    json::Fault,
    settings::{Changed, Terms},
};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What the head of a write asks for.
pub(in crate::http) struct WriteHead {
    terms: Terms,
    key: Option<String>,
    target: String,
    /// `If-Match` as it came: what a repeat must repeat.
    tags: Vec<u8>,
}

impl<S: Sync> FromRequestParts<S> for WriteHead {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A parameter that is wrong is the handler's to refuse, which knows all that there may be.
        let dry_run = Query::parse(parts.uri.query().unwrap_or_default()).flag("dry_run");
        let revisions = conditions::required_revisions(&parts.headers);
        let lenient = conditions::prefers_lenient(&parts.headers);
        let key = conditions::idempotency_key(&parts.headers)?;
        let terms = Terms { revisions, lenient, dry_run, idempotency: None };
        let tags = parts.headers.get_all(header::IF_MATCH).iter();
        let tags = tags.flat_map(|it| [it.as_bytes(), b","].concat()).collect();
        Ok(Self { terms, key, target: target(&parts.method, &parts.uri), tags })
    }
}

fn target(method: &Method, uri: &Uri) -> String {
    format!("{method} {}", uri.path_and_query().map_or("/", |it| it.as_str()))
}

impl WriteHead {
    /// The terms of a write with this body, by this caller. A dry run has no result to be repeated.
    pub(in crate::http) fn terms(self, caller: &Caller, body: &[u8]) -> Terms {
        let key = self.key.filter(|_| !self.terms.dry_run);
        let lenient = [u8::from(self.terms.lenient)];
        let request = [self.target.as_bytes(), &self.tags, &lenient, body];
        let idempotency = key.map(|key| idempotency::Key::new(caller.user.clone(), key, &request));
        Terms { idempotency, ..self.terms }
    }
}

/// Refuses every parameter but `dry_run`.
pub(in crate::http) fn only_dry_run(mut query: Query) -> Result<(), Problem> {
    query.flag("dry_run");
    query.finish()
}

/// Who changes, and why.
pub(in crate::http) fn actor(
    caller: &Caller,
    reason: Option<String>,
    request: RequestId,
) -> Result<Actor, Problem> {
    let refused = |detail: &str| {
        let fault = Fault::at("/reason", "reason_required", detail);
        Problem::new(Code::ReasonRequired, format!("the reason {detail}")).with_faults(fault)
    };
    let reason = reason.ok_or_else(|| refused("is missing"))?;
    let reason = Reason::parse(&reason).map_err(refused)?;
    Ok(Actor { user: caller.user.clone(), reason, request })
}

/// A body that is at fault only for what its reason is written in has no reason that may be kept.
pub(super) fn reasonable(problem: Problem) -> Problem {
    let only_its_reason = problem.stands_only_at("/reason", "forbidden_character");
    if only_its_reason { problem.with_code(Code::ReasonRequired) } else { problem }
}

/// What was changed, with the tag of the revision it led to.
pub(in crate::http) fn answer(changed: &Changed, terms: &Terms) -> Result<Answer, Problem> {
    let answer =
        Answer::ok(changed)?.with(header::ETAG, &conditions::revision_tag(changed.revision));
    let lenient = "handling=lenient";
    Ok(if terms.lenient { answer.with(PREFERENCE_APPLIED, lenient) } else { answer })
}
