//! `/admin/proposals`: changes that other people approve, or that wait for their time.

mod decide;
mod read;
mod rollout;
mod write;

pub(in crate::http) use decide::*;
pub(in crate::http) use read::*;
pub(in crate::http) use rollout::*;
pub(in crate::http) use write::*;

use crate::{
    http::{
        auth::Caller,
        problem::{Code, Problem},
        request::value,
    },
    ids::RequestId,
    proposals::{State, VerdictKind},
    rollouts::{Guard, OnCompletion},
    settings::{Person, RolloutAction},
};

/// Reads the number of a proposal, or of an edition, in a path.
pub(in crate::http::routes) fn number<T: std::str::FromStr>(text: &str) -> Result<T, Problem> {
    // A malformed number is a 404 like an unknown one: clients handle a single case.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_plain);
    number.ok_or_else(|| Problem::new(Code::ProposalNotFound, "there is no such proposal"))
}

/// Returns the person of a step.
fn person(caller: Caller, request: RequestId) -> Person {
    Person { user: caller.user, request }
}

value::choices! {
    Guard: Guard::ALL.map(|guard| (guard.as_str(), guard));
    RolloutAction: RolloutAction::ALL.map(|action| (action.as_str(), action));
    OnCompletion: OnCompletion::ALL.map(|step| (step.as_str(), step));
    State: State::ALL.map(|state| (state.as_str(), state));
    VerdictKind: VerdictKind::ALL.map(|verdict| (verdict.as_str(), verdict));
}
