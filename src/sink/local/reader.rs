//! Reading: read-only, beside a daemon that writes or without one.

use super::schema;
use crate::model::error::{Error, Result};
use crate::model::point::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Seeking costs a few lookups a tick for each series, scanning reads all series: this many times fewer are worth seeking.
const SEEKS: i64 = 8;

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

/// One point, or what a minute's points come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Of the point, or the begin of the minute.
    pub time: i64,
    pub series: i64,
    pub n: i64,
    pub min: Value,
    pub max: Value,
    pub sum: f64,
    pub last: Value,
}

/// The store as it was at one moment.
pub struct Reader {
    db: Connection,
    path: PathBuf,
    /// Begins of the parts, oldest first.
    parts: Vec<i64>,
}

impl Reader {
    /// `None` where there is no file, or a writer has only just begun one.
    pub fn open(path: &Path) -> Result<Option<Reader>> {
        match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", path)(error)),
            Ok(_) => fs::File::open(path).map_err(Error::file("read", path))?,
        };
        match connect(path) {
            Ok((db, Some(parts))) => Ok(Some(Reader { db, path: path.into(), parts })),
            Ok((db, None)) => match schema::is_empty(&db) {
                Ok(true) => Ok(None),
                _ => Err(Error::daemon(format!("{}: not a store of PuyPuy", path.display()))),
            },
            Err(error) => Err(told(path, &error)),
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
        read().map_err(|error| told(&self.path, &error))
    }

    /// Time of the newest point up to then, in Unix seconds; `None` when there is none.
    pub fn newest(&self, until: i64) -> Result<Option<i64>> {
        let read = || {
            let mut newest = None;
            for since in self.parts(&(i64::MIN..=until)) {
                let time = format!("SELECT max(time) FROM raw_{since} WHERE time <= ?1");
                newest = newest.max(self.db.query_row(&time, [until], |row| row.get::<_, Option<i64>>(0))?);
            }
            Ok(newest)
        };
        read().map_err(|error| told(&self.path, &error))
    }

    /// Time of the oldest point within the span; `None` when there is none.
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
        read().map_err(|error| told(&self.path, &error))
    }

    /// Begin of the newest minute within the span that has been rolled up.
    pub fn newest_minute(&self, span: &RangeInclusive<i64>) -> Result<Option<i64>> {
        let read = || {
            let mut newest = None;
            for since in self.parts(span) {
                let time = format!("SELECT max(time) FROM minute_{since} WHERE time BETWEEN ?1 AND ?2");
                newest = newest
                    .max(self.db.query_row(&time, [span.start(), span.end()], |row| row.get::<_, Option<i64>>(0))?);
            }
            Ok(newest)
        };
        read().map_err(|error| told(&self.path, &error))
    }

    /// The points of these series (sorted by id) within the span, in order of time.
    pub fn points(&self, series: &[i64], span: RangeInclusive<i64>, mut each: impl FnMut(Summary)) -> Result<()> {
        let mut read = || {
            let all: i64 = self.db.query_row("SELECT count(*) FROM series", [], |row| row.get(0))?;
            for since in self.parts(&span) {
                match series.len() as i64 * SEEKS <= all {
                    true => self.seek(since, series, &span, &mut each)?,
                    false => self.scan(since, series, &span, &mut each)?,
                }
            }
            Ok(())
        };
        read().map_err(|error| told(&self.path, &error))
    }

    /// The rollups of these series (sorted by id) within the span, in order of time.
    pub fn minutes(&self, series: &[i64], span: RangeInclusive<i64>, mut each: impl FnMut(Summary)) -> Result<()> {
        let mut read = || {
            for since in self.parts(&span) {
                let mut rows = self.db.prepare(&format!(
                    "SELECT time, series, n, min, max, sum, last FROM minute_{since} WHERE time BETWEEN ?1 AND ?2"
                ))?;
                let mut rows = rows.query([span.start(), span.end()])?;
                while let Some(row) = rows.next()? {
                    let id = row.get(1)?;
                    if series.binary_search(&id).is_ok() {
                        each(Summary {
                            time: row.get(0)?,
                            series: id,
                            n: row.get(2)?,
                            min: schema::number(row, 3)?,
                            max: schema::number(row, 4)?,
                            sum: row.get::<_, Option<f64>>(5)?.unwrap_or(f64::NAN),
                            last: schema::number(row, 6)?,
                        });
                    }
                }
            }
            Ok(())
        };
        read().map_err(|error| told(&self.path, &error))
    }

    /// The parts that may hold times of the span.
    fn parts(&self, span: &RangeInclusive<i64>) -> Vec<i64> {
        let ends = self.parts.iter().skip(1).copied().chain([i64::MAX]);
        let parts = self.parts.iter().zip(ends).enumerate();
        parts
            .filter(|(position, (since, end))| (*position == 0 || *since <= span.end()) && end > span.start())
            .map(|(_, (since, _))| *since)
            .collect()
    }

    /// Reads every row of the span.
    fn scan(
        &self,
        since: i64,
        series: &[i64],
        span: &RangeInclusive<i64>,
        each: &mut impl FnMut(Summary),
    ) -> rusqlite::Result<()> {
        let mut rows =
            self.db.prepare(&format!("SELECT time, series, value FROM raw_{since} WHERE time BETWEEN ?1 AND ?2"))?;
        let mut rows = rows.query([span.start(), span.end()])?;
        while let Some(row) = rows.next()? {
            let id = row.get(1)?;
            if series.binary_search(&id).is_ok() {
                each(point(row.get(0)?, id, schema::number(row, 2)?));
            }
        }
        Ok(())
    }

    /// Goes from tick to tick by the key, and in each to the series asked for.
    fn seek(
        &self,
        since: i64,
        series: &[i64],
        span: &RangeInclusive<i64>,
        each: &mut impl FnMut(Summary),
    ) -> rusqlite::Result<()> {
        let mut next = self.db.prepare(&format!("SELECT min(time) FROM raw_{since} WHERE time BETWEEN ?1 AND ?2"))?;
        let mut at = self.db.prepare(&format!("SELECT value FROM raw_{since} WHERE time = ?1 AND series = ?2"))?;
        let mut from = *span.start();
        while let Some(time) = next.query_row([from, *span.end()], |row| row.get::<_, Option<i64>>(0))? {
            for id in series {
                if let Some(value) = at.query_row([time, *id], |row| schema::number(row, 0)).optional()? {
                    each(point(time, *id, value));
                }
            }
            let Some(later) = time.checked_add(1) else { break };
            from = later;
        }
        Ok(())
    }
}

fn point(time: i64, series: i64, value: Value) -> Summary {
    Summary { time, series, n: 1, min: value, max: value, sum: value.as_f64(), last: value }
}

/// A connection with an open read transaction, and the begins of the parts.
fn connect(path: &Path) -> rusqlite::Result<(Connection, Option<Vec<i64>>)> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // Without a log nobody is writing, and `immutable` needs no right to make files beside this one. With a log that we may not
    // index, what has reached the file itself is better than nothing.
    match Path::new(&log).exists() {
        false => begin(path, "immutable=1"),
        true => begin(path, "mode=ro").or_else(|error| match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => begin(path, "immutable=1"),
            _ => Err(error),
        }),
    }
}

fn begin(path: &Path, mode: &str) -> rusqlite::Result<(Connection, Option<Vec<i64>>)> {
    let name: String = path.as_os_str().as_bytes().iter().map(|byte| format!("%{byte:02x}")).collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(format!("file:{name}?{mode}"), flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.execute_batch("BEGIN")?;
    let parts = schema::parts(&db)?;
    Ok((db, parts))
}

fn told(path: &Path, error: &rusqlite::Error) -> Error {
    Error::daemon(format!("{}: cannot read the store: {error}", path.display()))
}
