//! First step of a start: the user's plan and level.

use crate::sessions::{
    eligibility::User,
    plans::{PlanAndLevel, PlanUnavailable, Plans},
    start::request::Request,
};

/// Returns the user of `request`, with plan and level from the plan service if there is a plan service.
pub(super) async fn resolve_user(
    plans: Option<&Plans>,
    request: &Request,
) -> Result<User, PlanUnavailable> {
    let user = request.user.clone();
    let Some(plans) = plans else { return Ok(user) };
    let PlanAndLevel { plan, level } = plans.find(&user.id, &request.id).await?;
    // The plan service wins, because a token may be older than the plan.
    Ok(User { plan, level, ..user })
}
