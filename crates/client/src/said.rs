//! What a server says: lines, and which of them answer a command.

use model::RouteId;

/// Longest line a server may send: a compressed response is at most 1 MiB of base64 (SPEC 2.1),
/// and its verb and transaction id come before that.
const LINE_BYTES_MAX: usize = (1 << 20) + 1024;

/// One line from a server, without its line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said(Box<str>);

/// Characters of a foreign line that are shown.
const SHOWN_CHARS_MAX: usize = 80;

/// Whatever this server speaks, it is not the registry protocol. Reads on after that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaidError {
    /// No line feed came in time.
    #[error("it sent a line of more than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// These bytes are no line of it: the beginning of what they are, for people.
    #[error("it said \"{0}\"")]
    Foreign(Box<str>),
}

impl SaidError {
    pub(crate) fn foreign(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let shown: String = text.trim_end().chars().take(SHOWN_CHARS_MAX).collect();
        Self::Foreign(shown.escape_debug().to_string().into())
    }
}

impl Said {
    /// A line as it came.
    pub fn new(line: &str) -> Self {
        Self(line.into())
    }

    /// The whole line.
    pub fn line(&self) -> &str {
        &self.0
    }

    /// Its first field: `ACK`, `ROUTE_OK`, `ERROR`, ...
    pub fn verb(&self) -> &str {
        self.0.split_once('|').map_or(&self.0, |(verb, _)| verb)
    }

    /// All after its first pipe; empty without one.
    pub fn rest(&self) -> &str {
        self.0.split_once('|').map_or("", |(_, rest)| rest)
    }

    /// The reason, if it is an `ERROR`.
    pub fn error(&self) -> Option<&str> {
        (self.verb() == "ERROR").then(|| self.rest())
    }

    /// Whether it answers no command: `EVENT`, the server's `SHUTDOWN`, and v2's `MAINT_OK`, which
    /// names its target. v1's bare `MAINT_OK` is an answer.
    pub fn is_push(&self) -> bool {
        match self.verb() {
            "EVENT" | "SHUTDOWN" => true,
            "MAINT_OK" => self.0.contains('|'),
            _ => false,
        }
    }

    /// The ids in a `ROUTE_BULK_OK`, in order; `None` if it is none.
    pub(crate) fn bulk_ids(&self) -> Option<Vec<RouteId>> {
        let list = self.0.strip_prefix("ROUTE_BULK_OK|")?;
        let entries = list.split("\"route_id\":\"").skip(1);
        entries.map(|entry| RouteId::parse(entry.split_once('"')?.0)).collect()
    }
}

/// Cuts what a server sends into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Everything before was handed out.
    start: usize,
    /// No line feed stands before.
    searched: usize,
}

impl Lines {
    /// Takes what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line that is not empty.
    pub(crate) fn next_line(&mut self) -> Result<Option<Said>, SaidError> {
        while let Some(length) = self.bytes[self.searched..].iter().position(|b| *b == b'\n') {
            let end = self.searched + length;
            let line = &self.bytes[self.start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let text = std::str::from_utf8(line).map_err(|_| SaidError::foreign(line))?;
            if !text.is_empty() && !has_verb(text) {
                return Err(SaidError::foreign(line));
            }
            let said = (!text.is_empty()).then(|| Said::new(text));
            self.start = end + 1;
            self.searched = self.start;
            if said.is_some() {
                return Ok(said);
            }
        }
        self.searched = self.bytes.len();
        if self.searched - self.start > LINE_BYTES_MAX {
            return Err(SaidError::TooLong);
        }
        Ok(None)
    }

    /// What the bytes after the last line are, now that no more will come, if they cannot be a line
    /// that was cut off.
    pub(crate) fn foreign_rest(&self) -> Option<SaidError> {
        let rest = self.bytes.get(self.start..).filter(|rest| !rest.is_empty())?;
        let is_cut_off = std::str::from_utf8(rest)
            .is_ok_and(|text| has_verb(text) && !text.contains(char::is_control));
        (!is_cut_off).then(|| SaidError::foreign(rest))
    }
}

/// Whether a line begins as all of the protocol do: a verb in capitals, alone or before a pipe.
fn has_verb(line: &str) -> bool {
    let verb = line.split_once('|').map_or(line, |(verb, _)| verb);
    verb.starts_with(|first: char| first.is_ascii_uppercase())
        && verb.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        #[rustfmt::skip]
        let table = [
            // line                   verb        rest          error         push
            ("OK",                    "OK",       "",           None,         false),
            ("ACK|a-1-2-x",           "ACK",      "a-1-2-x",    None,         false),
            ("ERROR|route not found", "ERROR",    "route not found", Some("route not found"), false),
            ("EVENT|drained|{}",      "EVENT",    "drained|{}", None,         true),
            ("SHUTDOWN",              "SHUTDOWN", "",           None,         true),
            ("SHUTDOWN_OK",           "SHUTDOWN_OK", "",        None,         false),
            ("MAINT_OK|r1,r2",        "MAINT_OK", "r1,r2",      None,         true),
            ("MAINT_OK",              "MAINT_OK", "",           None,         false),
        ];
        for (line, verb, rest, error, push) in table {
            let said = Said::new(line);
            assert_eq!((said.verb(), said.rest(), said.error()), (verb, rest, error), "{line}");
            assert_eq!(said.is_push(), push, "{line}");
        }
    }

    #[test]
    fn ids_of_a_bulk() {
        let table: [(&str, Option<&[u64]>); 4] = [
            (
                r#"ROUTE_BULK_OK|[{"route_id":"r1","status":"ok"},{"route_id":"r20","status":"ok"}]"#,
                Some(&[1, 20]),
            ),
            ("ROUTE_BULK_OK|[]", Some(&[])),
            (r#"ROUTE_BULK_OK|[{"route_id":"x","status":"ok"}]"#, None),
            ("ROUTE_OK|r1", None),
        ];
        for (line, ids) in table {
            let ids = ids.map(|ids| ids.iter().copied().map(RouteId).collect::<Vec<_>>());
            assert_eq!(Said::new(line).bulk_ids(), ids, "{line}");
        }
    }

    #[test]
    fn bytes_become_lines_however_they_are_cut() {
        let bytes = "ACK|ä\r\n\n\r\nOK\nPON".as_bytes();
        for cut in 0..=bytes.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                lines.push(part);
                while let Some(said) = lines.next_line().unwrap() {
                    seen.push(said);
                }
            }
            assert_eq!(seen, [Said::new("ACK|ä"), Said::new("OK")], "cut at {cut}");
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_bound_and_no_longer() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; LINE_BYTES_MAX]);
        assert_eq!(lines.next_line(), Ok(None));
        lines.push(b"x");
        assert_eq!(lines.next_line(), Err(SaidError::TooLong));
        let mut lines = Lines::default();
        lines.push(b"\xff\n");
        assert_eq!(lines.next_line(), Err(SaidError::Foreign("\u{fffd}".into())));
    }
}
