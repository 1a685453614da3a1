//! The settings of a start: the current settings, or those of the candidate of a running rollout.

use std::sync::Arc;

use crate::{
    ids::UserId,
    sessions::{rules::SessionSettings, session::Arm, start::error::Error},
    settings::{GlobalSettingsService, RunningRollout, Violation},
};

/// The settings of a start. The insert compares revision and epoch with the database.
pub(super) struct StartSettings {
    pub(super) settings: Arc<SessionSettings>,
    /// The epoch whose rollout decided about the arm.
    pub(super) epoch: i64,
    /// The arm of the user; `None` if no rollout runs.
    pub(super) arm: Option<Arm>,
}

impl StartSettings {
    /// Returns the settings for a start of `user`, as last read from the database.
    ///
    /// # Errors
    /// The settings in the database, or those of the candidate, are invalid, or a key is missing.
    pub(super) fn of(user: &UserId, settings: &GlobalSettingsService) -> Result<Self, Error> {
        // The last valid settings stay in memory, but a new session must not start with old settings.
        if !settings.is_valid() {
            return Err(invalid(&settings.violations(), None));
        }
        // One value: the number of the epoch stands for the rollout.
        let epoch = settings.epoch();
        let arm = epoch.rollout.as_ref().map(|rollout| arm_of(user, rollout));
        let candidate = match &arm {
            Some(Arm { is_candidate: true, .. }) => settings.candidate(&epoch),
            _ => None,
        };
        // Not cached, because the look-ups are cheap compared with the statement that follows.
        let read = match candidate {
            Some(candidate) => {
                let number = arm.as_ref().map(|arm| arm.proposal_number);
                let candidate = candidate.map_err(|violations| invalid(&violations, number))?;
                SessionSettings::read(&candidate)
            }
            None => SessionSettings::read(&settings.current()),
        };
        Ok(Self { settings: read.map(Arc::new)?, epoch: epoch.number, arm })
    }
}

fn arm_of(user: &UserId, rollout: &RunningRollout) -> Arm {
    Arm {
        proposal: rollout.proposal,
        proposal_number: rollout.number,
        is_candidate: rollout.is_candidate(user.as_str()),
        share_bp: rollout.share.basis_points().into(),
    }
}

/// Returns the error of invalid settings: the current ones, or those of the candidate of the proposal `number`.
pub(super) fn invalid(violations: &[Violation], number: Option<i64>) -> Error {
    let problems = violations.iter().map(|violation| {
        let detail = match number {
            Some(number) => format!("{} (in the rollout of proposal {number})", violation.detail),
            None => violation.detail.clone(),
        };
        (violation.key.clone(), detail)
    });
    Error::Settings(problems.collect())
}
