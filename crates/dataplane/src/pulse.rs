//! Whether the other end of an HTTP/2 connection is still there. TCP finds out after a quarter of
//! an hour, and every request put to such a connection meanwhile is lost.
//!
//! A connection that says nothing while requests wait is asked (PING, RFC 9113, 6.7), and is dead
//! if nothing at all comes then. Asking is rationed: servers of gRPC take more than two PINGs within
//! five minutes, without a message of theirs in between, for an attack and end the connection
//! (`GRPC_ARG_HTTP2_MAX_PING_STRIKES`, `GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS`). One
//! PING says enough until another request depends on the answer.
//!
//! ```text
//!   resting --a request--> heard --10 s silent--> asked --5 s silent--> dead
//!      ^                   |   ^                    |
//!      +---no more of them-+   +----any byte--------+
//! ```
//!
//! [`Pulse`] reads no clock and sends nothing: [`Pulse::look`] says what to do next.

use std::cell::Cell;
use std::time::Duration;

use model::Instant;
use tokio::sync::Notify;

/// How long a connection may say nothing while requests wait.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// How long after a PING.
const PONG_MAX: Duration = Duration::from_secs(5);
/// PINGs that may follow one another while no message comes: the first is free in gRPC, and two
/// strikes are.
const PINGS_MAX: u32 = 3;
/// Between further ones. A little more than gRPC wants, so that the line may delay one of them.
const PING_EVERY: Duration = Duration::from_secs(5 * 60 + 30);

/// What is known of one connection.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Requests it carries.
    streams: Cell<usize>,
    /// When it got the first of these, and the last.
    busy_since: Cell<Instant>,
    begun: Cell<Instant>,
    /// When something came last.
    heard: Cell<Instant>,
    /// A PING that nothing followed yet.
    asked: Cell<Option<Instant>>,
    /// When there was one last.
    pinged: Cell<Instant>,
    /// Those since the last message.
    pings: Cell<u32>,
    /// A request came where none was.
    pub(crate) woken: Notify,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, until [`Pulse::woken`].
    Rest,
    /// Look again then.
    Wait(Instant),
    /// Send a PING, and say so.
    Ping,
    /// Nobody is there.
    Dead,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            streams: Cell::new(0),
            busy_since: Cell::new(now),
            begun: Cell::new(now),
            heard: Cell::new(now),
            asked: Cell::new(None),
            pinged: Cell::new(now),
            pings: Cell::new(0),
            woken: Notify::new(),
        }
    }

    /// Requests it carries.
    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// One more.
    pub(crate) fn begin(&self, now: Instant) {
        let streams = self.streams.get();
        self.streams.set(streams + 1);
        self.begun.set(now);
        if streams == 0 {
            self.busy_since.set(now);
            self.woken.notify_waiters();
        }
    }

    /// One less.
    pub(crate) fn end(&self) {
        self.streams.set(self.streams.get().saturating_sub(1));
    }

    /// Bytes came, whatever they mean.
    pub(crate) fn hear(&self, now: Instant) {
        self.heard.set(now);
        self.asked.set(None);
    }

    /// Some of a message came.
    pub(crate) fn answered(&self) {
        self.pings.set(0);
    }

    /// A PING was sent.
    pub(crate) fn ask(&self, now: Instant) {
        self.asked.set(Some(now));
        self.pinged.set(now);
        self.pings.set(self.pings.get().saturating_add(1));
    }

    pub(crate) fn look(&self, now: Instant) -> Next {
        if let Some(asked) = self.asked.get() {
            let until = asked.after(PONG_MAX);
            return if until <= now { Next::Dead } else { Next::Wait(until) };
        }
        if self.streams.get() == 0 {
            return Next::Rest;
        }
        let silent_since = self.heard.get().max(self.busy_since.get());
        let mut until = silent_since.after(SILENT_MAX);
        let depends_on_it = self.pings.get() == 0 || self.begun.get() > self.heard.get();
        if !depends_on_it || self.pings.get() >= PINGS_MAX {
            until = until.max(self.pinged.get().after(PING_EVERY));
        }
        if until <= now { Next::Ping } else { Next::Wait(until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn nobody_is_asked_without_a_request() {
        let pulse = Pulse::new(at(0));
        assert_eq!(pulse.look(at(3600)), Next::Rest);
        pulse.begin(at(3600));
        assert_eq!(pulse.look(at(3600)), Next::Wait(at(3610)));
        pulse.end();
        assert_eq!(pulse.look(at(3611)), Next::Rest);
    }

    #[test]
    fn who_says_nothing_is_asked_and_then_dead() {
        let pulse = Pulse::new(at(0));
        pulse.begin(at(0));
        pulse.hear(at(5));
        assert_eq!(pulse.look(at(14)), Next::Wait(at(15)));
        assert_eq!(pulse.look(at(15)), Next::Ping);
        pulse.ask(at(15));
        assert_eq!(pulse.look(at(19)), Next::Wait(at(20)));
        // Also when its requests were given up meanwhile.
        pulse.end();
        assert_eq!(pulse.look(at(20)), Next::Dead);
        // Any byte is a sign of life.
        pulse.hear(at(20));
        assert_eq!(pulse.look(at(20)), Next::Rest);
    }

    /// A call that nothing is said in for hours costs a PING in five minutes.
    #[test]
    fn a_silence_that_is_meant_is_let_alone() {
        let pulse = Pulse::new(at(0));
        pulse.begin(at(0));
        let mut asked = Vec::new();
        for second in 0..1000 {
            if pulse.look(at(second)) == Next::Ping {
                asked.push(second);
                pulse.ask(at(second));
                pulse.hear(at(second));
            }
        }
        assert_eq!(asked, [10, 340, 670]);
    }

    /// However many requests depend on it: as gRPC has it, a PING too early is a strike, and a third
    /// strike is one too many.
    #[test]
    fn no_server_is_asked_too_often() {
        let pulse = Pulse::new(at(0));
        let (mut last, mut strikes, mut asked) = (None, 0, 0);
        for second in 0..3600 {
            pulse.begin(at(second));
            if second == 1800 {
                pulse.answered();
                (last, strikes) = (None, 0);
            }
            if pulse.look(at(second)) == Next::Ping {
                strikes += u32::from(last.is_some_and(|last| second - last < 300));
                (last, asked) = (Some(second), asked + 1);
                pulse.ask(at(second));
                pulse.hear(at(second));
            }
            assert!(strikes <= 2, "{second}");
        }
        assert!(asked > 10, "{asked}");
    }
}
