//! Connections: the accept loop, limits, the middleware stack, compression and event streams.

pub(in crate::http) mod compression;
pub(in crate::http) mod head;
pub(in crate::http) mod head_timer;
pub(in crate::http) mod invalid_head;
pub(in crate::http) mod limits;
pub(in crate::http) mod log_rate_limit;
pub(in crate::http) mod middleware;
pub(in crate::http) mod request_log;
pub(in crate::http) mod server;
pub(in crate::http) mod sse;
pub(in crate::http) mod write_progress;
