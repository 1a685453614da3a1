//! Brun-E sessions. A session keeps the settings it started with, whatever changes afterwards.

mod eligibility;
mod expiry;
mod lookup;
mod pins;
mod rules;
mod session;
mod start;
mod store;

pub use eligibility::{Refusal, User};
pub use expiry::{Expiry, Step, expire};
pub use lookup::{LookupError, Reach, end, find};
pub use pins::{Pin, Pins, pins};
pub use rules::{KEYS, SessionSettings};
pub use session::{Session, Status};
pub use start::{Error, Request, Started, start};
