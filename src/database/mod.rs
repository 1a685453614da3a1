//! temp
mod work;
pub use work::{Attempts, Deadline, Ending, Failure, Work};
