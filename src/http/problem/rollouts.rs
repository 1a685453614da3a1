//! The problems of reading a rollout.

use crate::{
    http::problem::{code::Code, details::Problem},
    sessions::RolloutError,
};

impl From<RolloutError> for Problem {
    fn from(err: RolloutError) -> Self {
        let detail = err.to_string();
        match err {
            // The same code as before the begin of a rollout: in both cases there is nothing to show.
            RolloutError::NotPlanned(_) => Self::new(Code::RolloutNotFound, detail),
            RolloutError::Proposal(err) => err.into(),
            RolloutError::Database(err) => err.into(),
        }
    }
}
