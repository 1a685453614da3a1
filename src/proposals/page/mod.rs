//! The list of proposals, newest first.

mod store;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    database::Connection,
    pagination::{self, PageSize},
    proposals::record::State,
};

/// The position of a proposal in the list.
pub type Cursor = pagination::Cursor<i64>;

/// Selects proposals; a field that is `None` selects all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The state.
    pub state: Option<State>,
    /// The author of the first edition.
    pub by: Option<String>,
    /// A key that the current edition changes.
    pub key: Option<String>,
    /// The person who can still give a verdict: on an open proposal, or on an emergency.
    pub waiting_for: Option<String>,
}

impl pagination::Filter for Filter {
    // Part of the tag of a cursor: a cursor of another list is rejected.
    const LIST: &'static str = "proposals";
    type Position = i64;
}

/// A proposal in the list.
#[derive(Debug, Serialize, ToSchema, sqlx::FromRow)]
#[schema(as = ProposalSummary)]
pub struct Summary {
    /// The number.
    pub number: i64,
    /// The state.
    #[schema(example = "open")]
    pub state: String,
    /// The current edition.
    pub edition: i32,
    /// The reason of the current edition.
    pub reason: String,
    /// The keys that the current edition changes.
    pub keys: Vec<String>,
    /// The author of the first edition.
    pub created_by: String,
    /// When the proposal was made.
    pub created_at: DateTime<Utc>,
    /// When the proposal is applied by itself.
    #[schema(required)]
    pub due_at: Option<DateTime<Utc>>,
    /// Who applied the proposal without its approvals.
    #[schema(required)]
    pub bypassed_by: Option<String>,
    /// The revision of the change.
    #[schema(required)]
    pub applied_revision: Option<i64>,
    /// When the proposal ended.
    #[schema(required)]
    pub ended_at: Option<DateTime<Utc>>,
    /// Why the proposal failed: `stale`, `invalid`, `missed`, `not_approved` or `predecessor`.
    #[schema(required)]
    pub failure: Option<String>,
    /// The share of the users with the proposed values in percent; null without a rollout, after the end the last share.
    #[schema(required)]
    pub share: Option<i32>,
    /// The stage of the rollout, from 1; null without a rollout.
    #[schema(required)]
    pub stage: Option<i16>,
    /// Why the rollout is held; null if not held.
    #[schema(required)]
    pub held: Option<String>,
    /// The number of approvals that the settings of the current edition need today.
    pub needed: i16,
    /// The number of people who approve the current edition.
    pub approvals: i64,
    /// The number of people who object to the current edition.
    pub objections: i64,
    /// Whether somebody acknowledged the emergency.
    pub acknowledged: bool,
}

/// A page of proposals, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProposalPage)]
pub struct Page {
    /// The proposals.
    pub proposals: Vec<Summary>,
    /// The cursor of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// Returns up to `limit` proposals (1..=200) that match `filter`, after `cursor`.
pub async fn page(
    conn: &mut Connection,
    filter: &Filter,
    cursor: Option<Cursor>,
    limit: u16,
) -> sqlx::Result<Page> {
    let size = PageSize::clamped(limit);
    let before = cursor.map(Cursor::position);
    let mut proposals = store::summaries(conn, filter, before, size.fetch_limit()).await?;
    let next_cursor = size.split(&mut proposals, filter, |row| row.number);
    Ok(Page { proposals, next_cursor })
}
