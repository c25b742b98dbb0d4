//! Paths: one model for matching, limiting and forwarding (SPEC 3 and 12).
//!
//! A request path is compared in its normal form: escapes of unreserved characters resolved, the
//! other escapes in upper case, dot segments removed. It is forwarded as it came, except that dot
//! segments are resolved. `%2F` is data and never separates. What could be read in two ways is
//! refused.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

/// Longest path of a route, in bytes.
const ROUTE_PATH_BYTES_MAX: usize = 4096;

/// Why a path is refused. Reads on after the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Does not begin with a slash.
    #[error("must begin with /")]
    NoSlash,
    /// Longer than a route's path may be.
    #[error("must be at most {ROUTE_PATH_BYTES_MAX} bytes long")]
    TooLong,
    /// A `%` without two hexadecimal digits after it.
    #[error("must hold % only before two hexadecimal digits")]
    Escape,
    /// A byte that is none of RFC 3986's: controls, space, backslash, fragment, non-ASCII; or
    /// an escaped NUL.
    #[error("must hold no spaces, backslashes, control characters, # or %00")]
    Character,
    /// `..` above the root.
    #[error("must not lead above the root")]
    AboveRoot,
}

/// How a route's path is compared (SPEC 3). The order is the order of precedence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchKind {
    /// The whole path.
    Exact,
    /// By whole segments: `/api` takes `/api` and `/api/x`, not `/apix`.
    #[default]
    Prefix,
    /// By whole segments of the path as it was sent, nothing normalised.
    Raw,
}

/// The path of a route, as it was staged, checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutePath(Box<str>);

impl RoutePath {
    /// Checks a route's path.
    ///
    /// # Errors
    ///
    /// [`PathError`], saying what was wanted.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > ROUTE_PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if text.contains('?') {
            return Err(PathError::Character);
        }
        normalize_path(text.as_bytes())?;
        Ok(Self(text.into()))
    }

    /// The path as it was staged.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text that requests are compared with: `/api/` means `/api` for the two prefix kinds.
    pub fn compared(&self, kind: MatchKind) -> Cow<'_, str> {
        let text = match kind {
            MatchKind::Raw => Cow::Borrowed(&*self.0),
            // Checked by `parse`.
            MatchKind::Exact | MatchKind::Prefix => normalize_path(self.0.as_bytes())
                .map_or(Cow::Borrowed(&*self.0), |path| path.compared),
        };
        match (kind, text.len()) {
            (MatchKind::Exact, _) | (_, 1) => text,
            (MatchKind::Prefix | MatchKind::Raw, _) => match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('/').unwrap_or(text)),
                Cow::Owned(mut text) => {
                    if text.ends_with('/') {
                        text.pop();
                    }
                    Cow::Owned(text)
                }
            },
        }
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request's path in both its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath<'a> {
    /// For comparing.
    pub compared: Cow<'a, str>,
    /// For forwarding.
    pub forwarded: Cow<'a, str>,
}

impl NormalPath<'_> {
    /// The same, its first segment compared as a name: decoded once, in whatever case and with
    /// whatever escapes it is written. What is forwarded stays.
    #[must_use]
    pub fn by_name(self) -> Self {
        let inner = self.compared.strip_prefix('/').unwrap_or_default();
        let (segment, rest) = inner.split_at(inner.find('/').unwrap_or(inner.len()));
        let name = name_segment(&decoded(segment));
        if name == segment {
            return self;
        }
        Self { compared: Cow::Owned(format!("/{name}{rest}")), forwarded: self.forwarded }
    }

    /// What is forwarded without a prefix, if the path is under it by whole segments, however they
    /// are spelled: the whole of it otherwise.
    pub fn without(&self, prefix: &str) -> &str {
        let Ok(prefix) = normalize_path(prefix.as_bytes()) else { return &self.forwarded };
        let prefix = prefix.compared.strip_suffix('/').unwrap_or(&prefix.compared);
        let is_under = self
            .compared
            .strip_prefix(prefix)
            .is_some_and(|left| left.is_empty() || left.starts_with('/'));
        if !is_under {
            return &self.forwarded;
        }
        // No escape stands for a slash, so both forms have the same segments.
        let mut slashes = self.forwarded.match_indices('/').map(|(at, _)| at);
        let at = slashes.nth(prefix.matches('/').count()).unwrap_or(self.forwarded.len());
        self.forwarded.get(at..).unwrap_or_default()
    }
}

/// The one spelling of a name as a segment of a path: ASCII letters in lower case, all but
/// unreserved characters escaped (RFC 3986, section 2.3). `.` and `..` cannot be told in a path.
pub fn name_segment(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name {
        if is_unreserved(*byte) {
            out.push(char::from(byte.to_ascii_lowercase()));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The bytes of a segment whose escapes are whole.
fn decoded(segment: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = tail.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = escape.and_then(|digits| str::from_utf8(digits).ok());
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Reads a request's path, without its query. Allocates only when something had to change.
///
/// # Errors
///
/// [`PathError`]; the request is answered 400.
pub fn normalize_path(path: &[u8]) -> Result<NormalPath<'_>, PathError> {
    if path.first() != Some(&b'/') {
        return Err(PathError::NoSlash);
    }
    let mut plain = true;
    let mut after_slash = false;
    for (at, byte) in path.iter().enumerate() {
        match byte {
            b'%' => {
                plain = false;
                let digits = path.get(at + 1..at + 3).ok_or(PathError::Escape)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(PathError::Escape);
                }
                if digits == b"00" {
                    return Err(PathError::Character);
                }
            }
            b'.' if after_slash => plain = false,
            b'#' | b'\\' => return Err(PathError::Character),
            0x21..=0x7e => {}
            _ => return Err(PathError::Character),
        }
        after_slash = *byte == b'/';
    }
    // Only ASCII is left.
    let text = std::str::from_utf8(path).map_err(|_| PathError::Character)?;
    if plain {
        return Ok(NormalPath { compared: Cow::Borrowed(text), forwarded: Cow::Borrowed(text) });
    }
    let forwarded = without_dot_segments(text)?;
    let compared = match unescaped(&forwarded) {
        Some(compared) => Cow::Owned(compared),
        None => forwarded.clone(),
    };
    Ok(NormalPath { compared, forwarded })
}

/// RFC 3986, section 5.2.4, on segments that may be spelled with escapes; a step above the root
/// is refused instead of ignored.
fn without_dot_segments(path: &str) -> Result<Cow<'_, str>, PathError> {
    if !path.split('/').any(|segment| dots(segment) > 0) {
        return Ok(Cow::Borrowed(path));
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match dots(segment) {
            0 => {
                kept.push(segment);
                continue;
            }
            1 => {}
            _ => drop(kept.pop().ok_or(PathError::AboveRoot)?),
        }
        if last {
            kept.push("");
        }
    }
    Ok(Cow::Owned(kept.iter().flat_map(|segment| ["/", segment]).collect()))
}

/// 1 for a `.` segment, 2 for `..`, however they are spelled; 0 for any other.
fn dots(segment: &str) -> usize {
    let mut rest = segment;
    for count in 0..=2 {
        if rest.is_empty() {
            return count;
        }
        let Some(next) = rest
            .strip_prefix('.')
            .or_else(|| rest.strip_prefix("%2e"))
            .or_else(|| rest.strip_prefix("%2E"))
        else {
            return 0;
        };
        rest = next;
    }
    0
}

/// Escapes of unreserved characters (RFC 3986, section 2.3) resolved, the others in upper case;
/// `None` when there is none to change.
fn unescaped(path: &str) -> Option<String> {
    if !path.contains('%') {
        return None;
    }
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (digits, tail) = after.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&digits.to_ascii_uppercase());
        }
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_paths() {
        let table = [
            // sent             compared        forwarded
            ("/", "/", "/"),
            ("/a/b", "/a/b", "/a/b"),
            ("/a//b", "/a//b", "/a//b"),
            ("/a/", "/a/", "/a/"),
            ("/%41%2d", "/A-", "/%41%2d"),
            ("/a%2fb", "/a%2Fb", "/a%2fb"),
            ("/a%5cb", "/a%5Cb", "/a%5cb"),
            ("/a/./b", "/a/b", "/a/b"),
            ("/a/../b", "/b", "/b"),
            ("/a/..", "/", "/"),
            ("/a/.", "/a/", "/a/"),
            ("/a/%2e%2E/b", "/b", "/b"),
            ("/a%20b/.%2e/c", "/c", "/c"),
            ("/.a/..b/...", "/.a/..b/...", "/.a/..b/..."),
            ("/%7euser/%41", "/~user/A", "/%7euser/%41"),
        ];
        for (sent, compared, forwarded) in table {
            let path = normalize_path(sent.as_bytes()).unwrap();
            assert_eq!((&*path.compared, &*path.forwarded), (compared, forwarded), "{sent}");
        }
    }

    #[test]
    fn first_segments_as_names() {
        let table = [
            // sent                compared            without the name
            ("/", "/", "/"),
            ("/web", "/web", ""),
            ("/WEB/x", "/web/x", "/x"),
            ("/%57e%62/%41", "/web/A", "/%41"),
            ("/%C3%BCmlaut/x", "/%C3%BCmlaut/x", "/x"),
            ("/a%2fb/c", "/a%2Fb/c", "/c"),
            ("/a:b%3aC/", "/a%3Ab%3Ac/", "/"),
            ("/sp%2520x", "/sp%2520x", ""),
            ("//x", "//x", "//x"),
            ("/x/../Web/y", "/web/y", "/y"),
        ];
        for (sent, compared, left) in table {
            let path = normalize_path(sent.as_bytes()).unwrap().by_name();
            assert_eq!(path.compared, compared, "{sent}");
            let end = compared.match_indices('/').nth(1).map_or(compared.len(), |(at, _)| at);
            assert_eq!(path.without(&compared[..end]), left, "{sent}");
        }
        assert_eq!(name_segment("Ä%/a".as_bytes()), "%C3%84%25%2Fa");
    }

    #[test]
    fn prefixes_end_at_segments() {
        let table = [
            ("/api/x", "/api", "/x"),
            ("/api", "/api", ""),
            ("/api/", "/api/", "/"),
            ("/apix", "/api", "/apix"),
            ("/x", "/", "/x"),
            ("/%61pi/%41", "/api", "/%41"),
            ("/api/x", "/%61pi", "/x"),
            ("/a%2fb/x", "/a%2Fb", "/x"),
            ("/a%2fb/x", "/a", "/a%2fb/x"),
            ("/a//b/c", "/a//b", "/c"),
            ("/b/../a/c", "/a", "/c"),
        ];
        for (path, prefix, left) in table {
            let normal = normalize_path(path.as_bytes()).unwrap();
            assert_eq!(normal.without(prefix), left, "{path} {prefix}");
        }
    }

    #[test]
    fn refused_paths() {
        let table: [(&[u8], PathError); 12] = [
            (b"", PathError::NoSlash),
            (b"a", PathError::NoSlash),
            (b"/..", PathError::AboveRoot),
            (b"/a/../..", PathError::AboveRoot),
            (b"/%2e%2e/a", PathError::AboveRoot),
            (b"/%", PathError::Escape),
            (b"/%4", PathError::Escape),
            (b"/%zz", PathError::Escape),
            (b"/%00", PathError::Character),
            (b"/a\\b", PathError::Character),
            (b"/a#b", PathError::Character),
            (b"/\xc3\xa4", PathError::Character),
        ];
        for (path, error) in table {
            assert_eq!(normalize_path(path), Err(error), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn route_paths() {
        let table = [
            ("/api/", MatchKind::Prefix, "/api"),
            ("/api", MatchKind::Prefix, "/api"),
            ("/", MatchKind::Prefix, "/"),
            ("/api/", MatchKind::Exact, "/api/"),
            ("/%61pi/", MatchKind::Prefix, "/api"),
            ("/%61pi/", MatchKind::Raw, "/%61pi"),
        ];
        for (path, kind, compared) in table {
            assert_eq!(RoutePath::parse(path).unwrap().compared(kind), compared, "{path} {kind:?}");
        }
        assert_eq!(RoutePath::parse("/a?b"), Err(PathError::Character));
        assert_eq!(RoutePath::parse(&format!("/{}", "x".repeat(4096))), Err(PathError::TooLong));
        assert!(RoutePath::parse(&format!("/{}", "x".repeat(4095))).is_ok());
    }

    proptest::proptest! {
        /// Normalising twice changes nothing, and no reading leads above the root.
        #[test]
        fn normal_is_normal(path in "/[a-c.%2eEfF/]{0,20}") {
            if let Ok(once) = normalize_path(path.as_bytes()) {
                let compared = once.compared.into_owned();
                let twice = normalize_path(compared.as_bytes()).unwrap();
                proptest::prop_assert_eq!(&*twice.compared, &*compared);
                proptest::prop_assert!(!compared.split('/').any(|s| s == ".." || s == "."));
            }
        }
    }
}
