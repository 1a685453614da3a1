//! `/admin/config`: settings key by key, over the same functions as the batches of `/admin/global-settings`. The shape
//! differs, and so does the status of an invalid value (422).

mod list;
mod transfer;
mod write;

pub(in crate::http) use list::*;
pub(in crate::http) use transfer::*;
pub(in crate::http) use write::*;
