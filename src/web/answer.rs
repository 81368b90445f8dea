//! An answer before it is turned into HTTP: a status and JSON.

use hyper::StatusCode;
use serde_json::json;
use std::fmt::Display;

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
