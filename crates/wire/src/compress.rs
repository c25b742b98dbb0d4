//! Compressed payloads: gzip in standard base64 (registry guide v2, "Response Compression").

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Compresses a payload.
pub(crate) fn gzip_base64(payload: &str) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing into a Vec cannot fail.
    let written = encoder.write_all(payload.as_bytes()).and_then(|()| encoder.finish());
    STANDARD.encode(written.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn unpacks_to_the_same() {
        let text = "[{\"route_id\":\"r1\"}]".repeat(500);
        let packed = gzip_base64(&text);
        assert!(packed.len() < text.len() / 10);
        let bytes = STANDARD.decode(packed).unwrap();
        let mut back = String::new();
        flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut back).unwrap();
        assert_eq!(back, text);
    }
}
