//! What the machine has to say to one connection.
//!
//! One answer at most, because the next command is sent only after it; and a bounded number of
//! lines nobody asked for. The task that owns the machine puts in and never waits; the connection
//! takes out. Small, because ten thousand connections have one each and nothing in it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{Answer, Push};
use tokio::sync::Notify;
use wire::Dialect;

use crate::bounds::PUSHES_WAITING_MAX;

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    /// Wakes the one task that takes out.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    answer: Option<Answer>,
    pushes: VecDeque<Push>,
    dialect: Dialect,
    end: End,
}

/// Whether more will come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// Perhaps.
    #[default]
    Open,
    /// The machine wants the connection closed after what was said.
    Closed,
    /// The connection did not take its lines; what waited is gone.
    Overrun,
}

/// What a command came to.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Its answer, and how to write it.
    Answer(Answer, Dialect),
    /// None will come.
    None,
}

impl Mailbox {
    pub(crate) fn answer(&self, answer: Answer) {
        self.change(|state| {
            debug_assert!(state.answer.is_none(), "two answers to one command");
            state.answer = Some(answer);
        });
    }

    pub(crate) fn push(&self, push: Push) {
        self.change(|state| match state.end {
            End::Closed | End::Overrun => {}
            End::Open if state.pushes.len() < PUSHES_WAITING_MAX => state.pushes.push_back(push),
            End::Open => {
                state.pushes = VecDeque::new();
                state.end = End::Overrun;
            }
        });
    }

    pub(crate) fn speaks(&self, dialect: Dialect) {
        self.change(|state| state.dialect = dialect);
    }

    pub(crate) fn close(&self) {
        self.change(|state| {
            if state.end == End::Open {
                state.end = End::Closed;
            }
        });
    }

    /// Waits for the answer to the command that was sent last. Cancelling it loses nothing.
    pub(crate) async fn answered(&self) -> Outcome {
        loop {
            {
                let mut state = self.lock();
                if let Some(answer) = state.answer.take() {
                    return Outcome::Answer(answer, state.dialect);
                }
                if state.end != End::Open {
                    return Outcome::None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Waits for something that is no answer: a line, or the end.
    pub(crate) async fn spoken(&self) {
        while !self.has_spoken() {
            self.changed.notified().await;
        }
    }

    fn has_spoken(&self) -> bool {
        let state = self.lock();
        !state.pushes.is_empty() || state.end != End::Open
    }

    /// Whether more will come.
    pub(crate) fn end(&self) -> End {
        self.lock().end
    }

    /// Everything that waits besides an answer, oldest first, and whether more will come.
    pub(crate) fn take(&self) -> (VecDeque<Push>, End) {
        let mut state = self.lock();
        (std::mem::take(&mut state.pushes), state.end)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    /// Nothing that is done under it panics half-way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use model::Reply;

    use super::*;

    #[test]
    fn one_line_too_many_ends_it_and_drops_the_rest() {
        let mailbox = Mailbox::default();
        for _ in 0..PUSHES_WAITING_MAX {
            mailbox.push(Push::Shutdown);
        }
        assert!(mailbox.has_spoken());
        assert_eq!(mailbox.lock().end, End::Open);
        mailbox.push(Push::Shutdown);
        mailbox.push(Push::Shutdown);
        assert_eq!(mailbox.take(), (VecDeque::new(), End::Overrun));
        // Closing it afterwards does not take the reason away.
        mailbox.close();
        assert_eq!(mailbox.take().1, End::Overrun);
    }

    #[test]
    fn what_was_said_before_the_end_is_there() {
        let mailbox = Mailbox::default();
        mailbox.push(Push::Shutdown);
        mailbox.close();
        mailbox.push(Push::Shutdown);
        assert_eq!(mailbox.take(), (VecDeque::from([Push::Shutdown]), End::Closed));
    }

    #[tokio::test]
    async fn an_answer_comes_in_the_dialect_that_was_announced_before_it() {
        let mailbox = Mailbox::default();
        let answer = Answer { txn: None, reply: Reply::Pong };
        mailbox.speaks(Dialect::V1);
        mailbox.answer(answer.clone());
        mailbox.close();
        assert_eq!(mailbox.answered().await, Outcome::Answer(answer, Dialect::V1));
        assert_eq!(mailbox.answered().await, Outcome::None);
    }
}
