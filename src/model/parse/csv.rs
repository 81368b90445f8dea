//! Comma-separated values with column names in the first line (RFC 4180).

use crate::model::error::{Error, Result};
use crate::model::table::Row;
use csv::{Reader, ReaderBuilder, StringRecord};

/// A text whose column names are read; the lines after them are still to be read.
pub struct Csv<'t> {
    reader: Reader<&'t [u8]>,
    header: StringRecord,
}

impl<'t> Csv<'t> {
    /// Reads the column names.
    ///
    /// # Errors
    /// The text has no such line.
    pub fn read(text: &'t str) -> Result<Csv<'t>> {
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|_| Error::parse("a line that names the columns", text))?.clone();
        Ok(Csv { reader, header })
    }

    /// Whether this column exists.
    pub fn has(&self, column: &str) -> bool {
        self.header.iter().any(|name| name == column)
    }

    /// Calls `tell` for each line with the cells of these columns. Empty cells are left out. A line may have more or
    /// fewer cells than there are columns.
    pub fn rows(mut self, columns: &[&'static str], mut tell: impl FnMut(&Row)) {
        let place = |column: &&'static str| Some((*column, self.header.iter().position(|name| name == *column)?));
        let places: Vec<_> = columns.iter().filter_map(place).collect();
        let mut record = StringRecord::new();
        while let Ok(true) = self.reader.read_record(&mut record) {
            let mut row = Row::with_room(places.len());
            let cells = places.iter().filter_map(|(column, at)| Some((*column, record.get(*at)?)));
            cells.filter(|(_, value)| !value.is_empty()).for_each(|(column, value)| row.push(column, value));
            tell(&row);
        }
    }
}
