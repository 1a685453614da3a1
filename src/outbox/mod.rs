//! The transactional outbox: messages to other services, stored in the transaction of the event and delivered
//! afterwards, at least once and in order for each sink.

mod message;
mod page;
mod queue;
pub mod sink;
mod store;
mod watch;
mod worker;

pub use message::{Filter, Message, Status, Subscription, Topic};
pub use page::{Cursor, Entry, Page, SinkState, page, retry};
pub use queue::Outbox;
pub use sink::{InvalidSink, Sink, discord, sinks};
pub use watch::watch;
pub use worker::{HasSessions, Worker};
