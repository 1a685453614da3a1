//! The request that the current task handles: its id, its trace and its log span.
//!
//! Most requests are answered from memory and log nothing, so the trace and the span are created when first needed.

use std::{
    cell::RefCell,
    sync::{Arc, OnceLock},
};

use axum::http::Method;
use tokio::time::Instant;
use tracing::{Span, error_span};

use crate::{ids::RequestId, trace_context::TraceContext};

thread_local! {
    /// The request whose work the thread runs now.
    static CURRENT: RefCell<Option<Arc<RequestContext>>> = const { RefCell::new(None) };
}

/// The properties of a request that any part of the service may need while the request is handled.
#[derive(Debug)]
pub struct RequestContext {
    /// The id.
    pub id: RequestId,
    /// The method.
    pub method: Method,
    /// The route, never the path: a path may contain anything, also a secret.
    pub route: Arc<str>,
    /// When the response must be ready.
    pub due: Instant,
    trace: OnceLock<TraceContext>,
    span: OnceLock<Span>,
}

impl RequestContext {
    /// Creates the context of a request, which continues the caller's `trace`, if any.
    #[must_use]
    pub fn new(
        id: RequestId,
        method: Method,
        route: Arc<str>,
        due: Instant,
        trace: Option<TraceContext>,
    ) -> Self {
        let trace = trace.map_or_else(OnceLock::new, OnceLock::from);
        Self { id, method, route, due, trace, span: OnceLock::new() }
    }

    /// Returns the trace: the caller's, or a trace that begins with the request.
    pub fn trace(&self) -> &TraceContext {
        self.trace.get_or_init(TraceContext::begin)
    }

    /// Returns the request of the running task, if any.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs `work`, a step of the request's task, with this context as the current one.
    pub fn scope<R>(self: &Arc<Self>, work: impl FnOnce() -> R) -> R {
        let _guard = ScopeGuard::enter(self);
        work()
    }

    /// Creates and enters the span of the current request, unless the span exists. The [scope](Self::scope) leaves the
    /// span. Called before a line is logged.
    pub fn enter_span() {
        // Taken during the creation: a line that a log layer writes meanwhile must not create the span again.
        let Some(context) = CURRENT.take() else { return };
        if context.span.get().is_none() {
            enter(context.span.get_or_init(|| context.new_span()));
        }
        CURRENT.set(Some(context));
    }

    fn new_span(&self) -> Span {
        let (request_id, method, route) = (self.id.as_str(), self.method.as_str(), &*self.route);
        let (trace_id, span_id) = (self.trace().id(), self.trace().span_id());
        // At the error level, so that an error names the request at any configured log level.
        error_span!("request", request_id, trace_id, span_id, method, route)
    }
}

/// Restores the previous context and leaves the span, also when the work panics.
struct ScopeGuard<'a> {
    context: &'a RequestContext,
    previous: Option<Arc<RequestContext>>,
}

impl<'a> ScopeGuard<'a> {
    fn enter(context: &'a Arc<RequestContext>) -> Self {
        let previous = CURRENT.replace(Some(Arc::clone(context)));
        // An earlier step of the task has logged.
        if let Some(span) = context.span.get() {
            enter(span);
        }
        Self { context, previous }
    }
}

impl Drop for ScopeGuard<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.context.span.get() {
            span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
        }
        CURRENT.set(self.previous.take());
    }
}

/// Enters `span` without a guard: a guard could not end in another function.
fn enter(span: &Span) {
    span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn context(trace: Option<TraceContext>) -> Arc<RequestContext> {
        let id = RequestId::parse("r-1").unwrap();
        let due = Instant::now() + Duration::from_secs(5);
        Arc::new(RequestContext::new(id, Method::GET, "/livez".into(), due, trace))
    }

    #[test]
    fn a_scope_ends_also_after_a_panic() {
        let outer = context(None);
        let current = || RequestContext::current().map(|context| context.id.clone());
        assert_eq!(current(), None);
        outer.scope(|| {
            let inner = context(None);
            let step = || inner.scope(|| -> () { panic!("on purpose") });
            let step = std::panic::AssertUnwindSafe(step);
            let result = std::panic::catch_unwind(step);
            assert!(result.is_err());
            let is_outer = |context: Arc<RequestContext>| Arc::ptr_eq(&context, &outer);
            assert!(RequestContext::current().is_some_and(is_outer));
        });
        assert_eq!(current(), None);
    }

    #[test]
    fn the_trace_is_that_of_the_caller_or_begins_once() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::continued(parent, []).unwrap();
        assert_eq!(context(Some(trace.clone())).trace(), &trace);
        let without_caller = context(None);
        assert_eq!(without_caller.trace(), without_caller.trace());
        assert_ne!(without_caller.trace(), context(None).trace());
    }
}
