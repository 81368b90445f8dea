//! Texts of a name and a value in each line, as status pages and statistics are.

use crate::model::table::{Field, Row};

/// The lines that have that separator, each as a cell; the others are left out. Of a name that stands twice the first counts.
pub fn pairs<'a>(text: &'a str, separator: &str) -> Row<'a> {
    let cells = text.lines().filter_map(|line| line.split_once(separator));
    Row::of(cells.map(|(name, value)| (name.trim(), value.trim())))
}

/// How often each letter that is a cell of the table stands in the text, as in a scoreboard.
pub fn letters(text: &str, fields: &[Field]) -> Row<'static> {
    Row::of(fields.iter().map(|field| (field.cell, text.matches(field.cell).count() as u64)))
}
