//! The steps of a rollout by people.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    audit::Actor,
    database::Connection,
    proposals::{self, HeldReason, RevertCause},
    settings::{
        change::WriteOptions,
        proposal::{
            apply::needed_approvals,
            error::Error,
            rollout::take::{Current, RolloutStep, find_rolling, take},
            step::{self, Step, StepContext, find_stored_result, store_result},
        },
        writer::SettingsWriter,
    },
    text::string_enum,
};

string_enum! {
    /// A step of a rollout by a person.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum RolloutAction {
        /// Keep the share until a person decides.
        Hold = "hold",
        /// End the hold: users and minutes of the stage, and the hours of the plan, count again from zero.
        Resume = "resume",
        /// Begin the next stage.
        Advance = "advance",
        /// Apply the change for everybody.
        Promote = "promote",
        /// End the rollout: nobody gets the proposed values.
        Revert = "revert",
    }
}

impl RolloutAction {
    /// Whether more users get the proposed values.
    fn widens(self) -> bool {
        matches!(self, Self::Advance | Self::Promote)
    }

    fn step(self) -> RolloutStep {
        match self {
            Self::Hold => RolloutStep::Hold(HeldReason::Person),
            Self::Resume => RolloutStep::Resume,
            Self::Advance => RolloutStep::Advance,
            Self::Promote => RolloutStep::Promote,
            Self::Revert => RolloutStep::Revert(RevertCause::Person),
        }
    }
}

/// A step of a person, and the stage for which the person decided.
#[derive(Debug, Clone, Copy)]
pub struct PersonStep {
    /// The step.
    pub action: RolloutAction,
    /// The stage that the person read; `None` for a step that is right at every stage.
    pub stage: Option<i16>,
}

impl SettingsWriter {
    /// Takes a step of the rollout of the proposal `number`. Every administrator may hold, resume and revert. If a
    /// setting is protected, only a person who wrote no edition may advance and promote.
    ///
    /// # Errors
    /// `NotFound`, `RolloutNotRunning`, `StageOutdated`, `StepNotPossible`, `OwnRollout`, and the errors of an application.
    pub async fn take_rollout_step(
        &self,
        number: i64,
        step: PersonStep,
        actor: &Actor,
        options: &WriteOptions,
    ) -> Result<(), Error> {
        self.refuse_secret_reason(actor, options.dry_run).await?;
        let step = TakeStep { number, step, actor, options };
        step::run(self, options.on_success(), &step).await?;
        // The starts of this instance see the step without a notification.
        if !options.dry_run {
            self.settings.notify_local_write();
        }
        Ok(())
    }
}

struct TakeStep<'a> {
    number: i64,
    step: PersonStep,
    actor: &'a Actor,
    options: &'a WriteOptions,
}

impl Step for TakeStep<'_> {
    type Output = ();

    async fn run(&self, conn: &mut Connection, context: &StepContext<'_>) -> Result<(), Error> {
        if let Some(first) = find_stored_result(conn, self.options).await? {
            return Ok(first);
        }
        let current = find_rolling(conn, self.number).await?;
        let PersonStep { action, stage } = self.step;
        let current_stage = current.rollout.stage;
        if stage.is_some_and(|stage| stage != current_stage) {
            return Err(Error::StageOutdated(current_stage));
        }
        // A hold or a revert grants nothing, so nobody has to wait for another person.
        if action.widens() {
            self.require_other_person(conn, context, &current).await?;
        }
        take(conn, context, &current, self.actor, action.step(), None).await?;
        store_result(conn, self.options, ()).await
    }
}

impl TakeStep<'_> {
    /// Requires that the person may approve the change, if a setting needs approvals.
    async fn require_other_person(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
        current: &Current,
    ) -> Result<(), Error> {
        if needed_approvals(context.schema, &current.content) == 0 {
            return Ok(());
        }
        self.options.require_person()?;
        // A larger share is a decision about the change, like an approval.
        let person = self.actor.user.as_str();
        if proposals::is_author(conn, current.proposal.id, person).await? {
            return Err(Error::OwnRollout);
        }
        Ok(())
    }
}
