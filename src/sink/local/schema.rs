//! The tables of the store, shared by its writer and readers.
//!
//! Points are stored in *parts*, each for a stretch of time and with three tables: `raw_<since>`, and the rollups
//! `minute_<since>` and `quarter_<since>` (15 minutes). A part made by an earlier version has no quarters. The views
//! `raw` and `minute` show all parts together. A part is dropped as a whole: dropping a table writes next to nothing,
//! while deleting its rows would write each of its pages twice.
//!
//! *Invariant:* a part contains only points from its `since` up to the next part's. There are two exceptions: the
//! oldest part also contains older points, and any part may contain points that were dated more than a day ahead when
//! they came. A part begins at a minute, which may lie within a quarter; then both parts have a row for that quarter,
//! and readers add them up.
//! *Invariant:* within a part, everything older than the newest row of a rollup is in that rollup; what is newer is
//! only in the finer tables.

use rusqlite::{Connection, Row};

use crate::model::point::Value;
use rusqlite::types::ValueRef;

/// `PuyP`, in the header of the file.
pub const APPLICATION: i32 = 0x5075_7950;

/// Is increased when a program that knows only the old schema must not write the new one.
pub const VERSION: i32 = 1;

/// Executed after the page size and journal mode are set, because these have to be set before the first table is made.
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

/// Changes of level of health events. Earlier versions did not have this table.
pub const CREATE_EVENTS: &str = "
CREATE TABLE IF NOT EXISTS event (
    time INTEGER NOT NULL, name TEXT NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, PRIMARY KEY (time, name)
) WITHOUT ROWID;
";

/// A rollup: one row per series and stretch of time.
pub struct Rollup {
    /// The prefix of its tables, before `_<since>`.
    pub table: &'static str,
    /// Seconds per row.
    pub length: i64,
    /// The prefix of the tables that it is computed from.
    pub source: &'static str,
    /// How n, min, max, sum and last are computed from the source's columns.
    columns: [&'static str; 5],
}

pub const MINUTES: Rollup = Rollup {
    table: "minute",
    length: 60,
    source: "raw",
    columns: ["count(*)", "min(value)", "max(value)", "total(value)", "value"],
};

pub const QUARTERS: Rollup = Rollup {
    table: "quarter",
    length: 900,
    source: "minute",
    columns: ["sum(n)", "min(min)", "max(max)", "total(sum)", "last"],
};

impl Rollup {
    /// The start of the row for this time.
    pub fn begin(&self, time: i64) -> i64 {
        time.saturating_sub(time.rem_euclid(self.length))
    }

    /// The last second of the row that starts at `begin`.
    pub fn end(&self, begin: i64) -> i64 {
        begin.saturating_add(self.length - 1)
    }

    /// SQL that computes a part's rows for the stretch from ?1 to ?2.
    pub fn make(&self, since: i64) -> String {
        let Rollup { table, source, columns: [n, min, max, sum, last], .. } = self;
        format!(
            "INSERT OR REPLACE INTO {table}_{since} \
             SELECT ?1, every.series, every.n, every.min, every.max, every.sum, newest.{last} FROM ( \
                 SELECT series, {n} AS n, {min} AS min, {max} AS max, {sum} AS sum, max(time) AS time \
                 FROM {source}_{since} WHERE time BETWEEN ?1 AND ?2 GROUP BY series \
             ) AS every JOIN {source}_{since} AS newest ON newest.time = every.time AND newest.series = every.series"
        )
    }
}

/// SQL that creates the tables of a part.
pub fn create_part(since: i64) -> String {
    let rollup = |Rollup { table, .. }: &Rollup| {
        format!(
            "CREATE TABLE {table}_{since} (
                time INTEGER NOT NULL, series INTEGER NOT NULL, n INTEGER NOT NULL, min NOT NULL, max NOT NULL, sum REAL,
                last NOT NULL, PRIMARY KEY (time, series)
            ) WITHOUT ROWID;"
        )
    };
    format!(
        "CREATE TABLE raw_{since} (
            time INTEGER NOT NULL, series INTEGER NOT NULL, value NOT NULL, PRIMARY KEY (time, series)
        ) WITHOUT ROWID;
        {}{}",
        rollup(&MINUTES),
        rollup(&QUARTERS)
    )
}

/// SQL that drops the tables of a part.
pub fn drop_part(since: i64) -> String {
    let drop = |table| format!("DROP TABLE IF EXISTS {table}_{since};");
    ["raw", MINUTES.table, QUARTERS.table].map(drop).concat()
}

/// SQL that creates the views over these parts again.
pub fn create_views(parts: &[i64]) -> String {
    let view = |name: &str, columns: &str| {
        let arms: Vec<_> = parts.iter().map(|since| format!("SELECT {columns} FROM {name}_{since}")).collect();
        format!("DROP VIEW IF EXISTS {name}; CREATE VIEW {name} AS {};", arms.join(" UNION ALL "))
    };
    view("raw", "time, series, value") + &view("minute", "time, series, n, min, max, sum, last")
}

/// Whether nothing has been created in it yet, as in the first moments of a store.
pub fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// The tables of a store.
#[derive(Default)]
pub struct Tables {
    /// The starts of the parts, oldest first.
    pub parts: Vec<i64>,
    /// The starts of the quarter tables, oldest first. Some parts have none, and some are left over from parts that an
    /// earlier version dropped.
    pub quarters: Vec<i64>,
    /// Whether it has the table of events.
    pub has_events: bool,
}

/// `None` if the tables are not those of a store.
pub fn tables(db: &Connection) -> rusqlite::Result<Option<Tables>> {
    let mut names = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let names = names.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    let begins = |table: &str| {
        let mut begins: Vec<i64> =
            names.iter().filter_map(|name| name.strip_prefix(table)?.strip_prefix('_')?.parse().ok()).collect();
        begins.sort_unstable();
        begins
    };
    let has = |table: &str| names.iter().any(|name| name == table);
    let (parts, minutes) = (begins("raw"), begins(MINUTES.table));
    let is_store = has("series") && parts == minutes;
    Ok(is_store.then(|| Tables { parts, quarters: begins(QUARTERS.table), has_events: has("event") }))
}

/// The number in this column; integers and floats keep their type.
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
