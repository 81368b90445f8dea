//! Bytes as gzip.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Zipped at that level.
pub fn zipped(plain: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), level);
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default()
}
