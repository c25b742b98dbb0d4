//! Plays a transcript in a [`World`].

use std::fmt;

use crate::pattern::{Bindings, fill};
use crate::transcript::{Action, Step, parse};
use crate::world::{Disk, World, config};

/// Where the ids of every transcript come from.
const SEED: u64 = 7;

/// Where a transcript and the machine disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line of the transcript, from 1.
    pub line: usize,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub got: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, expected, got } = self;
        write!(f, "line {line}\n  expected: {expected}\n       got: {got}")
    }
}

/// Plays a transcript to its end.
///
/// # Errors
///
/// [`Failure`], the first.
pub fn play(text: &str) -> Result<(), Failure> {
    let steps = parse(text).map_err(|error| Failure {
        line: error.line,
        expected: error.wanted.to_owned(),
        got: "something else".to_owned(),
    })?;
    let mut player = Player { world: World::new(config(), SEED), bindings: Bindings::new() };
    for step in &steps {
        player.step(step).map_err(|(expected, got)| Failure { line: step.line, expected, got })?;
    }
    let line = text.lines().count() + 1;
    player.quiet(None).map_err(|(expected, got)| Failure { line, expected, got })
}

struct Player {
    world: World,
    bindings: Bindings,
}

/// What was expected, and what was got.
type Differs = (String, String);

impl Player {
    fn step(&mut self, step: &Step) -> Result<(), Differs> {
        match &step.action {
            Action::Say(number, text) => {
                let line = fill(text, &self.bindings)
                    .map_err(|name| (format!("${name} to be bound"), "it is not".to_owned()))?;
                match self.world.client(*number) {
                    Some(client) if client.closed => {
                        return Err(("an open connection".to_owned(), "it is closed".to_owned()));
                    }
                    Some(_) => {}
                    None => self.world.connect(*number),
                }
                self.world.say(*number, &line);
                Ok(())
            }
            Action::Told(number, pattern) => {
                let told = self.world.client(*number).and_then(|client| client.told());
                match told {
                    Some(line) if pattern.matches(&line, &mut self.bindings) => Ok(()),
                    told => {
                        let got = told.unwrap_or_else(|| "nothing".to_owned());
                        Err((pattern.shown(&self.bindings), got))
                    }
                }
            }
            Action::Operator(number) => {
                if self.world.client(*number).is_some() {
                    return Err(("a new connection".to_owned(), "it is open already".to_owned()));
                }
                self.world.connect_operator(*number);
                Ok(())
            }
            Action::Lose(number) => {
                self.quiet(Some(*number))?;
                self.world.lose(*number);
                Ok(())
            }
            Action::Closed(number) => {
                self.quiet(Some(*number))?;
                if self.world.client(*number).is_none_or(|client| !client.closed) {
                    return Err(("a closed connection".to_owned(), "it is open".to_owned()));
                }
                self.world.lose(*number);
                Ok(())
            }
            Action::Wait(by) => {
                self.quiet(None)?;
                self.world.wait(*by);
                Ok(())
            }
            Action::Ask { host, path, goes } => {
                let got = self.world.plane.ask(host, path, self.world.now.mono);
                if got == *goes { Ok(()) } else { Err((format!("{goes:?}"), format!("{got:?}"))) }
            }
            Action::Refused(backend) => {
                let refused = self.world.plane.refuse(backend);
                if refused.is_empty() {
                    return Err((format!("an endpoint at {backend}"), "none".to_owned()));
                }
                for endpoint in refused {
                    self.world.input(session::Input::Refused(endpoint));
                }
                Ok(())
            }
            Action::Disk(works) => {
                self.world.disk = if *works { Disk::Works } else { Disk::Full };
                Ok(())
            }
            Action::Busy(busy) => {
                self.world.busy = *busy;
                self.world.settle();
                Ok(())
            }
            Action::Shutdown => {
                self.world.input(session::Input::Shutdown);
                Ok(())
            }
            Action::Restart => {
                self.quiet(None)?;
                self.world.restart();
                Ok(())
            }
        }
    }

    /// Nothing was told that was not expected, to one connection or to any.
    fn quiet(&self, only: Option<u64>) -> Result<(), Differs> {
        let mut clients = self.world.clients();
        let unread = clients.find_map(|(number, client)| {
            let asked = only.is_none_or(|only| only == number);
            client.peek().filter(|_| asked).map(|line| format!("{number}< {line}"))
        });
        match unread {
            None => Ok(()),
            Some(line) => Err(("nothing more".to_owned(), line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "1> REGISTER|api|api.1|9001|{}\n1< ACK|$sid\n";

    /// Each of these transcripts is wrong; a player that lets one pass tests nothing.
    #[test]
    fn what_is_wrong_fails_where_it_is_wrong() {
        #[rustfmt::skip]
        let table = [
            ("1> PING|$sid\n1< PANG",            4, "PANG",                 "PONG"),
            ("1> PING|$sid",                     4, "nothing more",         "1< PONG"),
            ("1> PING|$sid\n1< PONG\n1< PONG",   5, "PONG",                 "nothing"),
            ("1> PING|$sid\n+1s",                4, "nothing more",         "1< PONG"),
            ("1> PING|$sid\n1! lost",            4, "nothing more",         "1< PONG"),
            ("1! closed",                        3, "a closed connection",  "it is open"),
            ("? api.example / -> http://a",      3, "To([\"http://a\"])",   "NoRoute"),
            ("1> PING|$other",                   3, "$other to be bound",   "it is not"),
            ("refused http://a",                 3, "an endpoint at http://a", "none"),
        ];
        for (text, line, expected, got) in table {
            let failure = play(&format!("{BEGIN}{text}\n")).expect_err(text);
            let wanted = Failure { line, expected: expected.into(), got: got.into() };
            assert_eq!(failure, wanted, "{text}");
        }
    }
}
