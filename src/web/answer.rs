//! An answer before it is turned into HTTP: a status and JSON.

use hyper::StatusCode;
use serde_json::json;
use std::fmt::Display;
use std::io::Write;

/// A status, and a JSON object as text.
pub struct Answer {
    pub status: StatusCode,
    pub json: String,
}

impl Answer {
    pub fn fine(json: impl Display) -> Answer {
        Answer { status: StatusCode::OK, json: json.to_string() }
    }

    pub fn wrong(status: StatusCode, why: &str) -> Answer {
        Answer { status, json: json!({ "error": why }).to_string() }
    }

    pub fn bad(why: &str) -> Answer {
        Answer::wrong(StatusCode::BAD_REQUEST, why)
    }
}

/// Compresses with gzip.
pub fn zipped(plain: &[u8], how: flate2::Compression) -> Vec<u8> {
    let mut zipped = flate2::write::GzEncoder::new(Vec::with_capacity(plain.len() / 4), how);
    // Writing to a vector cannot fail.
    let _ = zipped.write_all(plain);
    zipped.finish().unwrap_or_default()
}
