//! The steps of a proposal by people: write, edit, give a verdict, apply, withdraw.

use serde::{Deserialize, Serialize};

use crate::{
    audit::{Actor, Reason},
    database::Connection,
    proposals::{self, Edition, Proposal, State, VerdictKind},
    settings::{
        change::{ChangeResult, WriteOptions},
        proposal::{
            apply::{Permission, apply, apply_permitted, needed_approvals},
            draft::{ProposalChange, draft},
            error::Error,
            message::{self, Outcome},
            step::{
                self, Person, Step, StepContext, find_content, find_stored_result, require_state,
                store_result,
            },
        },
        writer::SettingsWriter,
    },
};

/// The number of a proposal and of one edition.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct EditionId {
    /// The number of the proposal.
    pub number: i64,
    /// The edition.
    pub edition: i32,
}

/// A verdict to store.
#[derive(Debug, Clone)]
pub struct NewVerdict {
    /// The edition that the person read.
    pub edition: i32,
    /// The verdict.
    pub verdict: VerdictKind,
    /// A note for the readers; may be empty.
    pub note: String,
    /// Whether to apply the proposal in the same transaction.
    pub applies: bool,
}

impl SettingsWriter {
    /// Stores a proposal with its first edition.
    pub async fn propose(
        &self,
        actor: &Actor,
        change: &ProposalChange,
        options: &WriteOptions,
    ) -> Result<EditionId, Error> {
        options.require_person()?;
        self.refuse_edits(actor, change, options).await?;
        step::run(self, options.on_success(), &Propose { actor, change, options }).await
    }

    /// Stores a new edition of the proposal `number`, whose current edition must be one of `expected`.
    pub async fn edit_proposal(
        &self,
        number: i64,
        expected: &[i64],
        actor: &Actor,
        change: &ProposalChange,
        options: &WriteOptions,
    ) -> Result<EditionId, Error> {
        options.require_person()?;
        self.refuse_edits(actor, change, options).await?;
        let step = WriteEdition { number, expected, actor, change, options };
        step::run(self, options.on_success(), &step).await
    }

    /// Stores a verdict, and applies the proposal if requested; then returns the change.
    pub async fn give_verdict(
        &self,
        number: i64,
        person: &Person,
        verdict: &NewVerdict,
        options: &WriteOptions,
    ) -> Result<Option<ChangeResult>, Error> {
        options.require_person()?;
        let Person { user, request } = person.clone();
        // The entry of a refused note has no other reason.
        let actor = Actor { user, reason: Reason::withheld(), request };
        let kind = self.scan_text(&actor, &verdict.note, options.dry_run).await?;
        if let Some(kind) = kind {
            return Err(Error::SecretInNote(kind));
        }
        let step = GiveVerdict { number, person, verdict, options };
        let mut result = step::run(self, options.on_success(), &step).await?;
        if let Some(change) = &mut result {
            change.dry_run = options.dry_run;
            if !options.dry_run {
                self.settings.notify_local_write();
            }
        }
        Ok(result)
    }

    /// Applies the edition `edition` of the proposal `number`, or begins its rollout; in an `emergency`, for that reason,
    /// applies the edition for everybody at once, also without approvals and before its time.
    pub async fn apply_proposal(
        &self,
        (number, edition): (i64, i32),
        person: &Person,
        emergency: Option<Reason>,
        options: &WriteOptions,
    ) -> Result<ChangeResult, Error> {
        if let Some(reason) = emergency.clone() {
            options.require_person()?;
            let Person { user, request } = person.clone();
            self.refuse_secret_reason(&Actor { user, reason, request }, options.dry_run).await?;
        }
        let step = Apply { number, edition, person, emergency, options };
        let mut result = step::run(self, options.on_success(), &step).await?;
        result.dry_run = options.dry_run;
        if !options.dry_run {
            self.settings.notify_local_write();
        }
        Ok(result)
    }

    /// Withdraws the proposal `number`. Every administrator may, because a withdrawal changes no setting.
    pub async fn withdraw(
        &self,
        number: i64,
        actor: &Actor,
        options: &WriteOptions,
    ) -> Result<(), Error> {
        self.refuse_secret_reason(actor, options.dry_run).await?;
        step::run(self, options.on_success(), &Withdraw { number, actor, options }).await
    }

    /// Refuses secrets and locked keys in `change`, with an audit entry, and values that are invalid by themselves.
    async fn refuse_edits(
        &self,
        actor: &Actor,
        change: &ProposalChange,
        options: &WriteOptions,
    ) -> Result<(), Error> {
        let snapshot = self.settings.snapshot();
        self.resolve(&snapshot.schema, actor, &change.edits, options).await?;
        Ok(())
    }
}

struct Propose<'a> {
    actor: &'a Actor,
    change: &'a ProposalChange,
    options: &'a WriteOptions,
}

impl Step for Propose<'_> {
    type Output = EditionId;

    async fn run(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
    ) -> Result<EditionId, Error> {
        if let Some(first) = find_stored_result(conn, self.options).await? {
            return Ok(first);
        }
        let content = draft(conn, context.schema, self.change, None).await?;
        let number = proposals::insert(conn, self.actor, &content).await?;
        message::enqueue_written(conn, context, (number, 1), self.actor, &content).await?;
        store_result(conn, self.options, EditionId { number, edition: 1 }).await
    }
}

struct WriteEdition<'a> {
    number: i64,
    expected: &'a [i64],
    actor: &'a Actor,
    change: &'a ProposalChange,
    options: &'a WriteOptions,
}

impl Step for WriteEdition<'_> {
    type Output = EditionId;

    async fn run(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
    ) -> Result<EditionId, Error> {
        if let Some(first) = find_stored_result(conn, self.options).await? {
            return Ok(first);
        }
        let number = self.number;
        let (proposal, content) = find_content(conn, number).await?;
        if !self.expected.contains(&i64::from(proposal.edition)) {
            return Err(outdated(content));
        }
        require_state(&proposal, &[State::Open, State::Failed])?;
        let content = draft(conn, context.schema, self.change, Some(number)).await?;
        let edition = proposal.edition + 1;
        proposals::insert_edition(conn, proposal.id, edition, self.actor, &content).await?;
        message::enqueue_written(conn, context, (number, edition), self.actor, &content).await?;
        store_result(conn, self.options, EditionId { number, edition }).await
    }
}

struct GiveVerdict<'a> {
    number: i64,
    person: &'a Person,
    verdict: &'a NewVerdict,
    options: &'a WriteOptions,
}

impl Step for GiveVerdict<'_> {
    type Output = Option<ChangeResult>;

    async fn run(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
    ) -> Result<Option<ChangeResult>, Error> {
        if let Some(first) = find_stored_result(conn, self.options).await? {
            return Ok(first);
        }
        let NewVerdict { edition, verdict, ref note, applies } = *self.verdict;
        let (proposal, content) = find_content(conn, self.number).await?;
        if proposal.edition != edition {
            return Err(outdated(content));
        }
        require_verdict_allowed(&proposal, verdict)?;
        // A rollout that runs ends by its own steps.
        if applies {
            require_state(&proposal, &[State::Open])?;
        }
        let person = self.person.user.as_str();
        if verdict != VerdictKind::Object && proposals::is_author(conn, proposal.id, person).await?
        {
            return Err(Error::SelfApproval);
        }
        let author = (person, self.person.request.as_str());
        proposals::insert_verdict(conn, &proposal, &content.digest, author, verdict, note).await?;
        let needed = needed_approvals(context.schema, &content);
        let verdict_and_note = (verdict, note.as_str());
        message::enqueue_judged(conn, context, &proposal, needed, self.person, verdict_and_note)
            .await?;
        let mut result = None;
        if applies {
            let current = (&proposal, &content);
            result = Some(apply(conn, context, current, self.person).await?);
        }
        store_result(conn, self.options, result).await
    }
}

struct Apply<'a> {
    number: i64,
    edition: i32,
    person: &'a Person,
    emergency: Option<Reason>,
    options: &'a WriteOptions,
}

impl Step for Apply<'_> {
    type Output = ChangeResult;

    async fn run(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
    ) -> Result<ChangeResult, Error> {
        if let Some(first) = find_stored_result(conn, self.options).await? {
            return Ok(first);
        }
        let (proposal, content) = find_content(conn, self.number).await?;
        require_state(&proposal, &[State::Open])?;
        if proposal.edition != self.edition {
            return Err(outdated(content));
        }
        let current = (&proposal, &content);
        let result = match &self.emergency {
            Some(reason) => {
                let emergency = Permission::Emergency(reason);
                apply_permitted(conn, context, current, self.person, emergency).await?
            }
            None => apply(conn, context, current, self.person).await?,
        };
        store_result(conn, self.options, result).await
    }
}

struct Withdraw<'a> {
    number: i64,
    actor: &'a Actor,
    options: &'a WriteOptions,
}

impl Step for Withdraw<'_> {
    type Output = ();

    async fn run(&self, conn: &mut Connection, context: &StepContext<'_>) -> Result<(), Error> {
        if let Some(first) = find_stored_result(conn, self.options).await? {
            return Ok(first);
        }
        let (proposal, content) = find_content(conn, self.number).await?;
        require_state(&proposal, &[State::Open, State::Failed])?;
        proposals::mark_withdrawn(conn, self.number, self.actor).await?;
        let (number, actor) = (self.number, self.actor);
        message::enqueue_settled(conn, context, number, &content, actor, Outcome::Withdrawn)
            .await?;
        store_result(conn, self.options, ()).await
    }
}

fn outdated(content: Edition) -> Error {
    Error::EditionOutdated { edition: content.edition, written_by: content.written_by }
}

/// Requires an emergency for an acknowledgement, and a proposal that is open or rolls out for other verdicts.
fn require_verdict_allowed(proposal: &Proposal, verdict: VerdictKind) -> Result<(), Error> {
    match verdict {
        VerdictKind::Acknowledge if proposal.bypassed_by.is_some() => Ok(()),
        VerdictKind::Acknowledge => Err(Error::NoEmergency),
        VerdictKind::Approve | VerdictKind::Object => {
            require_state(proposal, &[State::Open, State::Rolling])
        }
    }
}
