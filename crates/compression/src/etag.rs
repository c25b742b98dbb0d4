//! Entity tags of coded responses.

/// The weak form of a strong entity tag: `"x"` becomes `W/"x"` (RFC 9110, 8.8.3).
///
/// `None` where nothing is to be done: the tag is weak already, or it is no entity tag and
/// passes as it came.
///
/// ```
/// # use proxyd_compression::weaken;
/// assert_eq!(weaken(b"\"x\"").as_deref(), Some(&b"W/\"x\""[..]));
/// assert_eq!(weaken(b"W/\"x\""), None);
/// ```
pub fn weaken(etag: &[u8]) -> Option<Vec<u8>> {
    let etag = etag.trim_ascii();
    let inner = etag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_tag = |b: &u8| matches!(b, 0x21 | 0x23..=0x7e | 0x80..);
    inner.iter().all(is_tag).then(|| [b"W/", etag].concat())
}

#[cfg(test)]
mod tests {
    use super::weaken;

    #[test]
    fn strong_tags_only() {
        #[rustfmt::skip]
        let table: &[(&str, Option<&str>)] = &[
            ("\"x\"",      Some("W/\"x\"")),
            ("\"\"",       Some("W/\"\"")),
            (" \"x\" ",    Some("W/\"x\"")),
            ("\"W/x\"",    Some("W/\"W/x\"")),
            ("W/\"x\"",    None),
            ("x",          None),
            ("\"",         None),
            ("",           None),
            ("\"a\", \"b\"", None),
            ("\"a b\"",    None),
        ];
        for (etag, want) in table {
            let got = weaken(etag.as_bytes());
            assert_eq!(got.as_deref(), want.map(str::as_bytes), "{etag}");
        }
    }
}
