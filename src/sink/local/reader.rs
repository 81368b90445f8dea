//! Reads the store: read-only, whether or not a daemon writes to it.

use super::schema::{self, MINUTES, QUARTERS, Rollup, Tables};
use crate::model::error::{Error, Result};
use crate::model::point::{Level, Value};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row};
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Seeking costs some lookups per time and series, scanning reads all series. Seeking is chosen if all series are at
/// least this many times as many as the wanted ones.
const SEEKS: i64 = 8;

/// Most series that a scan filters by in SQL; for more it reads all and filters here.
const NAMED: usize = 100;

/// SQLite's page cache, in KiB. It can be small: rows are read in file order, and the inner pages of the tree are few.
const CACHE: i32 = 512;

/// SQLite instructions between two checks of the time limit.
const STEPS: i32 = 10_000;

/// A row of the table `series`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    pub id: i64,
    pub name: String,
    pub host: String,
    pub check_type: String,
    /// A word of [`crate::model::point::Kind::word`].
    pub kind: String,
    /// A JSON object.
    pub tags: String,
}

/// The resolution of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    Raw,
    Minute,
    /// 15 minutes.
    Quarter,
}

/// A change of level of a health event.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub time: i64,
    pub event: String,
    pub level: Level,
    pub message: String,
}

/// One point, or a row of a rollup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The time of the point, or the start of the minute or quarter, in Unix seconds.
    pub time: i64,
    pub series: i64,
    pub n: i64,
    pub min: Value,
    pub max: Value,
    pub sum: f64,
    pub last: Value,
}

/// Size of the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Of the database and its log.
    pub bytes: u64,
    /// When the oldest point was, in Unix seconds.
    pub oldest: Option<i64>,
    pub series: i64,
}

/// The store as it was when it was opened.
pub struct Reader {
    db: Connection,
    path: PathBuf,
    tables: Tables,
}

impl Reader {
    /// `None` if there is no file, or a writer has only just created it.
    pub fn open(path: &Path) -> Result<Option<Reader>> {
        match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", path)(error)),
            Ok(_) => fs::File::open(path).map_err(Error::file("read", path))?,
        };
        match connect(path) {
            Ok((db, Some(tables))) => Ok(Some(Reader { db, path: path.into(), tables })),
            Ok((db, None)) => match schema::is_empty(&db) {
                Ok(true) => Ok(None),
                _ => Err(Error::daemon(format!("{}: not a store of PuyPuy", path.display()))),
            },
            Err(error) => Err(read_error(path, &error)),
        }
    }

    /// All series, by name and tags.
    pub fn series(&self) -> Result<Vec<Series>> {
        let read = || {
            let mut rows = self
                .db
                .prepare("SELECT id, name, host, type, kind, tags FROM series ORDER BY name, host, tags, type, kind")?;
            let rows = rows.query_map([], |row| {
                Ok(Series {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    host: row.get(2)?,
                    check_type: row.get(3)?,
                    kind: row.get(4)?,
                    tags: row.get(5)?,
                })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| read_error(&self.path, &error))
    }

    /// Time of the newest point up to `until`, in Unix seconds; `None` if there is none.
    pub fn newest(&self, until: i64) -> Result<Option<i64>> {
        let read = || {
            let mut newest = None;
            for since in self.parts(&(i64::MIN..=until)) {
                let time = format!("SELECT max(time) FROM raw_{since} WHERE time <= ?1");
                newest = newest.max(self.db.query_row(&time, [until], |row| row.get::<_, Option<i64>>(0))?);
            }
            Ok(newest)
        };
        read().map_err(|error| read_error(&self.path, &error))
    }

    /// Time of the oldest point within the span, in Unix seconds; `None` if there is none.
    pub fn oldest(&self, span: &RangeInclusive<i64>) -> Result<Option<i64>> {
        let read = || {
            for since in self.parts(span) {
                let time = format!("SELECT min(time) FROM raw_{since} WHERE time BETWEEN ?1 AND ?2");
                let oldest =
                    self.db.query_row(&time, [span.start(), span.end()], |row| row.get::<_, Option<i64>>(0))?;
                if oldest.is_some() {
                    return Ok(oldest);
                }
            }
            Ok(None)
        };
        read().map_err(|error| read_error(&self.path, &error))
    }

    /// The size of the store, with its oldest point up to `until`.
    pub fn figures(&self, until: i64) -> Result<Figures> {
        let series = self.db.query_row("SELECT count(*) FROM series", [], |row| row.get(0));
        let series = series.map_err(|error| read_error(&self.path, &error))?;
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        Ok(Figures {
            bytes: bytes(&self.path).saturating_add(bytes(&log_of(&self.path))),
            oldest: self.oldest(&(0..=until))?,
            series,
        })
    }

    /// Every read that is not finished at `until` fails.
    pub fn limit(&mut self, until: Instant) -> Result<()> {
        let limited = self.db.progress_handler(STEPS, Some(move || Instant::now() >= until));
        limited.map_err(|error| read_error(&self.path, &error))
    }

    /// Calls `each` for the points of these series (ids, sorted) within the span, in order of time. The newest points,
    /// which are not rolled up yet, come in a finer resolution.
    pub fn read(
        &self,
        grain: Grain,
        series: &[i64],
        span: RangeInclusive<i64>,
        mut each: impl FnMut(Summary),
    ) -> Result<()> {
        let mut read = || {
            let all: i64 = self.db.query_row("SELECT count(*) FROM series", [], |row| row.get(0))?;
            let is_sought = (series.len() as i64).saturating_mul(SEEKS) <= all;
            for since in self.parts(&span) {
                let mut from = *span.start();
                for rollup in self.rollups(grain, since) {
                    let table = format!("{}_{since}", rollup.table);
                    let newest = format!("SELECT max(time) FROM {table} WHERE time BETWEEN ?1 AND ?2");
                    let newest: Option<i64> = self.db.query_row(&newest, [from, *span.end()], |row| row.get(0))?;
                    let Some(newest) = newest else { continue };
                    let rows = Rows { table, columns: "n, min, max, sum, last", read: summary };
                    rows.read(&self.db, series, is_sought, from..=newest, &mut each)?;
                    from = newest.saturating_add(rollup.length);
                }
                let rows = Rows { table: format!("raw_{since}"), columns: "value", read: point };
                rows.read(&self.db, series, is_sought, from..=*span.end(), &mut each)?;
            }
            Ok(())
        };
        read().map_err(|error| read_error(&self.path, &error))
    }

    /// The changes of level within the span, newest first, at most `most`.
    pub fn changes(&self, span: RangeInclusive<i64>, most: usize) -> Result<Vec<Change>> {
        if !self.tables.has_events {
            return Ok(Vec::new());
        }
        let read = || {
            let mut rows = self.db.prepare(
                "SELECT time, name, level, message FROM event WHERE time BETWEEN ?1 AND ?2 \
                 ORDER BY time DESC, name LIMIT ?3",
            )?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            rows.query_map([*span.start(), *span.end(), most], change)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| read_error(&self.path, &error))
    }

    /// The rollups of that part to read for this resolution, coarsest first.
    fn rollups(&self, grain: Grain, since: i64) -> Vec<&'static Rollup> {
        let has_quarters = self.tables.quarters.binary_search(&since).is_ok();
        match grain {
            Grain::Raw => Vec::new(),
            Grain::Quarter if has_quarters => vec![&QUARTERS, &MINUTES],
            Grain::Minute | Grain::Quarter => vec![&MINUTES],
        }
    }

    /// The parts that may contain times of the span.
    fn parts(&self, span: &RangeInclusive<i64>) -> Vec<i64> {
        let parts = &self.tables.parts;
        let ends = parts.iter().skip(1).copied().chain([i64::MAX]);
        let parts = parts.iter().zip(ends).enumerate();
        parts
            .filter(|(position, (since, end))| (*position == 0 || *since <= span.end()) && end > span.start())
            .map(|(_, (since, _))| *since)
            .collect()
    }
}

/// A table of points or rollups, and how to read its rows.
struct Rows {
    table: String,
    /// The columns after time and series.
    columns: &'static str,
    /// Reads the columns, which start at the given index, of a row with that time and series.
    read: fn(i64, i64, &Row, usize) -> rusqlite::Result<Summary>,
}

impl Rows {
    /// Calls `each` for the rows of these series within the span, in order of time.
    fn read(
        &self,
        db: &Connection,
        series: &[i64],
        is_sought: bool,
        span: RangeInclusive<i64>,
        each: &mut impl FnMut(Summary),
    ) -> rusqlite::Result<()> {
        match is_sought {
            true => self.seek(db, series, span, each),
            false => self.scan(db, series, span, each),
        }
    }

    /// Reads every row of the span.
    fn scan(
        &self,
        db: &Connection,
        series: &[i64],
        span: RangeInclusive<i64>,
        each: &mut impl FnMut(Summary),
    ) -> rusqlite::Result<()> {
        let Rows { table, columns, read } = self;
        let ids: Vec<String> = series.iter().take(NAMED + 1).map(i64::to_string).collect();
        let named = match ids.len() {
            ..=NAMED => format!("AND series IN ({})", ids.join(", ")),
            _ => String::new(),
        };
        let rows = format!("SELECT time, series, {columns} FROM {table} WHERE time BETWEEN ?1 AND ?2 {named}");
        let mut rows = db.prepare(&rows)?;
        let mut rows = rows.query([span.start(), span.end()])?;
        while let Some(row) = rows.next()? {
            let id = row.get(1)?;
            if series.binary_search(&id).is_ok() {
                each(read(row.get(0)?, id, row, 2)?);
            }
        }
        Ok(())
    }

    /// Goes from time to time by the primary key, and looks up each wanted series there.
    fn seek(
        &self,
        db: &Connection,
        series: &[i64],
        span: RangeInclusive<i64>,
        each: &mut impl FnMut(Summary),
    ) -> rusqlite::Result<()> {
        let Rows { table, columns, read } = self;
        let mut next = db.prepare(&format!("SELECT min(time) FROM {table} WHERE time BETWEEN ?1 AND ?2"))?;
        let mut at = db.prepare(&format!("SELECT {columns} FROM {table} WHERE time = ?1 AND series = ?2"))?;
        let mut from = *span.start();
        while let Some(time) = next.query_row([from, *span.end()], |row| row.get::<_, Option<i64>>(0))? {
            for id in series {
                if let Some(summary) = at.query_row([time, *id], |row| read(time, *id, row, 0)).optional()? {
                    each(summary);
                }
            }
            let Some(later) = time.checked_add(1) else { break };
            from = later;
        }
        Ok(())
    }
}

fn point(time: i64, series: i64, row: &Row, first: usize) -> rusqlite::Result<Summary> {
    let value = schema::number(row, first)?;
    Ok(Summary { time, series, n: 1, min: value, max: value, sum: value.as_f64(), last: value })
}

fn summary(time: i64, series: i64, row: &Row, first: usize) -> rusqlite::Result<Summary> {
    Ok(Summary {
        time,
        series,
        n: row.get(first)?,
        min: schema::number(row, first + 1)?,
        max: schema::number(row, first + 2)?,
        sum: row.get::<_, Option<f64>>(first + 3)?.unwrap_or(f64::NAN),
        last: schema::number(row, first + 4)?,
    })
}

fn change(row: &Row) -> rusqlite::Result<Change> {
    let level = Level::from_number(row.get(2)?);
    Ok(Change { time: row.get(0)?, event: row.get(1)?, level, message: row.get(3)? })
}

/// A connection with an open read transaction, and the tables it sees.
fn connect(path: &Path) -> rusqlite::Result<(Connection, Option<Tables>)> {
    // Without a log nobody is writing, and `immutable` needs no right to create files beside the database. If there is
    // a log but we may not create its index, we read what is in the database already.
    match log_of(path).exists() {
        false => begin(path, "immutable=1"),
        true => begin(path, "mode=ro").or_else(|error| match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => begin(path, "immutable=1"),
            _ => Err(error),
        }),
    }
}

/// The path of the write-ahead log.
fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

fn begin(path: &Path, mode: &str) -> rusqlite::Result<(Connection, Option<Tables>)> {
    let name: String = path.as_os_str().as_bytes().iter().map(|byte| format!("%{byte:02x}")).collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(format!("file:{name}?{mode}"), flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.execute_batch(&format!("PRAGMA cache_size = -{CACHE}; BEGIN"))?;
    let tables = schema::tables(&db)?;
    Ok((db, tables))
}

fn read_error(path: &Path, error: &rusqlite::Error) -> Error {
    let why = match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => "it took too long and was given up; ask for less".into(),
        _ => error.to_string(),
    };
    Error::daemon(format!("{}: cannot read the store: {why}", path.display()))
}
