//! What an operator says by signal.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What to do because of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The first TERM or INT: end in order, finish what runs.
    Drain,
    /// One more TERM or INT: end now.
    Exit,
    /// HUP: read the files again.
    Reload,
}

/// The signals of this process. From the moment it exists they no longer end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
    draining: bool,
}

impl Signals {
    /// Begins to listen. Wants a tokio runtime around it.
    ///
    /// # Errors
    ///
    /// The operating system refused a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
            draining: false,
        })
    }

    /// The next one. Several of one kind that arrive together may count as one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            Some(()) = self.terminate.recv() => self.end(),
            Some(()) = self.interrupt.recv() => self.end(),
            Some(()) = self.hangup.recv() => Signal::Reload,
            else => std::future::pending().await,
        }
    }

    fn end(&mut self) -> Signal {
        if std::mem::replace(&mut self.draining, true) { Signal::Exit } else { Signal::Drain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test for all: handlers belong to the process.
    #[tokio::test]
    async fn the_first_one_drains_and_the_second_one_ends() {
        let mut signals = Signals::listen().unwrap();
        for (raised, means) in [
            (libc::SIGHUP, Signal::Reload),
            (libc::SIGTERM, Signal::Drain),
            (libc::SIGHUP, Signal::Reload),
            (libc::SIGINT, Signal::Exit),
            (libc::SIGTERM, Signal::Exit),
        ] {
            raise(raised);
            assert_eq!(signals.next().await, means, "signal {raised}");
        }
    }

    #[expect(unsafe_code, reason = "raise is a plain call of C that touches no memory of ours")]
    fn raise(signal: libc::c_int) {
        assert_eq!(unsafe { libc::raise(signal) }, 0);
    }
}
