//! HTTP: the ground that handlers stand on. No rule of the business lives here.
//!
//! A request comes in through [`serve`], passes [`around`], and reaches a handler whose arguments are
//! [`SuperAdmin`], [`SignedIn`] or [`InternalOrUser`] (who asks), [`Segment`], [`Query`] and [`Body`]
//! (what they ask). A handler that names one of these cannot be reached without it. Everything that
//! goes wrong is a [`Problem`], and [`around`] gives each one its request id and its place.

mod accept;
mod answer;
mod audit;
mod auth;
mod bad_head;
mod body;
mod conditions;
mod config;
mod explain;
mod fields;
mod fleet;
mod health;
mod layers;
mod limit;
mod limits;
mod ofrep;
mod openapi;
mod outbox;
mod path;
mod path_prefix;
mod problem;
mod query;
mod refusal_log;
mod router;
mod secrets;
mod server;
mod sessions;
mod settings;
mod sign_in;
mod state;
mod streams;
mod ui;
mod write_progress;

pub use auth::{
    Caller, Grant, InternalOrUser, SUPER_ADMIN, SignedIn, SuperAdmin, TokenVerifier, issue,
};
pub use body::{Body, OptionalBody};
pub use explain::explain;
pub use fields::{Fields, NUMBERS};
pub use layers::with_middleware;
pub use limit::WriteQuota;
pub use limits::Limits;
pub use ofrep::{Ofrep, Origins};
pub use path::PathSegment;
pub use path_prefix::PathPrefix;
pub use problem::{Code, Problem, ProblemDocument};
pub use query::Query;
pub use router::{openapi, router};
pub use server::serve;
pub use state::AppState;
pub use streams::{StreamBounds, Streams};
