//! Authentication: accepted issuers and keys, and the extractors that a protected handler takes.

mod caller;
mod claims;
mod cookie;
mod error;
mod expected_subject;
mod extract;
mod header;
mod same_origin;
mod token;
pub(in crate::http) mod write_quota;

pub use caller::{Caller, SUPER_ADMIN};
pub(in crate::http) use error::AuthError;
pub(in crate::http) use extract::Reader;
pub use extract::{InternalOrUser, SignedIn, SuperAdmin};
pub(in crate::http) use same_origin::SameOrigin;
pub use token::{Grant, TokenVerifier, issue};

#[cfg(test)]
mod tests;
