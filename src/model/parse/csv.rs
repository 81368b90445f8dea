//! Comma-separated values whose first line names the columns (RFC 4180).

use crate::model::error::{Error, Result};
use crate::model::table::Row;
use csv::{Reader, ReaderBuilder, StringRecord};

/// A text of which the columns are known, and not yet the lines.
pub struct Csv<'t> {
    reader: Reader<&'t [u8]>,
    header: StringRecord,
}

impl<'t> Csv<'t> {
    /// Reads the names of the columns.
    ///
    /// # Errors
    /// It has none.
    pub fn read(text: &'t str) -> Result<Csv<'t>> {
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|_| Error::parse("a line that names the columns", text))?.clone();
        Ok(Csv { reader, header })
    }

    /// Whether there is such a column.
    pub fn has(&self, column: &str) -> bool {
        self.header.iter().any(|name| name == column)
    }

    /// Gives `tell` line after line what it has of these columns, in their order. What is empty is not there; a line may have
    /// more or fewer values than there are columns.
    pub fn rows(mut self, columns: &[&'static str], mut tell: impl FnMut(&Row)) {
        let place = |column: &&'static str| Some((*column, self.header.iter().position(|name| name == *column)?));
        let places: Vec<_> = columns.iter().filter_map(place).collect();
        let mut record = StringRecord::new();
        while let Ok(true) = self.reader.read_record(&mut record) {
            let cells = places.iter().filter_map(|(column, at)| Some((*column, record.get(*at)?)));
            tell(&Row::of(cells.filter(|(_, value)| !value.is_empty())));
        }
    }
}
