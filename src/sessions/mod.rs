//! Brun-E sessions. A session keeps the settings it started with, whatever changes afterwards.

mod eligibility;
mod expiry;
mod lookup;
mod page;
mod pins;
mod plans;
mod realtime;
mod rules;
mod session;
mod start;
mod store;

pub use eligibility::{IneligibleReason, User};
pub use expiry::{Expiry, SweepResult, expire};
pub use lookup::{End, LookupError, SessionScope, end, find};
pub use page::{Cursor, Page, page, trace};
pub use pins::{Pin, Pins, pins};
pub use plans::{PlanUnavailable, Plans};
pub use realtime::{MintedSecret, Realtime, RealtimeFault};
pub use rules::{KEYS, SessionSettings, are_declared};
pub use session::{Filter, Session, Status};
pub use start::{Error, Request, SessionStarter, Started, forget_attempts, start};
