//! The laws of this crate, for any bytes: run by the fuzz targets, and by a test over their
//! corpus.

use crate::{Dialect, Framer, LINE_BYTES_MAX, decode, encode_line};

/// However a stream is cut, the framer gives the same lines and holds less than one.
///
/// # Panics
///
/// When that is not so.
pub fn framer(data: &[u8]) {
    let (cut, data) = data.split_first().unwrap_or((&1, data));
    let lines = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut framer = Framer::new();
        let mut lines = Vec::new();
        for piece in pieces {
            framer.push(piece);
            lines.extend(std::iter::from_fn(|| framer.next_line()));
        }
        lines
    };
    let whole = lines(&mut std::iter::once(data));
    let pieces = lines(&mut data.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, pieces, "lines depend on how they came");
    for line in whole.into_iter().flatten() {
        assert!(!line.is_empty() && line.len() < LINE_BYTES_MAX);
        assert!(!line.contains('\n'));
    }
}

/// Every line is a command or an error whose reason holds no pipe; a command that is written
/// again reads as itself.
///
/// # Panics
///
/// When that is not so.
pub fn decoder(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for line in text.lines() {
        for dialect in [Dialect::Fresh, Dialect::V1, Dialect::V2] {
            match decode(line, dialect) {
                Err(error) => {
                    let reason = error.reason.as_str();
                    assert!(!reason.is_empty() && !reason.contains(['|', '\n']), "{reason:?}");
                }
                Ok(command) => {
                    let mut bytes = Vec::new();
                    encode_line(&command, &mut bytes);
                    let again = String::from_utf8_lossy(&bytes);
                    let again = decode(again.trim_end_matches('\n'), Dialect::V2);
                    assert_eq!(again.as_ref(), Ok(&command), "{line:?}");
                }
            }
        }
    }
}
