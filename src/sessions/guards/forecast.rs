//! The preview of a rollout from the traffic of the last week.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    compute,
    database::{self, Connection, Pool},
    rollouts::{self, Plan, Preview, Traffic},
    sessions::guards::{rollout::RolloutError, store},
    settings::{self, SettingsWriter},
};

/// The hours of traffic: a week.
const HOURS: i32 = 7 * 24;

/// Fewer hours of traffic say little about the next days.
const DAY: usize = 24;

/// The most attempts that are read. With more traffic the period is shorter, and the preview continues its last day.
const MAX_ATTEMPTS: i64 = 500_000;

/// A limit of a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RolloutPreviewWarning)]
pub struct PreviewWarning {
    /// `stage_unreachable`: the stage does not end within the hours of the plan. `little_traffic`: the traffic of less than a
    /// day says little about the next days. `not_simulated`: the plan needs too many users to be simulated.
    #[schema(example = "stage_unreachable")]
    pub code: &'static str,
    /// The stage, from 1; null for a warning about all stages.
    #[schema(required)]
    pub stage: Option<usize>,
    /// What to change.
    pub detail: String,
}

/// The expected duration and sensitivity of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RolloutForecast {
    /// The number of the proposal.
    pub proposal: i64,
    /// The beginning of the traffic that the preview continues: the first start of the last week.
    pub since: DateTime<Utc>,
    /// Distinct users of the traffic.
    pub users: u32,
    /// The stages and the simulated outcomes.
    #[serde(flatten)]
    pub preview: Preview,
    /// Stages that do not end in time, with which the rollout is held, and limits of the preview.
    pub warnings: Vec<PreviewWarning>,
}

/// Previews the rollout of the proposal `number`, as its current edition plans it, with the traffic of the last week.
///
/// # Errors
/// There is no such proposal, the proposal plans no rollout, or the database failed.
pub async fn forecast(
    writer: &SettingsWriter,
    pool: &Pool,
    number: i64,
) -> Result<RolloutForecast, RolloutError> {
    let proposal = settings::find_proposal(writer, number, None).await?;
    let plan = proposal.plan.rollout.ok_or(RolloutError::NotPlanned(number))?;
    // Every default is written out in a stored plan, so the default guards do not matter.
    let plan = plan.validate(&[], "").map_err(|_| RolloutError::NotPlanned(number))?;
    let (since, traffic) = database::read_with_retry(pool, async |conn: &mut Connection| {
        let since = store::traffic_since(conn, HOURS, MAX_ATTEMPTS).await?;
        Ok::<_, sqlx::Error>((since, store::traffic(conn, since).await?))
    })
    .await?;
    // The simulation takes tens of milliseconds of CPU, whatever the size of the input.
    let preview = compute::run(usize::MAX, || rollouts::preview(&plan, &traffic)).await;
    // A returning user is in the first hour only, so the sum has each user once.
    let users = traffic.new_users.iter().fold(0_u32, |sum, users| sum.saturating_add(*users));
    let warnings = warnings(&plan, &traffic, &preview);
    Ok(RolloutForecast { proposal: number, since, users, preview, warnings })
}

fn warnings(plan: &Plan, traffic: &Traffic, preview: &Preview) -> Vec<PreviewWarning> {
    let limit = |code, detail| PreviewWarning { code, stage: None, detail };
    let mut warnings = Vec::new();
    let hours = traffic.new_users.len();
    // Without any traffic the stages have warnings, which say more.
    if preview.guard.is_some() && hours < DAY {
        let period =
            if hours == 1 { "an hour or less".to_owned() } else { format!("{hours} hours") };
        let detail = format!(
            "the starts of {period} say little about the next days: the hours of the stages and the failure rates may \
             differ by far"
        );
        warnings.push(limit("little_traffic", detail));
    }
    if preview.guard.is_some() && preview.rows.is_empty() {
        let detail = "the stages need too many users to simulate the outcome".to_owned();
        warnings.push(limit("not_simulated", detail));
    }
    warnings.extend(stage_warnings(plan, preview));
    warnings
}

fn stage_warnings(plan: &Plan, preview: &Preview) -> impl Iterator<Item = PreviewWarning> {
    // A warning and no refusal: more traffic may come than last week.
    preview.unreachable_stages().map(move |index| {
        let hours = plan.max_hours();
        // Without traffic, or with regular users only, a stage has no end at all.
        let ends_after = preview.stages.get(index).and_then(|stage| stage.ends_after_hours);
        let end = ends_after.map_or_else(
            || "never has enough users".to_owned(),
            |end| format!("ends after {end:.0} hours"),
        );
        PreviewWarning {
            code: "stage_unreachable",
            stage: Some(index + 1),
            detail: format!(
                "with the traffic of the last week, stage {} {end}, and the rollout is held after {hours} hours: \
                 require fewer users, a greater share or more hours",
                index + 1
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollouts::{Guard, PlanDraft};

    #[test]
    fn stages_that_do_not_end_in_time_are_named() {
        let plan = PlanDraft::default().validate(&Guard::defaults(true), "").unwrap();
        let details = |per_hour: u32| {
            let traffic = Traffic { new_users: vec![per_hour; 168], failing_users: Vec::new() };
            let warnings = warnings(&plan, &traffic, &rollouts::preview(&plan, &traffic));
            warnings.into_iter().map(|warning| (warning.stage, warning.detail)).collect::<Vec<_>>()
        };
        assert_eq!(details(50), []);
        let slow = details(10);
        assert_eq!(slow.len(), 1, "{slow:?}");
        assert_eq!(slow[0].0, Some(2));
        assert!(slow[0].1.contains("ends after 90 hours"), "{slow:?}");
        let silent = details(0);
        assert!(silent.len() == 2 && silent[0].1.contains("never has enough users"), "{silent:?}");
    }
}
