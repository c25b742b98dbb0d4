//! Finding the end of a head, once per byte however the bytes arrive.

use memchr::memchr;

use crate::{HeadError, Limits};

/// How far the search for the blank line has come.
///
/// One per head: the calls for one growing buffer share it, so that a head that arrives byte
/// by byte is still looked at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Bytes already searched.
    seen: usize,
    /// Where the line being searched begins.
    line: usize,
    /// Bytes of the empty line before the head.
    skipped: usize,
}

/// Where a head lies in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where the start line begins: 0, or 2 after an empty line.
    pub(crate) start: usize,
    /// One past the blank line.
    pub(crate) end: usize,
}

/// What may come before the start line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// One empty line: some clients of old end a POST with it (RFC 9112, 2.2).
    EmptyLine,
    /// Nothing at all.
    Nothing,
}

impl Scan {
    /// Nothing searched yet.
    pub const fn new() -> Scan {
        Scan { seen: 0, line: 0, skipped: 0 }
    }

    /// Looks for the end of the head in what earlier calls have not seen, and starts over
    /// once it is found. Every line feed on the way must follow a carriage return.
    pub(crate) fn find(
        &mut self,
        buf: &[u8],
        before: Before,
        limits: &Limits,
    ) -> Result<Option<Found>, HeadError> {
        debug_assert!(self.seen <= buf.len(), "the buffer shrank: a new head needs a new Scan");
        let within = &buf[..buf.len().min(limits.head_bytes)];
        while let Some(at) = within.get(self.seen..).and_then(|rest| memchr(b'\n', rest)) {
            let feed = self.seen + at;
            if feed == self.line || within[feed - 1] != b'\r' {
                return Err(HeadError::LineEnding);
            }
            let empty = feed - self.line == 1;
            (self.seen, self.line) = (feed + 1, feed + 1);
            if !empty {
                continue;
            }
            if feed > 1 + self.skipped {
                let found = Found { start: self.skipped, end: feed + 1 };
                *self = Scan::new();
                return Ok(Some(found));
            }
            if before == Before::Nothing || self.skipped > 0 {
                return Err(HeadError::LeadingEmptyLine);
            }
            self.skipped = feed + 1;
        }
        if buf.len() >= limits.head_bytes {
            return Err(HeadError::HeadTooLong);
        }
        self.seen = buf.len();
        Ok(None)
    }

    /// Whether the start line is still incomplete, and where it begins.
    pub(crate) fn in_start_line(&self) -> Option<usize> {
        (self.line == self.skipped).then_some(self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::{Before, Found, Scan};
    use crate::{HeadError, Limits};

    /// Where a head begins and ends, if it does.
    type Ends = Result<Option<(usize, usize)>, HeadError>;

    fn find(buf: &[u8], before: Before) -> Ends {
        let found = Scan::new().find(buf, before, &Limits::STANDARD)?;
        Ok(found.map(|Found { start, end }| (start, end)))
    }

    #[test]
    fn ends() {
        use Before::{EmptyLine, Nothing};
        use HeadError::{LeadingEmptyLine, LineEnding};
        #[rustfmt::skip]
        let table: [(&[u8], Before, Ends); 17] = [
            // bytes                 before     where
            (b"",                    EmptyLine, Ok(None)),
            (b"a\r\n\r",             EmptyLine, Ok(None)),
            (b"a\r\n\r\n",           EmptyLine, Ok(Some((0, 5)))),
            (b"a\r\nb\r\n\r\nrest",  EmptyLine, Ok(Some((0, 8)))),
            (b"\r",                  EmptyLine, Ok(None)),
            (b"\r\n",                EmptyLine, Ok(None)),
            (b"\r\na\r\n\r\n",       EmptyLine, Ok(Some((2, 7)))),
            (b"\r\n\r\n",            EmptyLine, Err(LeadingEmptyLine)),
            (b"\r\n\r\na\r\n\r\n",   EmptyLine, Err(LeadingEmptyLine)),
            (b"\r\n",                Nothing,   Err(LeadingEmptyLine)),
            (b"\n",                  EmptyLine, Err(LineEnding)),
            (b"\r\n\n",              EmptyLine, Err(LineEnding)),
            (b"a\n",                 EmptyLine, Err(LineEnding)),
            (b"a\r\n\n",             EmptyLine, Err(LineEnding)),
            (b"a\r\nb\n\r\n",        EmptyLine, Err(LineEnding)),
            (b"a\n\r\n",             EmptyLine, Err(LineEnding)),
            (b"a\r\n\r\r\n\r\n",     EmptyLine, Ok(Some((0, 8)))),
        ];
        for (buf, before, wanted) in table {
            assert_eq!(find(buf, before), wanted, "{}", buf.escape_ascii());
        }
    }

    #[test]
    fn each_byte_is_seen_once() {
        let buf = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut scan = Scan::new();
        for end in 0..buf.len() {
            assert_eq!(scan.find(&buf[..end], Before::EmptyLine, &Limits::STANDARD), Ok(None));
            assert_eq!(scan.seen, end);
        }
        let found = scan.find(buf, Before::EmptyLine, &Limits::STANDARD);
        assert_eq!(found, Ok(Some(Found { start: 2, end: buf.len() })));
        assert_eq!(scan, Scan::new());
    }

    #[test]
    fn a_head_may_be_as_long_as_the_limit_and_no_longer() {
        let limits = Limits { head_bytes: 8, ..Limits::STANDARD };
        let find = |buf: &[u8]| Scan::new().find(buf, Before::EmptyLine, &limits);
        assert!(matches!(find(b"1234\r\n\r\nbody"), Ok(Some(Found { end: 8, .. }))));
        assert_eq!(find(b"12345\r\n"), Ok(None));
        assert_eq!(find(b"12345\r\n\r"), Err(HeadError::HeadTooLong));
        assert_eq!(find(b"12345\r\n\r\n"), Err(HeadError::HeadTooLong));
    }
}
