//! `regctl events`: what a server says by itself, as it says it.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::{EventsArgs, Global};
use crate::failure::Failure;
use crate::output::Output;
use crate::protocol::Line;
use crate::reach::{Reached, reach_any};

/// How long to be silent before asking whether the server is still there.
const ASK_INTERVAL: Duration = Duration::from_secs(60);

pub(crate) async fn run(
    global: &Global,
    args: &EventsArgs,
    output: &Output,
) -> Result<(), Failure> {
    let mut reached = reach_any(global, "events").await?;
    if global.session.is_none() && global.register.is_none() {
        output.talk("events of the proxy itself; name a --session for those of its routes");
    }
    let all = ["all".to_owned()];
    let types = if args.types.is_empty() { &all } else { args.types.as_slice() };
    for kind in types {
        reached.ask(&Line::new("SUBSCRIBE", &[kind])).await?;
    }
    let followed = follow(&mut reached, output).await;
    reached.leave().await;
    followed
}

/// Prints what comes until we are told to stop, which is how this ends well.
pub(crate) async fn follow(reached: &mut Reached, output: &Output) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    loop {
        tokio::select! {
            pushed = reached.connection.next_push() => match pushed? {
                Some(said) => output.line(&said)?,
                None => {
                    let text = "the server closed the connection".to_owned();
                    return Err(Failure::Unreachable(text));
                }
            },
            () = stop.asked() => return Ok(()),
            () = tokio::time::sleep(ASK_INTERVAL) => {
                // No PING: a session that pings has to go on with it, and this one may not be ours.
                drop(reached.ask(&Line::new("SESSION_INFO", &[])).await?);
            }
        }
    }
}

/// TERM and INT.
pub(crate) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::Other(format!("cannot wait for signals: {error}")))
        };
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: listen(terminate)?, interrupt: listen(interrupt)? })
    }

    /// Comes back when one of them has come.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
