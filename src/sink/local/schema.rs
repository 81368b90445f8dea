//! What writer and readers know of the tables.
//!
//! Points lie in *parts*, a pair of tables for a stretch of time: `raw_<since>` and `minute_<since>`. The views `raw` and
//! `minute` show all parts as one. A part goes as a whole, because dropping a table writes next to nothing, while deleting its
//! rows would write every page of them twice.
//!
//! *Invariant:* a part holds only times from its `since` up to the next part's; the oldest part also holds all that is older,
//! and any part may hold points that were dated more than a day ahead when they came.

use rusqlite::{Connection, Row};

use crate::model::point::Value;
use rusqlite::types::ValueRef;

/// `PuyP`, in the header of the file.
pub const APPLICATION: i32 = 0x5075_7950;

/// Goes up when a program that knows only the old schema must not write the new one.
pub const VERSION: i32 = 1;

/// Set before the first table is made; the pragmas after it belong to the file, too.
pub const CREATE: &str = "
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    type TEXT NOT NULL,
    kind TEXT NOT NULL,
    tags TEXT NOT NULL,
    until INTEGER NOT NULL,
    UNIQUE (name, host, type, kind, tags)
);
CREATE VIEW points AS
    SELECT raw.time, name, host, type, kind, tags, value FROM raw JOIN series ON series.id = raw.series;
CREATE VIEW minutes AS
    SELECT minute.time, name, host, type, kind, tags, n, min, max, sum, last
    FROM minute JOIN series ON series.id = minute.series;
";

/// The two tables of the part that begins at this time.
pub fn create_part(since: i64) -> String {
    format!(
        "CREATE TABLE raw_{since} (
            time INTEGER NOT NULL, series INTEGER NOT NULL, value NOT NULL, PRIMARY KEY (time, series)
        ) WITHOUT ROWID;
        CREATE TABLE minute_{since} (
            time INTEGER NOT NULL, series INTEGER NOT NULL, n INTEGER NOT NULL, min NOT NULL, max NOT NULL, sum REAL,
            last NOT NULL, PRIMARY KEY (time, series)
        ) WITHOUT ROWID;"
    )
}

/// The views over these parts, made anew.
pub fn create_views(parts: &[i64]) -> String {
    let view = |name: &str, columns: &str| {
        let arms: Vec<_> = parts.iter().map(|since| format!("SELECT {columns} FROM {name}_{since}")).collect();
        format!("DROP VIEW IF EXISTS {name}; CREATE VIEW {name} AS {};", arms.join(" UNION ALL "))
    };
    view("raw", "time, series, value") + &view("minute", "time, series, n, min, max, sum, last")
}

/// Whether nothing has been made in it yet, as in the first moments of a store.
pub fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// Where the parts begin, oldest first; `None` when the tables are not those of a store.
pub fn parts(db: &Connection) -> rusqlite::Result<Option<Vec<i64>>> {
    let mut names = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let names = names.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    let begins = |table: &str| {
        let mut begins: Vec<i64> =
            names.iter().filter_map(|name| name.strip_prefix(table)?.strip_prefix('_')?.parse().ok()).collect();
        begins.sort_unstable();
        begins
    };
    let parts = begins("raw");
    Ok((names.iter().any(|name| name == "series") && parts == begins("minute")).then_some(parts))
}

/// The number in this column. Integers and floats come back as what they were.
pub fn number(row: &Row, column: usize) -> rusqlite::Result<Value> {
    match row.get_ref(column)? {
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        other => Ok(Value::Float(
            other
                .as_f64()
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, other.data_type(), error.into()))?,
        )),
    }
}
