//! Compression with gzip.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Compresses bytes with gzip at this level.
pub fn zipped(plain: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), level);
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default()
}
