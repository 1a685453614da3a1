//! Brun-E sessions. A session keeps the settings of its start, unaffected by later changes.

mod eligibility;
mod expiry;
mod guards;
mod lookup;
mod page;
mod pins;
mod plans;
mod realtime;
mod refusal;
mod rules;
mod session;
mod start;
mod stop;
mod store;
mod trace;
mod what_if;

pub use eligibility::{Bounds, History, IneligibleReason, User, check_history};
pub use expiry::{Expiry, SweepResult, expire};
pub use guards::{
    AssignmentView, CandidateEnd, GuardView, HistoryEntry, PreviewWarning, RolloutError,
    RolloutForecast, RolloutReport, RolloutWorker, RunningSessions, StepOutcome, UserCounts,
    end_candidate_sessions, find_rollout, forecast, guard_rollouts,
};
pub use lookup::{End, EndReasonError, EndedBy, LookupError, SessionScope, end, find};
pub use page::{Cursor, Page, page};
pub use pins::{Pin, Pins, pins};
pub use plans::{PlanUnavailable, Plans};
pub use realtime::{MintedSecret, Realtime, RealtimeError};
pub use rules::{KEYS, SessionSettings, are_declared, decide_eligibility};
pub use session::{Arm, Filter, Outcome, Session, Status};
pub use start::{Error, Request, SessionStarter, Started, forget_attempts, start};
pub use stop::{StartsState, StartsWriter, Stop, StopError, starts_state, watch_stop};
pub use trace::{Assignment, Origin, Trace, trace};
pub use what_if::{
    ChangedSetting, Cut, Decisions, Difference, Example, Group, InvalidPeriod, Period, Range,
    WhatIf, WhatIfError, WhatIfRunner,
};
