//! Writes the store: one transaction per batch, rollups of finished minutes and quarters, expiry of old parts.
//!
//! Any error ends the [`Store`], so that its memory never differs from the file.

use super::events::Events;
use super::schema::{self, APPLICATION, MINUTES, QUARTERS, Rollup, Tables, VERSION};
use crate::model::fingerprint::fingerprint;
use crate::model::point::{Kind, Point, Tags, Value};
use foldhash::HashMap;
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// Small pages: a batch changes only a few, and each is written whole, first to the log and later to the database.
const PAGE: i64 = 512;

/// A stretch without points is a gap if it is at least 1/8 of the time to keep; a gap does not count towards the age of
/// points.
const GAPS: i64 = 8;

/// Pages in the log before it is checkpointed: 1 MB.
const CHECKPOINT: i64 = 2000;

/// A part is full at 1/32 of the time or bytes to keep.
const PARTS: i64 = 32;

/// Estimated bytes per point in the file, with its share of the rollups; used to size a part.
const BYTES_PER_POINT: i64 = 32;

/// SQLite allows 500 tables in a view.
const MOST_PARTS: usize = 400;

const MINUTE: i64 = MINUTES.length;
const DAY: i64 = 86_400;

/// How long we wait for another program's lock.
const BUSY: Duration = Duration::from_secs(2);

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub seconds: i64,
    /// Size of the database file; its log is not included.
    pub bytes: i64,
}

/// Why a batch could not be stored. The texts of `Later` and `Refused` are complete sentences.
#[derive(Debug)]
pub enum Trouble {
    /// The file is no database, or is damaged.
    Damaged(String),
    Later(String),
    Refused(String),
}

/// A stretch of time, see [`schema`].
struct Part {
    since: i64,
    /// A part made by an earlier version has none.
    has_quarters: bool,
    /// Number of its points; `None` until it is first written to.
    points: Option<i64>,
}

impl Part {
    fn keeps(&self, rollup: &Rollup) -> bool {
        self.has_quarters || rollup.table != QUARTERS.table
    }
}

/// A series that has its row.
struct Known {
    id: i64,
    /// The series has no point in a part that begins after this time.
    until: i64,
}

/// The series that have a row, by the fingerprint of their identity.
type KnownSeries = HashMap<u64, Known>;

/// The open file.
pub struct Store {
    db: Connection,
    /// Device and inode of the file.
    inode: (u64, u64),
    keep: Retention,
    known: KnownSeries,
    /// Oldest first.
    parts: Vec<Part>,
    /// The newest minute of the previous batch, whose rollup is not made yet. `None` before the first batch.
    open: Option<i64>,
    events: Events,
}

impl Store {
    /// Opens the file; creates it and its folder if they are missing.
    pub fn open(path: &Path, keep: Retention) -> Result<Store, Trouble> {
        let inode = make_file(path)?;
        let (db, parts) = connect(path).map_err(|error| explain(path, &error))??;
        let events = Events::load(&db).map_err(|error| explain(path, &error))?;
        Ok(Store { db, inode, keep, known: KnownSeries::default(), parts, open: None, events })
    }

    /// Whether the file at that path is still the one that was opened.
    pub fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == self.inode)
    }

    /// Stores all points or none. `wall` is the wall clock. Returns the length in seconds of the gap that these points
    /// end, if they do.
    pub fn write(&mut self, points: &[Point], host: &str, wall: i64) -> rusqlite::Result<Option<i64>> {
        let times = points.iter().map(|point| point.time);
        let Some(oldest) = times.clone().min() else { return Ok(None) };
        // A point that is more than a day ahead is a script's mistake: it is stored, but does not make other points
        // older.
        let ahead = wall.saturating_add(DAY);
        let newest = times.filter(|time| *time <= ahead).max().unwrap_or(wall);
        let newest = minute_of(newest);
        let db = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
        let gap = match make_part(&db, &mut self.parts, newest, ahead, self.keep)? {
            Some(at) => gap_before(&db, &self.parts, at)?.filter(|gap| *gap >= self.keep.seconds / GAPS),
            None => None,
        };
        insert(&db, &mut self.parts, &mut self.known, points, host)?;
        self.events.take(&db, points)?;
        // A batch from the spool can be older than what is stored already.
        let known = match self.open {
            Some(minute) => minute,
            None => newest_stored(&db, &self.parts, newest)?,
        };
        let newest = if known <= newest.saturating_add(DAY) { newest.max(known) } else { newest };
        roll_up(&db, &self.parts, points, newest, self.open)?;
        self.open = Some(newest);
        if let Some(oldest) = drop_oldest(&db, &mut self.parts, &mut self.known, oldest.min(wall), self.keep)? {
            self.events.forget(&db, oldest)?;
        }
        db.commit()?;
        Ok(gap)
    }
}

/// Creates the file and its folder if they are missing, and checks that it can be written.
fn make_file(path: &Path) -> Result<(u64, u64), Trouble> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| refusal(folder, "make the folder of the store", &error))?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o640);
    let made = match options.clone().create_new(true).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(0o640)).and(Ok(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    };
    let file = made.and_then(|file| file.metadata()).map_err(|error| refusal(path, "write the store", &error))?;
    Ok((file.dev(), file.ino()))
}

/// An error of the system, as one to wait for or one to be resolved by a person.
pub fn refusal(path: &Path, doing: &str, error: &io::Error) -> Trouble {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let why = format!("{}: cannot {doing}: {error}", path.display());
    match error.kind() {
        StorageFull | QuotaExceeded | ReadOnlyFilesystem => Trouble::Later(why),
        _ => Trouble::Refused(format!(
            "{why}: let the daemon's user write there, or set `file` in [TSDB] to another place"
        )),
    }
}

/// Opens the database, creates its tables if it has none yet, and returns its parts.
fn connect(path: &Path) -> rusqlite::Result<Result<(Connection, Vec<Part>), Trouble>> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(32);
    let is_empty = schema::is_empty(&db)?;
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let shown = path.display();
    let tables = match (application, schema::tables(&db)?) {
        (APPLICATION, _) if version > VERSION => {
            return Ok(Err(Trouble::Refused(format!(
                "{shown}: written by a newer PuyPuy (schema {version}, this one knows {VERSION}): upgrade this one, \
                 or set `file` in [TSDB] to another place"
            ))));
        }
        (APPLICATION, Some(tables)) if version == VERSION => tables,
        (0, None) if is_empty => {
            db.execute_batch(&format!("PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL;"))?;
            let making = Transaction::new_unchecked(&db, TransactionBehavior::Immediate)?;
            making.execute_batch(schema::CREATE)?;
            making.pragma_update(None, "application_id", APPLICATION)?;
            making.pragma_update(None, "user_version", VERSION)?;
            making.commit()?;
            Tables::default()
        }
        (APPLICATION, _) | (_, Some(_)) => {
            return Ok(Err(Trouble::Damaged("header and tables do not belong together".into())));
        }
        _ => {
            return Ok(Err(Trouble::Refused(format!(
                "{shown}: a database, but not PuyPuy's: set `file` in [TSDB] to another place"
            ))));
        }
    };
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = {CHECKPOINT}; \
         PRAGMA journal_size_limit = {}; PRAGMA temp_store = MEMORY;",
        2 * CHECKPOINT * PAGE
    ))?;
    let found: String = db.query_row("PRAGMA quick_check(series)", [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(Err(Trouble::Damaged(found)));
    }
    bring_up(&db, &tables)?;
    let Tables { parts, quarters, .. } = tables;
    let parts = parts.into_iter().map(|since| {
        let has_quarters = quarters.binary_search(&since).is_ok();
        Part { since, has_quarters, points: None }
    });
    let parts = parts.collect();
    Ok(Ok((db, parts)))
}

/// Creates tables that an earlier version did not have, and drops quarters whose part it has dropped.
fn bring_up(db: &Connection, Tables { parts, quarters, has_events }: &Tables) -> rusqlite::Result<()> {
    let orphans = quarters.iter().filter(|since| parts.binary_search(since).is_err());
    let mut sql: String = orphans.map(|since| format!("DROP TABLE {}_{since};", QUARTERS.table)).collect();
    if !has_events {
        sql += schema::CREATE_EVENTS;
    }
    let bringing = Transaction::new_unchecked(db, TransactionBehavior::Deferred)?;
    bringing.execute_batch(&sql)?;
    bringing.commit()
}

/// An error of SQLite, with what to do about it.
pub fn explain(path: &Path, error: &rusqlite::Error) -> Trouble {
    use rusqlite::Error::{FromSqlConversionFailure, InvalidColumnType, QueryReturnedNoRows};
    let why = format!("{}: {error}", path.display());
    match error {
        FromSqlConversionFailure(..) | InvalidColumnType(..) | QueryReturnedNoRows => {
            Trouble::Damaged(error.to_string())
        }
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Damaged(error.to_string()),
            Some(ErrorCode::ReadOnly) if !is_writable_format(path) => Trouble::Damaged(error.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Trouble::Later(format!("{why}: another program keeps it locked"))
            }
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::FileLockingProtocolFailed,
            ) => Trouble::Later(why),
            _ => Trouble::Refused(format!(
                "{why}: let the daemon's user write it and the -wal and -shm beside it, or set `file` in [TSDB] to another place"
            )),
        },
    }
}

/// Whether the write version in the file's header is one that SQLite writes. It treats any other as read-only.
fn is_writable_format(path: &Path) -> bool {
    fs::File::open(path)
        .and_then(|mut file| {
            let mut header = [0; 19];
            io::Read::read_exact(&mut file, &mut header)?;
            Ok(matches!(header, [.., 1 | 2]))
        })
        .unwrap_or(true)
}

/// The start of the minute of this time.
fn minute_of(time: i64) -> i64 {
    MINUTES.begin(time)
}

/// The index of the part for a time.
fn place(parts: &[Part], time: i64) -> usize {
    parts.partition_point(|part| part.since <= time).saturating_sub(1)
}

/// Makes a new part that begins at this minute, if the part for it is full, and returns its index. Points after `ahead`
/// are ignored in that decision.
fn make_part(
    db: &Connection,
    parts: &mut Vec<Part>,
    minute: i64,
    ahead: i64,
    keep: Retention,
) -> rusqlite::Result<Option<usize>> {
    let mut at = place(parts, minute);
    if let Some(part) = parts.get_mut(at) {
        let span = minute.saturating_sub(part.since);
        let is_full = span >= (keep.seconds / PARTS).max(MINUTE)
            || span >= MINUTE && count(db, part)? >= keep.bytes / PARTS / BYTES_PER_POINT;
        let later = format!("SELECT EXISTS (SELECT 1 FROM raw_{} WHERE time BETWEEN ?1 AND ?2)", part.since);
        let is_late = || db.query_row(&later, [minute, ahead.max(minute)], |row| row.get::<_, bool>(0));
        if !is_full || parts.len() >= MOST_PARTS || is_late()? {
            return Ok(None);
        }
        at += 1;
    }
    let since = minute.max(0);
    parts.insert(at, Part { since, has_quarters: true, points: Some(0) });
    db.execute_batch(&schema::create_part(since))?;
    make_views(db, parts)?;
    Ok(Some(at))
}

/// Seconds between the newest point of the previous part and the start of this one; `None` if the previous part has no
/// points.
fn gap_before(db: &Connection, parts: &[Part], at: usize) -> rusqlite::Result<Option<i64>> {
    let before = at.checked_sub(1).and_then(|before| parts.get(before));
    let (Some(Part { since, .. }), Some(part)) = (before, parts.get(at)) else { return Ok(None) };
    let newest = format!("SELECT max(time) FROM raw_{since} WHERE time < ?1");
    let newest: Option<i64> = db.query_row(&newest, [part.since], |row| row.get(0))?;
    Ok(newest.map(|newest| part.since.saturating_sub(newest)))
}

fn make_views(db: &Connection, parts: &[Part]) -> rusqlite::Result<()> {
    let parts: Vec<i64> = parts.iter().map(|part| part.since).collect();
    db.execute_batch(&schema::create_views(&parts))
}

/// Number of points in this part; counted once, then updated.
fn count(db: &Connection, part: &mut Part) -> rusqlite::Result<i64> {
    let points = match part.points {
        Some(points) => points,
        None => db.query_row(&format!("SELECT count(*) FROM raw_{}", part.since), [], |row| row.get(0))?,
    };
    part.points = Some(points);
    Ok(points)
}

fn insert(
    db: &Connection,
    parts: &mut [Part],
    known: &mut KnownSeries,
    points: &[Point],
    host: &str,
) -> rusqlite::Result<()> {
    let mut rows = Vec::with_capacity(points.len());
    for point in points {
        let point = match point.kind {
            Kind::Special => Cow::Owned(point.clone().plain()),
            _ => Cow::Borrowed(point),
        };
        let at = place(parts, point.time);
        let reach = parts.get(at).map_or(point.time, |part| part.since.max(point.time));
        rows.push((at, point.time, identify(db, known, &point, host, reach)?, point.value));
    }
    // The sort is stable: of two points of a series at the same time the later one wins.
    rows.sort_by_key(|(_, time, id, _)| (*time, *id));
    for run in rows.chunk_by(|a, b| a.0 == b.0) {
        let Some(part) = run.first().and_then(|(at, ..)| parts.get_mut(*at)) else { continue };
        part.points = Some(count(db, part)?.saturating_add_unsigned(run.len() as u64));
        let mut put = db.prepare_cached(&format!("INSERT OR REPLACE INTO raw_{} VALUES (?1, ?2, ?3)", part.since))?;
        for (_, time, id, value) in run {
            put.execute(params![time, id, cell(*value)])?;
        }
    }
    Ok(())
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Int(number) => Cell::Integer(number),
        Value::Float(number) => Cell::Real(number),
    }
}

/// The id of the point's series, which is created if it is new.
fn identify(db: &Connection, known: &mut KnownSeries, point: &Point, host: &str, reach: i64) -> rusqlite::Result<i64> {
    let host = point.host.as_deref().unwrap_or(host);
    let kind = point.kind.word();
    let identity = fingerprint((point.key(), host, kind));
    if let Some(series) = known.get(&identity)
        && series.until >= reach
    {
        return Ok(series.id);
    }
    let mut tags = String::new();
    write_tags(&mut tags, &point.tags);
    // A day more than needed, so that this row is written once a day.
    let until = reach.saturating_add(DAY);
    let series = db
        .prepare_cached(
            "INSERT INTO series (name, host, type, kind, tags, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (name, host, type, kind, tags) DO UPDATE SET until = max(until, excluded.until) \
             RETURNING id, until",
        )?
        .query_row(params![point.name, host, point.check_type, kind, tags, until], |row| {
            Ok(Known { id: row.get(0)?, until: row.get(1)? })
        })?;
    let id = series.id;
    known.insert(identity, series);
    Ok(id)
}

/// The tags as a JSON object, sorted by key.
fn write_tags(text: &mut String, tags: &Tags) {
    let mut tags: Vec<_> = tags.iter().collect();
    tags.sort_unstable();
    text.push('{');
    for (position, (key, value)) in tags.into_iter().enumerate() {
        let comma = if position > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{}:{}", serde_json::Value::from(key), serde_json::Value::from(value));
    }
    text.push('}');
}

/// The newest stored minute, at most a day after `minute`: later times come from a wrong clock.
fn newest_stored(db: &Connection, parts: &[Part], minute: i64) -> rusqlite::Result<i64> {
    let end = minute.saturating_add(DAY);
    let mut newest = minute;
    for Part { since, .. } in parts.iter().take(place(parts, end) + 1).skip(place(parts, minute)) {
        let time = format!("SELECT max(time) FROM raw_{since} WHERE time <= ?1");
        let time: Option<i64> = db.query_row(&time, [end], |row| row.get(0))?;
        newest = newest.max(time.map_or(newest, minute_of));
    }
    Ok(newest)
}

/// Makes the rollups of finished minutes (the one left open by the previous batch, and those for which late points
/// came) and of their quarters.
fn roll_up(db: &Connection, parts: &[Part], points: &[Point], newest: i64, open: Option<i64>) -> rusqlite::Result<()> {
    let mut minutes: BTreeSet<i64> = points.iter().map(|point| minute_of(point.time)).collect();
    match open {
        Some(minute) => minutes.extend([minute]),
        None => minutes.extend(forgotten(db, parts, &MINUTES, newest)?),
    }
    if !is_over(db, parts, &MINUTES, newest)? {
        minutes.remove(&newest);
    }
    for minute in &minutes {
        let Some(Part { since, .. }) = parts.get(place(parts, *minute)) else { continue };
        db.prepare_cached(&MINUTES.make(*since))?.execute([*minute, MINUTES.end(*minute)])?;
    }
    let mut quarters: BTreeSet<i64> = minutes.into_iter().map(|minute| QUARTERS.begin(minute)).collect();
    let newest = QUARTERS.begin(newest);
    if open.is_none() {
        quarters.extend(forgotten(db, parts, &QUARTERS, newest)?);
    }
    if quarters.contains(&newest) && !is_over(db, parts, &QUARTERS, newest)? {
        quarters.remove(&newest);
    }
    for quarter in quarters {
        for Part { since, .. } in of_quarter(parts, quarter) {
            db.prepare_cached(&QUARTERS.make(*since))?.execute([quarter, QUARTERS.end(quarter)])?;
        }
    }
    Ok(())
}

/// The parts that may contain minutes of that quarter and have quarters.
fn of_quarter(parts: &[Part], quarter: i64) -> impl Iterator<Item = &Part> {
    let places = place(parts, quarter)..=place(parts, QUARTERS.end(quarter));
    parts.get(places).unwrap_or_default().iter().filter(|part| part.keeps(&QUARTERS))
}

/// Whether this row, or one of the following day, exists already: then points for it are late. Rollups further ahead
/// come from a wrong clock and do not count.
fn is_over(db: &Connection, parts: &[Part], rollup: &Rollup, begin: i64) -> rusqlite::Result<bool> {
    for Part { since, .. } in parts.iter().skip(place(parts, begin)).take(2).filter(|part| part.keeps(rollup)) {
        let later = format!("SELECT EXISTS (SELECT 1 FROM {}_{since} WHERE time BETWEEN ?1 AND ?2)", rollup.table);
        if db.prepare_cached(&later)?.query_row([begin, begin.saturating_add(DAY)], |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The starts of rows before `before` that an earlier process, or an earlier version, has not made.
fn forgotten(db: &Connection, parts: &[Part], rollup: &Rollup, before: i64) -> rusqlite::Result<Vec<i64>> {
    let Rollup { table, source, length, .. } = rollup;
    let mut begins = Vec::new();
    for Part { since, .. } in parts.iter().filter(|part| part.keeps(rollup)) {
        let rolled = format!("SELECT max(time) FROM {table}_{since} WHERE time < ?1");
        let rolled: Option<i64> = db.query_row(&rolled, [before], |row| row.get(0))?;
        let mut from = rolled.map_or(i64::MIN, |begin| begin.saturating_add(*length));
        let mut next = db.prepare(&format!("SELECT min(time) FROM {source}_{since} WHERE time >= ?1 AND time < ?2"))?;
        while let Some(time) = next.query_row([from, before], |row| row.get::<_, Option<i64>>(0))? {
            begins.push(rollup.begin(time));
            from = rollup.begin(time).saturating_add(*length);
        }
    }
    Ok(begins)
}

/// Drops the oldest part, and the series that are only in it, if the whole part is too old at the time `now` or the
/// file is too large. Returns the start of the oldest part that is left. One part at a time: it is small enough to be
/// dropped without a noticeable pause.
fn drop_oldest(
    db: &Connection,
    parts: &mut Vec<Part>,
    known: &mut KnownSeries,
    now: i64,
    keep: Retention,
) -> rusqlite::Result<Option<i64>> {
    let [oldest, second, ..] = parts.as_slice() else { return Ok(None) };
    let (oldest, second) = (oldest.since, second.since);
    // Gaps are searched only if they can matter.
    let is_old = now.saturating_sub(second) >= keep.seconds && age(db, parts, now, keep)? >= keep.seconds;
    if !is_old && used(db)? <= keep.bytes {
        return Ok(None);
    }
    db.execute_batch(&schema::drop_part(oldest))?;
    parts.remove(0);
    make_views(db, parts)?;
    db.execute("DELETE FROM series WHERE until < ?1", [second])?;
    known.retain(|_, series| series.until >= second);
    Ok(Some(second))
}

/// Seconds since the end of the oldest part, gaps not counted: a clock that jumps ahead makes no point older.
fn age(db: &Connection, parts: &[Part], now: i64, keep: Retention) -> rusqlite::Result<i64> {
    let mut age = parts.get(1).map_or(0, |second| now.saturating_sub(second.since));
    for at in 2..=place(parts, now) {
        let gap = gap_before(db, parts, at)?.unwrap_or(0);
        if gap >= keep.seconds / GAPS {
            age = age.saturating_sub(gap);
        }
    }
    Ok(age)
}

/// Bytes of the file that are in use.
fn used(db: &Connection) -> rusqlite::Result<i64> {
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
}
