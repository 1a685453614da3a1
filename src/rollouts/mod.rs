//! The rule of a guarded rollout: who is a candidate user, and when a change is widened, promoted, held or reverted.
//!
//! Everything here is pure: counts in, a decision out. `docs/rollouts.md` explains the rule without formulas,
//! `docs/rollouts-evidence.md` with formulas and simulations.
//!
//! | file | content |
//! |---|---|
//! | `assignment` | the arm of a user: a salted hash against the share |
//! | `evidence` | the evidence that a change does harm, from counts of failing users |
//! | `plan` | stages and guards, their defaults and bounds |
//! | `rule` | the decision: three zones |
//! | `simulation` | simulated users, judged by the same rule |
//! | `traffic` | distinct users over time, from the last week |
//! | `preview` | the expected duration and sensitivity of a plan |

mod assignment;
mod evidence;
mod plan;
mod preview;
mod rule;
mod simulation;
mod traffic;

pub use assignment::{BUCKETS, Share, bucket, is_candidate};
pub use evidence::{ArmCounts, Evidence, failures_until};
pub use plan::{
    Guard, MAX_HOURS, MAX_MINUTES, MAX_STAGES, MAX_USERS, OnCompletion, Plan, PlanDraft, Stage,
    StageDraft,
};
pub use preview::{Preview, PreviewRow, StagePreview, preview};
pub use rule::{
    ASSIGNMENT_THRESHOLD, Decision, GuardEvidence, HoldReason, Observation, WaitsFor, Zone, decide,
    waits_for, zone,
};
pub use simulation::{Ending, FailureRates, GUARDS, Quantiles, Run, RunResult, Summary, User};
pub use traffic::Traffic;
