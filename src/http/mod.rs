//! HTTP: the ground that handlers stand on. No rule of the business lives here.
//!
//! A request comes in through [`serve`], passes [`around`], and reaches a handler whose arguments are
//! [`SuperAdmin`], [`SignedIn`] or [`InternalOrUser`] (who asks), [`Segment`], [`Query`] and [`Body`]
//! (what they ask). A handler that names one of these cannot be reached without it. Everything that
//! goes wrong is a [`Problem`], and [`around`] gives each one its request id and its place.

mod auth;
mod body;
mod fault;
mod fields;
mod json;
mod layers;
mod limits;
mod path;
mod problem;
mod query;
mod server;

pub use auth::{Caller, Grant, InternalOrUser, Keys, SUPER_ADMIN, SignedIn, SuperAdmin, issue};
pub use body::{Body, OptionalBody};
pub use fault::{Fault, Faults, forbidden};
pub use fields::{Fields, NUMBERS};
pub use json::{Json, integral};
pub use layers::around;
pub use limits::Limits;
pub use path::Segment;
pub use problem::{Code, Problem, ProblemDocument, explain};
pub use query::Query;
pub use server::serve;
