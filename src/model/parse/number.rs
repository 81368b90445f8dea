//! Digits to numbers.

use crate::model::table::{Raw, Row};

/// The cell as a whole number from 0; `None` when it is missing or anything else.
pub fn whole(row: &Row, cell: &str) -> Option<u64> {
    match row.get(cell)? {
        Raw::Count(n) => Some(n),
        Raw::Int(n) => u64::try_from(n).ok(),
        Raw::Float(_) => None,
        Raw::Text(text) => text.trim_ascii().parse().ok(),
    }
}
