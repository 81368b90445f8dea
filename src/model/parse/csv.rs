//! Comma-separated values whose first line names the columns (RFC 4180).

use crate::model::error::{Error, Result};
use crate::model::table::Row;
use csv::{ReaderBuilder, StringRecord};

/// A whole text.
pub struct Csv {
    header: StringRecord,
    records: Vec<StringRecord>,
}

impl Csv {
    /// Reads it; a line with more or fewer values than there are columns is no error.
    ///
    /// # Errors
    /// It has no header, or text in quotes that does not end.
    pub fn read(text: &str) -> Result<Csv> {
        let mut reader = ReaderBuilder::new().flexible(true).has_headers(true).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|_| Error::parse("a line that names the columns", text))?.clone();
        let records = reader.records().collect::<std::result::Result<_, _>>();
        Ok(Csv { header, records: records.map_err(|_| Error::parse("comma-separated values", text))? })
    }

    /// Whether there is such a column.
    pub fn has(&self, column: &str) -> bool {
        self.header.iter().any(|name| name == column)
    }

    /// The lines, each by the names of the columns. What is empty is not there.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.records.iter().map(|record| Row::of(self.header.iter().zip(record).filter(|(_, value)| !value.is_empty())))
    }
}
