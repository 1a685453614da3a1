//! The variable part of a path.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use crate::{http::problem::Problem, text};

/// The variable part of a route's path, decoded. A text with a forbidden character is a 404.
#[derive(Debug)]
pub struct PathSegment(
    /// The text; never empty.
    pub String,
);

impl<S: Send + Sync> FromRequestParts<S> for PathSegment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // The reasons differ, but either way no resource can have the name.
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) if text::check(&name).is_ok() => Ok(Self(name)),
            _ => Err(Problem::not_found("no resource has this name")),
        }
    }
}
