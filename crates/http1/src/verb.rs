//! The methods whose meaning a proxy has to know.

/// A request method, as far as it changes what a proxy does. Copy it out of the head: the
/// framing of the response depends on it.
///
/// Methods are case-sensitive (RFC 9110, 9.1): `get` is [`Verb::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Verb {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Connect,
    Trace,
    /// Any other token.
    Other,
}

impl Verb {
    /// Reads a method token.
    pub fn of(method: &[u8]) -> Verb {
        match method {
            b"GET" => Verb::Get,
            b"HEAD" => Verb::Head,
            b"POST" => Verb::Post,
            b"PUT" => Verb::Put,
            b"DELETE" => Verb::Delete,
            b"OPTIONS" => Verb::Options,
            b"PATCH" => Verb::Patch,
            b"CONNECT" => Verb::Connect,
            b"TRACE" => Verb::Trace,
            _ => Verb::Other,
        }
    }

    /// Whether asking twice is the same as asking once (RFC 9110, 9.2.2), so that a request
    /// may be sent again after a connection broke.
    pub const fn is_idempotent(self) -> bool {
        match self {
            Verb::Put | Verb::Delete => true,
            Verb::Post | Verb::Patch | Verb::Connect | Verb::Other => false,
            Verb::Get | Verb::Head | Verb::Options | Verb::Trace => true,
        }
    }

    /// Whether the request only reads (RFC 9110, 9.2.1).
    pub const fn is_safe(self) -> bool {
        match self {
            Verb::Get | Verb::Head | Verb::Options | Verb::Trace => true,
            Verb::Post | Verb::Put | Verb::Delete | Verb::Patch | Verb::Connect | Verb::Other => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verb;

    #[test]
    fn methods() {
        #[rustfmt::skip]
        let table: [(&[u8], Verb, bool, bool); 13] = [
            // method     verb           safe   idempotent
            (b"GET",      Verb::Get,     true,  true),
            (b"HEAD",     Verb::Head,    true,  true),
            (b"OPTIONS",  Verb::Options, true,  true),
            (b"TRACE",    Verb::Trace,   true,  true),
            (b"PUT",      Verb::Put,     false, true),
            (b"DELETE",   Verb::Delete,  false, true),
            (b"POST",     Verb::Post,    false, false),
            (b"PATCH",    Verb::Patch,   false, false),
            (b"CONNECT",  Verb::Connect, false, false),
            (b"PROPFIND", Verb::Other,   false, false),
            (b"get",      Verb::Other,   false, false),
            (b"GETX",     Verb::Other,   false, false),
            (b"",         Verb::Other,   false, false),
        ];
        for (method, verb, safe, idempotent) in table {
            let name = String::from_utf8_lossy(method);
            assert_eq!(Verb::of(method), verb, "{name}");
            assert_eq!(verb.is_safe(), safe, "{name}");
            assert_eq!(verb.is_idempotent(), idempotent, "{name}");
        }
    }
}
