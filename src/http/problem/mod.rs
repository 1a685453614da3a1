//! Every failure, as a problem document of RFC 9457.

mod code;
mod details;
mod document;
mod mapping;
mod members;
mod render;
mod rollouts;

pub use code::Code;
pub use details::Problem;
pub use document::ProblemDocument;
pub use render::ProblemFormat;
pub(in crate::http) use render::render;

#[cfg(test)]
pub(super) mod tests;
