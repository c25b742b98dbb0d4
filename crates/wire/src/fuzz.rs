//! The laws of this crate, for any bytes: run by the fuzz targets, and by a test over their
//! corpus.

use crate::{Dialect, Framer, LINE_BYTES_MAX, decode, encode_line, heartbeat};

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

/// A frame of the heartbeat port is the same however it comes, and is a request or gets an answer
/// that can be read; a request that is written again reads as itself, and so does an answer.
///
/// # Panics
///
/// When that is not so.
pub fn heartbeat(data: &[u8]) {
    let (cut, data) = data.split_first().unwrap_or((&1, data));
    let mut end = None;
    // As the port reads: whatever came, from its beginning, until that is whole.
    for piece in 0..=data.len() {
        let held = (piece + 1) * usize::from(*cut).max(1);
        let held = data.get(..held).unwrap_or(data);
        end = heartbeat::whole(held);
        if end.is_some() || held.len() == data.len() {
            break;
        }
    }
    assert_eq!(end, heartbeat::whole(data), "a frame depends on how it came");
    let end = end.unwrap_or(data.len());
    assert!(end <= heartbeat::FRAME_BYTES_MAX || heartbeat::whole(data).is_none());
    let frame = data.get(..end).unwrap_or(data);
    match heartbeat::decode(frame) {
        Ok(ask) => {
            let again = heartbeat::encode_ask(&ask);
            let end = heartbeat::whole(&again).expect("a whole frame was written");
            assert_eq!(heartbeat::decode(&again[..end]), Ok(ask), "written again");
        }
        Err(answer) => answered(&answer),
    }
    if let Some(answer) = heartbeat::decode_answer(data) {
        answered(&answer);
    }
}

fn answered(answer: &heartbeat::Answer) {
    let bytes = heartbeat::encode(answer);
    let read = heartbeat::decode_answer(&bytes).expect("an answer of ours can be read");
    // What would divide a reason is left out of it the first time.
    assert_eq!(heartbeat::encode(&read), bytes, "written again");
}
