//! Streams of lines around the limits, however they are cut.

use proptest::prelude::*;
use proxyd_wire::{Dialect, FrameError, Framer, LINE_BYTES_MAX, LINE_BYTES_MAX_V1};

proptest! {
    /// Lines near the limit of their dialect, cut anywhere: the same lines and errors.
    #[test]
    fn any_split(
        v1: bool,
        lines in prop::collection::vec((0..4usize, -3..4isize), 0..8),
        cuts in prop::collection::vec(1..20_000usize, 1..12),
    ) {
        let dialect = if v1 { Dialect::V1 } else { Dialect::V2 };
        let stream: Vec<u8> = lines.iter().flat_map(|(kind, off)| line(*kind, max(dialect), *off)).collect();
        let mut pieces = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(read(dialect, &pieces), read(dialect, &[&stream]));
    }
}

#[test]
fn an_overlong_line_costs_that_line_only() {
    for dialect in [Dialect::Fresh, Dialect::V1, Dialect::V2] {
        let max = max(dialect);
        for (bytes, fits) in [(max - 1, true), (max, true), (max + 1, false), (max * 70, false)] {
            let mut stream = vec![b'x'; bytes - 1];
            stream.extend_from_slice(b"\nPING|a\n");
            for piece in [1000, stream.len()] {
                let pieces: Vec<&[u8]> = stream.chunks(piece).collect();
                let lines = read(dialect, &pieces);
                let first =
                    if fits { Ok("x".repeat(bytes - 1)) } else { Err(FrameError::TooLong(max)) };
                let wanted = [first, Ok("PING|a".to_owned())];
                assert!(lines == wanted, "{dialect:?}: {bytes} bytes in pieces of {piece}");
            }
        }
    }
    assert_eq!(FrameError::TooLong(16_384).to_string(), "line too long (max 16384 bytes)");
}

fn max(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Fresh | Dialect::V2 => LINE_BYTES_MAX,
        Dialect::V1 => LINE_BYTES_MAX_V1,
    }
}

fn line(kind: usize, max: usize, off: isize) -> Vec<u8> {
    match kind {
        0 => b"PING|a\r\n".to_vec(),
        1 => b"\n".to_vec(),
        2 => b"a\0b\n".to_vec(),
        _ => [vec![b'x'; max.saturating_add_signed(off - 1)], b"\n".to_vec()].concat(),
    }
}

fn read(dialect: Dialect, pieces: &[&[u8]]) -> Vec<Result<String, FrameError>> {
    let mut framer = Framer::new();
    framer.set_dialect(dialect);
    let mut lines = Vec::new();
    for piece in pieces {
        framer.push(piece);
        lines.extend(std::iter::from_fn(|| framer.next_line()));
    }
    lines
}
