//! Emergencies that nobody has acknowledged, and the times of their alerts.

mod store;

pub use store::{UnacknowledgedBypass, next_unacknowledged, record_bypass_alert};
