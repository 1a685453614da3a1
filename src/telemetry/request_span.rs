//! Creates the span of a request when the first line of the request is logged.
//!
//! A span costs more than many responses: its fields are formatted, and the registry takes a lock. Most requests log no
//! line inside the span.

use tracing::{Event, Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::{Layer, layer::Context};

use crate::request_context::RequestContext;

/// The outermost layer of the log, because the other layers must find the span. Works only in the default subscriber of
/// the process: with a subscriber of a thread, tracing creates no span while a line is logged.
#[derive(Debug)]
pub(super) struct RequestSpans;

impl<S: Subscriber> Layer<S> for RequestSpans {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The default implementation would ask `enabled`, outside of any line.
        Interest::always()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // Only asked if the level of a line depends on its span, so the span must exist before the filter decides.
        if metadata.is_event() {
            RequestContext::enter_span();
        }
        true
    }

    fn event_enabled(&self, _: &Event<'_>, _: Context<'_, S>) -> bool {
        RequestContext::enter_span();
        true
    }
}
