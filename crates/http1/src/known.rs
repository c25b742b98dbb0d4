//! Field names that mean something to a proxy, told apart without a hash.

/// A field name proxyd acts upon, or [`Known::Other`].
///
/// Case does not matter. An underscore counts as a hyphen: behind CGI and its descendants
/// `X_Forwarded_For` is the same variable as `X-Forwarded-For`, so whoever drops one must
/// drop both. In the two fields that frame a body it is refused outright.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Known {
    Other,
    AcceptEncoding,
    Authorization,
    CacheControl,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentRange,
    ContentType,
    Cookie,
    Date,
    Expect,
    Forwarded,
    Host,
    KeepAlive,
    Proxy,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    Server,
    SetCookie,
    Te,
    Traceparent,
    Tracestate,
    Trailer,
    TransferEncoding,
    Upgrade,
    Via,
    XForwardedClientCert,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    XRealIp,
    XRequestId,
}

impl Known {
    /// Every variant but [`Known::Other`] with its name in lower case, shortest first.
    pub const NAMES: [(&'static [u8], Known); 34] = [
        (b"te", Known::Te),
        (b"via", Known::Via),
        (b"date", Known::Date),
        (b"host", Known::Host),
        (b"proxy", Known::Proxy),
        (b"cookie", Known::Cookie),
        (b"expect", Known::Expect),
        (b"server", Known::Server),
        (b"trailer", Known::Trailer),
        (b"upgrade", Known::Upgrade),
        (b"forwarded", Known::Forwarded),
        (b"x-real-ip", Known::XRealIp),
        (b"connection", Known::Connection),
        (b"keep-alive", Known::KeepAlive),
        (b"set-cookie", Known::SetCookie),
        (b"tracestate", Known::Tracestate),
        (b"traceparent", Known::Traceparent),
        (b"content-type", Known::ContentType),
        (b"x-request-id", Known::XRequestId),
        (b"authorization", Known::Authorization),
        (b"cache-control", Known::CacheControl),
        (b"content-range", Known::ContentRange),
        (b"content-length", Known::ContentLength),
        (b"accept-encoding", Known::AcceptEncoding),
        (b"x-forwarded-for", Known::XForwardedFor),
        (b"content-encoding", Known::ContentEncoding),
        (b"proxy-connection", Known::ProxyConnection),
        (b"x-forwarded-host", Known::XForwardedHost),
        (b"x-forwarded-port", Known::XForwardedPort),
        (b"transfer-encoding", Known::TransferEncoding),
        (b"x-forwarded-proto", Known::XForwardedProto),
        (b"proxy-authenticate", Known::ProxyAuthenticate),
        (b"proxy-authorization", Known::ProxyAuthorization),
        (b"x-forwarded-client-cert", Known::XForwardedClientCert),
    ];

    /// Classifies a field name: by its length, then against the few names of that length.
    pub fn of(name: &[u8]) -> Known {
        let Some(&[from, to]) = BY_LEN.get(name.len()) else { return Known::Other };
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        for (candidate, known) in &Known::NAMES[usize::from(from)..usize::from(to)] {
            if candidate[0] == first && same(name, candidate) {
                return *known;
            }
        }
        Known::Other
    }

    /// Whether the field is for the next hop alone and never forwarded as it came.
    ///
    /// RFC 9110, 7.6.1, and three more: the two credentials of a forward proxy, which we are
    /// not, and `Proxy`, which CGI programs take for the address of one.
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Known::Connection
                | Known::KeepAlive
                | Known::Proxy
                | Known::ProxyAuthenticate
                | Known::ProxyAuthorization
                | Known::ProxyConnection
                | Known::Te
                | Known::TransferEncoding
                | Known::Upgrade
        )
    }
}

/// For each length of a name, which part of [`Known::NAMES`] has it.
const BY_LEN: [[u8; 2]; 24] = {
    let mut table = [[0; 2]; 24];
    let mut at = 0;
    while at < Known::NAMES.len() {
        let len = Known::NAMES[at].0.len();
        assert!(at == 0 || Known::NAMES[at - 1].0.len() <= len, "shortest first");
        if table[len][1] == 0 {
            table[len][0] = at as u8;
        }
        table[len][1] = at as u8 + 1;
        at += 1;
    }
    table
};

/// Whether `name` is `lower`, ignoring case and taking underscores for hyphens. In a token, case
/// is one bit of a letter, and what else has it is neither a letter nor a hyphen.
fn same(name: &[u8], lower: &[u8]) -> bool {
    const CASE: u8 = b'a' ^ b'A';
    name.iter().zip(lower).all(|(n, l)| n | CASE == *l || (*n == b'_' && *l == b'-'))
}

#[cfg(test)]
mod tests {
    use super::Known;

    #[test]
    fn every_name_is_found_in_any_case() {
        for (name, known) in Known::NAMES {
            assert_eq!(Known::of(name), known);
            assert_eq!(Known::of(&name.to_ascii_uppercase()), known);
            let underscored: Vec<u8> =
                name.iter().map(|b| if *b == b'-' { b'_' } else { *b }).collect();
            assert_eq!(Known::of(&underscored), known);
        }
    }

    #[test]
    fn nothing_else_is_found() {
        for (name, _) in Known::NAMES {
            assert_eq!(Known::of(&name[1..]), Known::Other);
            assert_eq!(Known::of(&[name, b"s"].concat()), Known::Other);
            for at in 0..name.len() {
                let mut other = name.to_vec();
                other[at] = b'!';
                assert_eq!(Known::of(&other), Known::Other);
            }
        }
        assert_eq!(Known::of(b""), Known::Other);
        assert_eq!(Known::of(&[b'a'; 300]), Known::Other);
    }
}
