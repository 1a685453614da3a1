//! `/admin/config`: the per-key contract of the epic, over the same functions as the batch contract. It
//! differs in shape, and in the status of an invalid value (422).

mod list;
mod transfer;
mod write;

pub(in crate::http) use list::*;
pub(in crate::http) use transfer::*;
pub(in crate::http) use write::*;
