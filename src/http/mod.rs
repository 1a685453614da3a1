//! HTTP: the ground that handlers stand on. No rule of the business lives here.
//!
//! A request comes in through [`serve`], passes [`around`], and reaches a handler whose arguments are
//! [`SuperAdmin`], [`SignedIn`] or [`InternalOrUser`] (who asks), [`Segment`], [`Query`] and [`Body`]
//! (what they ask). A handler that names one of these cannot be reached without it. Everything that
//! goes wrong is a [`Problem`], and [`around`] gives each one its request id and its place.

mod auth;
mod openapi;
mod path_prefix;
mod problem;
mod request;
mod response;
mod router;
mod routes;
mod serve;
mod state;
mod ui;
mod viewer;
mod write;

pub use auth::{
    Caller, Grant, InternalOrUser, SUPER_ADMIN, SignedIn, SuperAdmin, TokenVerifier, issue,
    write_quota::WriteQuota,
};
pub use path_prefix::PathPrefix;
pub use problem::{Code, Problem, ProblemDocument};
pub use request::{
    body::{Body, OptionalBody},
    fields::{Fields, NUMBERS},
    path::PathSegment,
    query::Query,
};
pub use router::{openapi, router};
pub use routes::{
    explain::explain,
    ofrep::{Ofrep, Origins},
};
pub use serve::{
    limits::Limits,
    middleware::with_middleware,
    server::serve,
    sse::{StreamBounds, Streams},
};
pub use state::AppState;
