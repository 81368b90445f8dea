//! What a Jolokia says to others than the daemon.

use crate::server::http;
use serde_json::Value;

/// The numbers of that attribute of the beans of that name; none while nobody answers.
pub fn numbers(port: u16, bean: &str, attribute: &str) -> Vec<f64> {
    let Some((_, told)) = http(port, "GET", &format!("/jolokia/read/{bean}/{attribute}")) else { return Vec::new() };
    let told: Value = serde_json::from_str(&told).unwrap_or_default();
    match &told["value"] {
        Value::Object(beans) => beans.values().filter_map(|bean| bean[attribute].as_f64()).collect(),
        number => number.as_f64().into_iter().collect(),
    }
}
