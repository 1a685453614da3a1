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

pub use eligibility::{Refusal, User};
pub use expiry::{Expiry, Step, expire};
pub use lookup::{End, LookupError, Reach, end, find};
pub use page::{Cursor, Filter, Page, page, trace};
pub use pins::{Pin, Pins, pins};
pub use plans::{PlanUnavailable, Plans};
pub use realtime::{Minted, Realtime, RealtimeFault};
pub use rules::{KEYS, SessionSettings, are_declared};
pub use session::{Session, Status};
pub use start::{Error, Request, Started, Starts, forget_attempts, start};
