//! What somebody has to know.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

/// Longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 1024;

/// A token. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// A token of 1 to 1024 bytes that every protocol has a place for: without control characters,
    /// which end lines and fields, and without `|`, which ends an argument of the registry's.
    /// `None` for anything else.
    pub fn new(token: &str) -> Option<Self> {
        let fits = (1..=SECRET_BYTES_MAX).contains(&token.len());
        let speakable = !token.contains(|c: char| c == '|' || c.is_control());
        (fits && speakable).then(|| Self(token.into()))
    }

    /// Whether `shown` is it. Takes as long for a near miss as for a far one.
    pub fn admits(&self, shown: &str) -> bool {
        let (secret, shown) = (self.0.as_bytes(), shown.as_bytes());
        let differences = secret.iter().zip(shown).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
        secret.len() == shown.len() && differences == 0
    }
}

/// A token is not for logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_admitted() {
        let token = Secret::new("secret").unwrap();
        let table = [
            ("secret", true),
            ("secreT", false),
            ("secre", false),
            ("secrets", false),
            ("", false),
        ];
        for (shown, admitted) in table {
            assert_eq!(token.admits(shown), admitted, "{shown}");
        }
        assert_eq!(format!("{token:?}"), "Secret(…)");
    }

    #[test]
    fn a_token_fits_into_a_line() {
        assert!(Secret::new(&"x".repeat(SECRET_BYTES_MAX)).is_some());
        for bad in ["", "a|b", "a\nb", &"x".repeat(SECRET_BYTES_MAX + 1)] {
            assert!(Secret::new(bad).is_none(), "{bad:?}");
        }
    }
}
