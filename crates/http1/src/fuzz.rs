//! What must hold for any bytes at all.
//!
//! The fuzz targets call these, and so does a test over the committed corpus.

/// Parses `data` as heads.
pub fn head(data: &[u8]) {
    let _ = data;
    todo!()
}

/// Reads `data` as bodies.
pub fn body(data: &[u8]) {
    let _ = data;
    todo!()
}
