//! HTTP: requests, responses and problems. The rules of the business are in lower modules.
//!
//! [`serve`] accepts the connection, [`with_middleware`] checks the headers, and the handler of the route runs. The
//! arguments of a handler are the caller ([`SuperAdmin`], [`SignedIn`] or [`InternalOrUser`]), the parts of the request
//! ([`PathSegment`], [`Query`] and [`Body`]) and the parts of the service. No handler runs without valid
//! arguments. Every failure is a [`Problem`]; [`with_middleware`] adds the request id and the path.
//!
//! The blank lines between the modules are floors: a module imports only from earlier floors.

mod path_prefix;

mod problem;

mod openapi;
mod response;

mod request;

mod auth;

mod serve;

mod current_fleet;
mod ui;
mod viewer;
mod write;

mod routes;

mod state;

mod router;

pub use auth::{
    Caller, Grant, InternalOrUser, SUPER_ADMIN, SignedIn, SuperAdmin, TokenVerifier, issue,
    write_quota::WriteQuota,
};
pub use path_prefix::PathPrefix;
pub use problem::{Code, Problem, ProblemDocument, ProblemFormat};
pub use request::{
    body::Body,
    path::PathSegment,
    query::{NoParameters, Query},
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
