//! `regctl raw`: lines of the protocol as they are.

use std::io::BufRead;

use client::Connection;
use tokio::sync::mpsc;

use crate::args::{Global, RawArgs};
use crate::events::Stop;
use crate::failure::Failure;
use crate::output::Output;
use crate::reach::{reach, registry};

/// Lines read ahead from the standard input.
const LINES_MAX: usize = 64;

pub(crate) async fn run(global: &Global, args: &RawArgs, output: &Output) -> Result<(), Failure> {
    let (connection, sid) = if global.session.is_some() || global.register.is_some() {
        let reached = reach(global, None).await?;
        (reached.connection, Some(reached.session))
    } else {
        (registry(global).await?, None)
    };
    let mut raw = Raw { connection, sid, first_refusal: None, output };
    let mut lines = source(args);
    while let Some(line) = raw.next_line(&mut lines, args.follow).await? {
        raw.send(&line).await?;
    }
    if args.follow {
        raw.follow().await?;
    }
    if global.register.is_some()
        && let Some(sid) = &raw.sid
    {
        // The script may have said goodbye already.
        drop(raw.connection.ask(&format!("CLIENT_SHUTDOWN|{sid}")).await);
    }
    raw.first_refusal.map_or(Ok(()), |reason| Err(Failure::Refused(reason)))
}

struct Raw<'a> {
    connection: Connection,
    /// The session of the last ACK.
    sid: Option<String>,
    first_refusal: Option<String>,
    output: &'a Output,
}

impl Raw<'_> {
    /// The next line to send. Meanwhile prints what comes unasked, if that is wanted.
    async fn next_line(
        &mut self,
        lines: &mut mpsc::Receiver<String>,
        follow: bool,
    ) -> Result<Option<String>, Failure> {
        loop {
            tokio::select! {
                biased;
                line = lines.recv() => return Ok(line),
                pushed = self.connection.next_push(), if follow => match pushed? {
                    Some(said) => self.output.line(&said)?,
                    None => return Err(closed()),
                },
            }
        }
    }

    async fn send(&mut self, line: &str) -> Result<(), Failure> {
        let line = with_session(line, self.sid.as_deref())?;
        let Some(said) = self.connection.ask(&line).await? else { return Ok(()) };
        if said.verb() == "ACK" && !said.rest().is_empty() && line.starts_with("REGISTER|") {
            self.sid = Some(said.rest().to_owned());
        }
        if let Some(reason) = said.error() {
            self.first_refusal.get_or_insert_with(|| reason.to_owned());
        }
        self.output.line(&said)
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        let mut stop = Stop::new()?;
        loop {
            tokio::select! {
                pushed = self.connection.next_push() => match pushed? {
                    Some(said) => self.output.line(&said)?,
                    None => return Err(closed()),
                },
                () = stop.asked() => return Ok(()),
            }
        }
    }
}

fn closed() -> Failure {
    Failure::Unreachable("the server closed the connection".to_owned())
}

/// Puts the session id where a line asks for it.
fn with_session(line: &str, sid: Option<&str>) -> Result<String, Failure> {
    if !line.contains("$sid") && !line.contains("{sid}") {
        return Ok(line.to_owned());
    }
    let none = "$sid stands in a line before any ACK; REGISTER first, or give --session or \
                --register";
    let sid = sid.ok_or_else(|| Failure::Usage(none.to_owned()))?;
    Ok(line.replace("$sid", sid).replace("{sid}", sid))
}

/// The lines to send, as they come.
fn source(args: &RawArgs) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    let given = args.lines.clone();
    // A thread, for reading the standard input blocks. It ends with its input or with us.
    std::thread::spawn(move || {
        if !given.is_empty() {
            return given.into_iter().try_for_each(|line| sender.blocking_send(line)).is_ok();
        }
        let typed = std::io::stdin().lock().lines();
        typed.map_while(Result::ok).try_for_each(|line| sender.blocking_send(line)).is_ok()
    });
    receiver
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex};

    use super::*;

    #[test]
    fn the_session_id_is_put_in() {
        let table = [
            ("PING|$sid", Some("s"), Some("PING|s")),
            ("PING|{sid}", Some("s"), Some("PING|s")),
            ("PING|x", None, Some("PING|x")),
            ("PING|$sid", None, None),
        ];
        for (line, sid, sent) in table {
            assert_eq!(with_session(line, sid).ok().as_deref(), sent, "{line}");
        }
    }

    #[tokio::test]
    async fn later_lines_use_the_ack_and_the_first_error_counts() {
        let (ours, theirs) = duplex(256);
        let connection = Connection::over(ours, Duration::from_secs(5));
        let output = Output::new(true);
        let mut raw = Raw { connection, sid: None, first_refusal: None, output: &output };
        let script = [
            ("REGISTER|a|b|0|", "REGISTER|a|b|0|", "ACK|s-1\n"),
            ("MAINT_ENTER|$sid|ALL|", "MAINT_ENTER|s-1|ALL|", "ACK\n"),
            ("ROUTE_REMOVE|$sid|r9", "ROUTE_REMOVE|s-1|r9", "ERROR|route not found\n"),
            ("FOO|$sid", "FOO|s-1", "ERROR|unknown command: FOO\n"),
        ];
        let server = async {
            let mut stream = BufReader::new(theirs);
            for (_, expected, answer) in script {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                assert_eq!(line.trim_end(), expected);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let typing = async {
            for (typed, _, _) in script {
                raw.send(typed).await.unwrap();
            }
        };
        tokio::join!(server, typing);
        assert_eq!(raw.first_refusal.as_deref(), Some("route not found"));
    }
}
