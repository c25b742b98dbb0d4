//! Round trips in pieces, flushes that hold nothing back, and what encoders cost.

use std::io::Read;

use proptest::prelude::*;

use super::*;

/// More than flush or end ever add by themselves.
const MARK_MAX: usize = 64;

fn decode(coding: Coding, coded: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    match coding {
        Coding::Br => brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain)?,
        Coding::Zstd => zstd::stream::read::Decoder::new(coded)?.read_to_end(&mut plain)?,
        Coding::Gzip => flate2::read::MultiGzDecoder::new(coded).read_to_end(&mut plain)?,
    };
    Ok(plain)
}

/// What a decoder makes of the beginning of a body.
fn decode_start(coding: Coding, coded: &[u8]) -> Vec<u8> {
    let mut reader: Box<dyn Read + '_> = match coding {
        Coding::Br => Box::new(brotli::Decompressor::new(coded, 4096)),
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(coded).unwrap()),
        Coding::Gzip => Box::new(flate2::read::GzDecoder::new(coded)),
    };
    let (mut plain, mut piece) = (Vec::new(), [0; 512]);
    // It ends with an error, as the body is cut off.
    while let Ok(len @ 1..) = reader.read(&mut piece) {
        plain.extend_from_slice(&piece[..len]);
    }
    plain
}

fn whole(coding: Coding, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(coding).unwrap(), Vec::new());
    for piece in pieces {
        encoder.write(piece, &mut out).unwrap();
    }
    encoder.finish(&mut out).unwrap();
    out
}

#[test]
fn empty_bodies_are_bodies() {
    for coding in Coding::ALL {
        for pieces in [&[][..], &[&b""[..]], &[b"", b""]] {
            let coded = whole(coding, pieces);
            assert!(!coded.is_empty(), "{coding:?}: a decoder wants to see an end");
            assert_eq!(decode(coding, &coded).unwrap(), b"", "{coding:?}");
        }
    }
}

#[test]
fn flushing_nothing_costs_nothing() {
    for coding in Coding::ALL {
        let (mut encoder, mut out) = (Encoder::new(coding).unwrap(), Vec::new());
        encoder.flush(&mut out).unwrap();
        encoder.write(b"abc", &mut out).unwrap();
        encoder.flush(&mut out).unwrap();
        let len = out.len();
        for _ in 0..100 {
            encoder.write(b"", &mut out).unwrap();
            encoder.flush(&mut out).unwrap();
        }
        assert_eq!(out.len(), len, "{coding:?}");
        encoder.finish(&mut out).unwrap();
        assert_eq!(decode(coding, &out).unwrap(), b"abc", "{coding:?}");
    }
}

#[test]
fn out_is_appended_to() {
    for coding in Coding::ALL {
        let (mut encoder, mut out) = (Encoder::new(coding).unwrap(), b"head".to_vec());
        encoder.write(b"abc", &mut out).unwrap();
        encoder.flush(&mut out).unwrap();
        encoder.finish(&mut out).unwrap();
        assert_eq!(&out[..4], b"head");
        assert_eq!(decode(coding, &out[4..]).unwrap(), b"abc", "{coding:?}");
    }
}

#[test]
fn text_gets_smaller_and_comes_back() {
    let text: String = (0..100_000).map(|n| format!("{{\"id\":{n},\"name\":\"x\"}},")).collect();
    for coding in Coding::ALL {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(16 * 1024).collect();
        let coded = whole(coding, &pieces);
        assert!(coded.len() * 4 < text.len(), "{coding:?}: {} of {}", coded.len(), text.len());
        assert!(decode(coding, &coded).unwrap() == text.as_bytes(), "{coding:?}");
    }
}

/// Of the process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
#[ignore = "measures; run it alone"]
fn memory() {
    const ENCODERS: usize = 50;
    let text: String = (0..100_000).map(|n| format!("{{\"id\":{n},\"name\":\"x\"}},")).collect();
    let mut found = Vec::new();
    for coding in Coding::ALL {
        let (before, mut live) = (resident(), Vec::new());
        for _ in 0..ENCODERS {
            let (mut encoder, mut out) = (Encoder::new(coding).unwrap(), Vec::new());
            for piece in text.as_bytes().chunks(16 * 1024) {
                encoder.write(piece, &mut out).unwrap();
                encoder.flush(&mut out).unwrap();
                out.clear();
            }
            live.push(encoder);
        }
        found.push((coding, (resident() - before) / ENCODERS / 1024));
        // Not given back, so that the next one does not take its place.
        mem::forget(live);
    }
    assert!(found.iter().all(|(_, kib)| *kib < 2048), "{found:?} KiB");
}

#[derive(Clone, Debug)]
enum Op {
    Write(Vec<u8>),
    Flush,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let noise = prop::collection::vec(any::<u8>(), 0..3000).prop_map(Op::Write);
    let runs = (0u8..4, 0usize..40_000).prop_map(|(byte, len)| Op::Write(vec![byte; len]));
    prop::collection::vec(prop_oneof![noise, runs, Just(Op::Flush)], 0..12)
}

fn coding() -> impl Strategy<Value = Coding> {
    prop::sample::select(Coding::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_went_in_comes_out(coding in coding(), ops in ops()) {
        let (mut encoder, mut out, mut plain) = (Encoder::new(coding).unwrap(), Vec::new(), Vec::new());
        for op in &ops {
            match op {
                Op::Write(piece) => {
                    encoder.write(piece, &mut out).unwrap();
                    plain.extend_from_slice(piece);
                }
                Op::Flush => {
                    encoder.flush(&mut out).unwrap();
                    prop_assert!(decode_start(coding, &out) == plain, "after a flush");
                }
            }
        }
        encoder.finish(&mut out).unwrap();
        prop_assert!(decode(coding, &out).unwrap() == plain);
        let most = plain.len() + plain.len() / 100 + MARK_MAX * (ops.len() + 1);
        prop_assert!(out.len() <= most, "{} of {}", out.len(), plain.len());
    }
}
