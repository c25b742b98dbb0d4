//! The three encoders behind one face.
//!
//! The libraries write into a `Vec<u8>` of their own. It stays empty: for the time of a call
//! the caller's buffer takes its place, so nothing is copied twice and nothing is kept.

use std::fmt;
use std::io::{self, Write};
use std::mem;

use brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use thiserror::Error;

use crate::Coding;

/// Beyond 4 brotli costs more time than a dynamic body is worth.
const BR_QUALITY: u32 = 4;
/// Windows are most of an encoder's memory, so they are bounded: 2^18 bytes.
const BR_WINDOW_LOG: u32 = 18;
/// Between brotli's encoder and `out`.
const BR_BUFFER: usize = 4096;
const ZSTD_LEVEL: i32 = 3;
/// 2^19 bytes; a client must take 2^23 (RFC 9659, 3).
const ZSTD_WINDOW_LOG: u32 = 19;
const GZIP_LEVEL: u32 = 5;

/// The library could not go on; the body cannot be completed and must be cut off.
#[derive(Debug, Error)]
#[error("cannot encode as {}: {source}", coding.as_str())]
pub struct EncodeError {
    coding: Coding,
    source: io::Error,
}

/// Codes one body.
///
/// Levels are those for bodies that are made once and sent once: brotli 4, zstd 3, gzip 5. A
/// live encoder takes about 1.3 MiB for brotli and for zstd, and 0.35 MiB for gzip, however
/// long the body is. An unfinished one may be dropped at any time; what came out of it is then
/// a body cut off.
pub struct Encoder {
    inner: Inner,
    /// Something was written that no flush has let out.
    pending: bool,
}

enum Inner {
    Br(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("coding", &self.coding()).finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder for one body.
    ///
    /// # Errors
    ///
    /// When the library has no memory for it.
    pub fn new(coding: Coding) -> Result<Encoder, EncodeError> {
        let inner = match coding {
            Coding::Br => Inner::Br(Box::new(brotli())),
            Coding::Zstd => Inner::Zstd(zstd().map_err(|source| EncodeError { coding, source })?),
            Coding::Gzip => Inner::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
        };
        Ok(Encoder { inner, pending: false })
    }

    /// The coding it makes.
    pub fn coding(&self) -> Coding {
        match self.inner {
            Inner::Br(_) => Coding::Br,
            Inner::Zstd(_) => Coding::Zstd,
            Inner::Gzip(_) => Coding::Gzip,
        }
    }

    /// Takes the next piece of the body, and appends to `out` what is ready, which may be
    /// nothing.
    ///
    /// # Errors
    ///
    /// When the library fails. Do not go on with this encoder.
    pub fn write(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.pending |= !input.is_empty();
        self.run(out, |writer| writer.write_all(input))
    }

    /// Appends to `out` what is missing there to decode everything written so far. Costs
    /// nothing if that is nothing.
    ///
    /// # Errors
    ///
    /// When the library fails. Do not go on with this encoder.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if mem::take(&mut self.pending) { self.run(out, |writer| writer.flush()) } else { Ok(()) }
    }

    /// Appends the end of the body to `out`, with all that was not flushed.
    ///
    /// # Errors
    ///
    /// When the library fails.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let coding = self.coding();
        if coding == Coding::Br {
            // Its end hides failures, so nothing but the end mark is left to it.
            self.flush(out)?;
        }
        let end = match self.inner {
            Inner::Br(writer) => Ok(writer.into_inner()),
            Inner::Zstd(writer) => writer.finish(),
            Inner::Gzip(writer) => writer.finish(),
        };
        out.append(&mut end.map_err(|source| EncodeError { coding, source })?);
        Ok(())
    }

    fn run(
        &mut self,
        out: &mut Vec<u8>,
        call: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), EncodeError> {
        mem::swap(self.inner.buffer(), out);
        let result = call(self.inner.writer());
        mem::swap(self.inner.buffer(), out);
        let coding = self.coding();
        result.map_err(|source| EncodeError { coding, source })
    }
}

impl Inner {
    fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Inner::Br(writer) => writer.get_mut(),
            Inner::Zstd(writer) => writer.get_mut(),
            Inner::Gzip(writer) => writer.get_mut(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Inner::Br(writer) => writer.as_mut(),
            Inner::Zstd(writer) => writer,
            Inner::Gzip(writer) => writer,
        }
    }
}

fn brotli() -> CompressorWriter<Vec<u8>> {
    CompressorWriter::new(Vec::new(), BR_BUFFER, BR_QUALITY, BR_WINDOW_LOG)
}

fn zstd() -> io::Result<zstd::stream::write::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.window_log(ZSTD_WINDOW_LOG)?;
    Ok(encoder)
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
