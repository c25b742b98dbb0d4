//! A registry client as plain as they come: lines out, lines in.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::PATIENCE;

/// One connection to the registry.
#[derive(Debug)]
pub struct Registry {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    /// The session id of the last `ACK`.
    pub session: String,
}

impl Registry {
    /// Connects.
    ///
    /// # Panics
    ///
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the registry listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("a socket");
        let lines = BufReader::new(stream.try_clone().expect("a descriptor"));
        Self { stream, lines, session: String::new() }
    }

    /// Sends a line, with `$sid` replaced, and takes the next one that comes.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.line()
    }

    /// Sends a line, with `$sid` replaced.
    ///
    /// # Panics
    ///
    /// When the connection is gone.
    pub fn send(&mut self, line: &str) {
        let line = line.replace("$sid", &self.session) + "\n";
        self.stream.write_all(line.as_bytes()).expect("an open connection");
    }

    /// Takes the next line; empty at the end.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line in time");
        let line = line.trim_end_matches('\n').to_owned();
        // MAINT_ENTER is acknowledged too, with a transaction id that has no hyphen in tests.
        if let Some(session) = line.strip_prefix("ACK|").filter(|rest| rest.contains('-')) {
            session.clone_into(&mut self.session);
        }
        line
    }

    /// Sends a line and insists on the answer.
    ///
    /// # Panics
    ///
    /// When it is another one.
    pub fn expect(&mut self, line: &str, answer: &str) {
        let said = self.ask(line);
        assert_eq!(said, answer, "{line}");
    }

    /// Registers a v2 instance with routes and applies them. Nobody checks the health of their
    /// backends: they see the requests of the test and no others.
    ///
    /// # Panics
    ///
    /// When any of it is refused.
    pub fn serve(&mut self, service: &str, instance: &str, routes: &[(&str, &str, &str)]) {
        let ack = self.ask(&format!("REGISTER|{service}|{instance}|9|{{}}"));
        assert!(ack.starts_with("ACK|"), "{ack}");
        for (domain, path, backend) in routes {
            let ok = self.ask(&format!("ROUTE_ADD|$sid|{domain}|{path}|{backend}|0"));
            let route = ok.strip_prefix("ROUTE_OK|");
            let route = route.unwrap_or_else(|| panic!("{ok}"));
            self.expect(&format!("HEALTH_SET|$sid|{route}|off|30s|5s"), "HEALTH_OK");
        }
        self.expect("CONFIG_APPLY|$sid", "OK");
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// When the connection is gone.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("an open connection");
    }

    /// Ends the sending half.
    ///
    /// # Panics
    ///
    /// When the connection is gone.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("an open connection");
    }

    /// As [`Self::send`], to a server that may be killed: whether it went out.
    pub fn try_send(&mut self, line: &str) -> bool {
        let line = line.replace("$sid", &self.session) + "\n";
        self.stream.write_all(line.as_bytes()).is_ok()
    }

    /// As [`Self::line`], from a server that may be killed: a whole line, or nothing.
    pub fn try_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).ok()?;
        line.strip_suffix('\n').map(str::to_owned)
    }
}
