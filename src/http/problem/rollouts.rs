//! The problems of reading a rollout.

use crate::{
    http::problem::{code::Code, details::Problem},
    sessions::RolloutError,
};

impl From<RolloutError> for Problem {
    fn from(err: RolloutError) -> Self {
        let detail = err.to_string();
        match err {
            // A plan without a rollout, like a rollout that never began, is no rollout to show.
            RolloutError::NotPlanned(_) => Self::new(Code::RolloutNotFound, detail),
            RolloutError::Proposal(err) => err.into(),
            RolloutError::Database(err) => err.into(),
        }
    }
}
