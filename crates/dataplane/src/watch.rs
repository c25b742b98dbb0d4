//! Time limits on waiting, at no cost for what need not wait.
//!
//! A request waits three or four times, each time with a limit of its own. Arming and disarming
//! a timer for each would cost more than routing does. One timer per busy connection is armed
//! when something really waits, left armed when it did not have to, and moved only when it
//! fires too early or would fire too late.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use model::Instant;
use runtime::Clock;
use tokio::time::Sleep;

/// The wait took longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub(crate) struct TimedOut;

/// The timer of one connection, or of one stream.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Clock,
    /// The timer and what it is set to; none before the first wait.
    timer: Option<(Pin<Box<Sleep>>, Instant)>,
}

/// Timers left over by streams, armed still: the next stream waits as long as the one before.
const LEFT_OVER_MAX: usize = 256;

thread_local! {
    static LEFT_OVER: RefCell<Vec<(Pin<Box<Sleep>>, Instant)>> = const { RefCell::new(Vec::new()) };
}

impl Watch {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, timer: None }
    }

    /// One that may take over the timer of another.
    pub(crate) fn taking_over(clock: Clock) -> Self {
        Self { clock, timer: LEFT_OVER.with_borrow_mut(Vec::pop) }
    }

    /// Leaves its timer to another.
    pub(crate) fn leave_over(self) {
        let Some(timer) = self.timer else { return };
        LEFT_OVER.with_borrow_mut(|left_over| {
            if left_over.len() < LEFT_OVER_MAX {
                left_over.push(timer);
            }
        });
    }

    /// Waits for `work`, at most for `limit`.
    pub(crate) async fn within<F: Future>(
        &mut self,
        limit: Duration,
        work: F,
    ) -> Result<F::Output, TimedOut> {
        let mut work = pin!(work);
        let mut deadline = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            let deadline = *deadline.get_or_insert_with(|| self.clock.mono().after(limit));
            self.poll_deadline(cx, deadline)
        })
        .await
    }

    /// Waits for `work`, at most until `deadline`.
    pub(crate) async fn until<F: Future>(
        &mut self,
        deadline: Instant,
        work: F,
    ) -> Result<F::Output, TimedOut> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll_deadline(cx, deadline),
        })
        .await
    }

    fn poll_deadline<T>(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Instant,
    ) -> Poll<Result<T, TimedOut>> {
        loop {
            ready!(self.timer(deadline).poll(cx));
            self.timer = None;
            if self.clock.mono() >= deadline {
                return Poll::Ready(Err(TimedOut));
            }
        }
    }

    /// The timer, armed for `deadline` or earlier.
    fn timer(&mut self, deadline: Instant) -> Pin<&mut Sleep> {
        let clock = self.clock;
        let (sleep, armed) =
            self.timer.get_or_insert_with(|| (Box::pin(clock.timer(deadline)), deadline));
        if *armed > deadline {
            sleep.as_mut().set(clock.timer(deadline));
            *armed = deadline;
        }
        sleep.as_mut()
    }
}
