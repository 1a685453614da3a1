//! Emergencies that nobody has acknowledged, and the times of their alerts.

mod store;

pub use store::{UnacknowledgedEmergency, next_unacknowledged, record_emergency_alert};
