//! Why a head is refused.

/// Why a head is refused. The text is for a person and repeats nothing the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The request target is longer than [`Limits::target_bytes`](crate::Limits).
    #[error("the request target is too long")]
    TargetTooLong,
    /// The head is longer than [`Limits::head_bytes`](crate::Limits).
    #[error("the head is too long")]
    HeadTooLong,
    /// More fields than [`Limits::fields`](crate::Limits).
    #[error("the head has too many fields")]
    TooManyFields,
    /// The request line is no `METHOD target HTTP/1.1`.
    #[error("the request line is not `METHOD target HTTP/1.1` with single spaces")]
    RequestLine,
    /// The status line is no `HTTP/1.1 200 reason`.
    #[error("the status line is not `HTTP/1.1 200 reason`")]
    StatusLine,
    /// A version of HTTP other than 1.0 and 1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version,
    /// The method is longer than any in use.
    #[error("the method is too long")]
    MethodTooLong,
    /// An empty line before a response, or more than one before a request.
    #[error("empty lines before the head")]
    LeadingEmptyLine,
    /// A carriage return or a line feed alone.
    #[error("a line must end in CR LF, and neither may occur alone")]
    LineEnding,
    /// The target has none of the four forms, or not the one of its method.
    #[error("the request target {0}")]
    Target(&'static str),
    /// A field line has no name, or a byte in it that names cannot have.
    #[error("a field name is not a token")]
    FieldName,
    /// White space between a field name and its colon.
    #[error("white space between a field name and its colon")]
    SpaceBeforeColon,
    /// A field continued on the next line.
    #[error("a field is folded over two lines")]
    Folded,
    /// A control character in a field value.
    #[error("a control character in a field value")]
    FieldValue,
    /// HTTP/1.1 without `Host`.
    #[error("Host is missing")]
    HostMissing,
    /// `Host` twice.
    #[error("Host is there more than once")]
    HostRepeated,
    /// `Host` is empty or no `host:port`.
    #[error("Host is not a host name or address with an optional port")]
    HostInvalid,
    /// `Host` names another host than the target.
    #[error("Host and the request target name different hosts")]
    HostMismatch,
    /// `Content-Length` is not one decimal number below 2^63.
    #[error("Content-Length is not one decimal number")]
    LengthInvalid,
    /// `Content-Length` twice, be it with the same value.
    #[error("Content-Length is there more than once")]
    LengthRepeated,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    LengthAndEncoding,
    /// `Transfer-Encoding` has other codings before `chunked`.
    #[error("Transfer-Encoding has codings other than `chunked`")]
    EncodingUnknown,
    /// `Transfer-Encoding` does not end in one `chunked`.
    #[error("Transfer-Encoding is not `chunked`")]
    EncodingInvalid,
    /// `Transfer-Encoding` twice.
    #[error("Transfer-Encoding is there more than once")]
    EncodingRepeated,
    /// `Transfer-Encoding` in HTTP/1.0.
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    EncodingInHttp10,
    /// A framing field spelled with an underscore.
    #[error("a framing field is spelled with an underscore")]
    FramingUnderscore,
    /// `Connection` is no list of tokens.
    #[error("Connection is not a list of names")]
    ConnectionInvalid,
    /// `Connection` is longer than anyone needs.
    #[error("Connection names too many fields")]
    TooManyNominated,
    /// A field about the connection, where there are streams (RFC 9113, 8.2.2).
    #[error("a field that only HTTP/1 has")]
    ConnectionSpecific,
    /// `Expect` asks for something other than `100-continue`.
    #[error("Expect is not `100-continue`")]
    Expectation,
}

impl HeadError {
    /// The status to answer a request with; the answer to a response is 502, always.
    pub const fn status(self) -> u16 {
        match self {
            HeadError::TargetTooLong => 414,
            HeadError::HeadTooLong | HeadError::TooManyFields => 431,
            HeadError::Expectation => 417,
            HeadError::MethodTooLong | HeadError::EncodingUnknown => 501,
            HeadError::Version => 505,
            HeadError::RequestLine
            | HeadError::StatusLine
            | HeadError::LeadingEmptyLine
            | HeadError::LineEnding
            | HeadError::Target(_)
            | HeadError::FieldName
            | HeadError::SpaceBeforeColon
            | HeadError::Folded
            | HeadError::FieldValue
            | HeadError::HostMissing
            | HeadError::HostRepeated
            | HeadError::HostInvalid
            | HeadError::HostMismatch
            | HeadError::LengthInvalid
            | HeadError::LengthRepeated
            | HeadError::LengthAndEncoding
            | HeadError::EncodingInvalid
            | HeadError::EncodingRepeated
            | HeadError::EncodingInHttp10
            | HeadError::FramingUnderscore
            | HeadError::ConnectionInvalid
            | HeadError::TooManyNominated
            | HeadError::ConnectionSpecific => 400,
        }
    }

    /// Puts into words why httparse refused `head`, a head that ends in a blank line.
    #[cold]
    pub(crate) fn diagnose(head: &[u8], error: httparse::Error, line: HeadError) -> HeadError {
        if memchr::memchr_iter(b'\r', head).any(|at| head.get(at + 1) != Some(&b'\n')) {
            return HeadError::LineEnding;
        }
        match error {
            httparse::Error::TooManyHeaders => HeadError::TooManyFields,
            httparse::Error::HeaderValue => HeadError::FieldValue,
            httparse::Error::HeaderName => bad_name(head),
            httparse::Error::Version if has_other_version(head) => HeadError::Version,
            httparse::Error::Version
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token => line,
        }
    }
}

/// What is wrong with the first field line whose name is no token.
fn bad_name(head: &[u8]) -> HeadError {
    for line in head.split(|b| *b == b'\n').skip(1) {
        match line.iter().position(|b| !is_token(*b)) {
            Some(0) if matches!(line[0], b' ' | b'\t') => return HeadError::Folded,
            Some(at) if matches!(line[at], b' ' | b'\t') && at > 0 => {
                return HeadError::SpaceBeforeColon;
            }
            Some(_) | None => {}
        }
    }
    HeadError::FieldName
}

/// Whether a word of the start line is a version of HTTP we do not speak.
fn has_other_version(head: &[u8]) -> bool {
    let line = head.split(|b| *b == b'\r').next().unwrap_or(head);
    line.split(|b| *b == b' ').any(|word| match word.strip_prefix(b"HTTP/") {
        Some(b"1.0" | b"1.1") | None => false,
        Some(version) => matches!(version, [b'0'..=b'9'] | [b'0'..=b'9', b'.', b'0'..=b'9']),
    })
}

/// Whether `byte` may occur in a token (RFC 9110, 5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
            | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
            | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    )
}
