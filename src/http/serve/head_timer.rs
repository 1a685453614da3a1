//! The timer of a connection's head timeout.
//!
//! hyper starts a timer for each request and drops the timer when the head has arrived. A timer of the runtime would be
//! entered into the runtime's wheel and removed again each time, under a lock that all connections share. Here a
//! connection has one timer, which stays in the wheel: a timer that fires too early is set to the current deadline.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::rt;
use tokio::time::{Sleep, sleep_until};

/// The timer of one connection.
#[derive(Default)]
pub(super) struct HeadTimer {
    /// The runtime's timer, while no head is awaited.
    idle: Arc<Mutex<Option<Pin<Box<Sleep>>>>>,
}

/// The wait for a head.
struct HeadTimeout {
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    idle: Arc<Mutex<Option<Pin<Box<Sleep>>>>>,
}

impl rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        let timer = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(HeadTimeout { deadline, timer, idle: Arc::clone(&self.idle) })
    }
}

impl Future for HeadTimeout {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.get_mut();
        let deadline = timeout.deadline.into();
        let timer = timeout.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(cx));
            // The timer was set for an earlier head.
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

impl rt::Sleep for HeadTimeout {}

impl Drop for HeadTimeout {
    fn drop(&mut self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        *idle = mem::take(&mut self.timer);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper::rt::Timer as _;

    use super::*;

    #[tokio::test]
    async fn a_wait_lasts_until_its_own_deadline() {
        let timer = HeadTimer::default();
        for _ in 0..3 {
            let now = Instant::now();
            let deadline = now + Duration::from_millis(20);
            // Dropped early, as after a head that arrived in time: the runtime's timer keeps the early deadline.
            let mut early = timer.sleep_until(now + Duration::from_millis(5));
            let _ = poll_fn(|cx| Poll::Ready(early.as_mut().poll(cx))).await;
            drop(early);
            timer.sleep_until(deadline).await;
            assert!(Instant::now() >= deadline);
        }
    }
}
