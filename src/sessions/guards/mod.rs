//! The guards of a rollout: what the rows of sessions say about a change that takes effect for some users first.
//!
//! A session records its rollout and its arm, and a trigger records the first failure of each user. Everything here is
//! counted from these rows, so every instance and `psql` see the same numbers. [`rollouts`](crate::rollouts) decides.
//!
//! | file | content |
//! |---|---|
//! | `rollout` | the stored state of a rollout |
//! | `counts` | users and failing users by arm, and their evidence |
//! | `judge` | the next step of the rule |
//! | `step` | taking the step |
//! | `worker` | the task that judges and acts, on every instance |
//! | `view` | the document of a rollout, for people |
//! | `history` | the evidence after each failure |
//! | `forecast` | the preview of a rollout from the traffic of the last week |
//! | `end` | the end of the sessions that still run on the candidate |

mod counts;
mod end;
mod forecast;
mod history;
mod judge;
mod rollout;
mod step;
mod store;
mod view;
mod worker;

pub use counts::UserCounts;
pub use end::{CandidateEnd, end_candidate_sessions};
pub use forecast::{PreviewWarning, RolloutForecast, forecast};
pub use history::HistoryEntry;
pub use rollout::RolloutError;
pub use view::{AssignmentView, GuardView, RolloutReport, RunningSessions, find_rollout};
pub use worker::{RolloutWorker, StepOutcome, guard_rollouts};
