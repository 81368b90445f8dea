//! Text with a name and a value in each line, as in status pages and statistics.

use crate::model::table::{Field, Row};

/// The lines that contain the separator, each as a cell; other lines are skipped. If a name occurs twice, the first one
/// counts.
pub fn pairs<'a>(text: &'a str, separator: &str) -> Row<'a> {
    let cells = text.lines().filter_map(|line| line.split_once(separator));
    Row::of(cells.map(|(name, value)| (name.trim(), value.trim())))
}

/// How often each single-character cell of the table occurs in the text, as in Apache's scoreboard.
pub fn letters(text: &str, fields: &[Field]) -> Row<'static> {
    Row::of(fields.iter().map(|field| (field.cell, text.matches(field.cell).count() as u64)))
}
