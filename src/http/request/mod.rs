//! The parts of a request: path, query, headers and body, each read strictly with every error reported.

pub(in crate::http) mod accept;
pub(in crate::http) mod body;
pub(in crate::http) mod fields;
pub(in crate::http) mod from_json;
pub(in crate::http) mod headers;
pub(in crate::http) mod page;
pub(in crate::http) mod path;
pub(in crate::http) mod preconditions;
pub(in crate::http) mod query;
pub(in crate::http) mod reason;
pub(in crate::http) mod rules;
pub(in crate::http) mod value;
