//! Connections that wait for their next request, so that they can be told to end: a place for each,
//! which is a few bytes and no lock.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// Those of one worker.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    ending: Cell<bool>,
    wakers: RefCell<Vec<Option<Waker>>>,
    /// Places of `wakers` that nobody has.
    free: RefCell<Vec<usize>>,
}

/// A place of one connection, which it takes when it has to wait.
#[derive(Debug)]
pub(crate) struct Place<'q> {
    quiet: &'q Quiet,
    number: Option<usize>,
}

impl Quiet {
    pub(crate) fn place(&self) -> Place<'_> {
        Place { quiet: self, number: None }
    }

    /// Tells all of them to end, and all that come later.
    pub(crate) fn end(&self) {
        self.ending.set(true);
        let wakers: Vec<_> = self.wakers.borrow_mut().iter_mut().filter_map(Option::take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Place<'_> {
    /// Whether the connection is to end. Always asked by the same task.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.quiet.ending.get() {
            return Poll::Ready(());
        }
        if self.number.is_none() {
            let mut wakers = self.quiet.wakers.borrow_mut();
            let number = self.quiet.free.borrow_mut().pop().unwrap_or_else(|| {
                wakers.push(None);
                wakers.len() - 1
            });
            if let Some(place) = wakers.get_mut(number) {
                *place = Some(cx.waker().clone());
            }
            self.number = Some(number);
        }
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        if let Some(place) = self.quiet.wakers.borrow_mut().get_mut(number) {
            *place = None;
        }
        self.quiet.free.borrow_mut().push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_and_places_are_used_again() {
        let quiet = Quiet::default();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let (mut one, mut other) = (quiet.place(), quiet.place());
            for _ in 0..2 {
                assert_eq!(
                    (one.poll(&mut cx), other.poll(&mut cx)),
                    (Poll::Pending, Poll::Pending)
                );
            }
        }
        assert_eq!(quiet.wakers.borrow().len(), 2);
        let mut waiting = quiet.place();
        assert_eq!(waiting.poll(&mut cx), Poll::Pending);
        quiet.end();
        assert!(quiet.wakers.borrow().iter().all(Option::is_none));
        assert_eq!(
            (waiting.poll(&mut cx), quiet.place().poll(&mut cx)),
            (Poll::Ready(()), Poll::Ready(()))
        );
    }
}
