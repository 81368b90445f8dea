//! Health events in the store: a row for each change of level, with its message.

use crate::model::point::{Kind, Level, MESSAGE, Point};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

/// The newest judgement of each event, by name.
pub struct Events(HashMap<String, Judgement>);

struct Judgement {
    time: i64,
    level: i64,
    message: String,
    /// Time of a row that was written to end a late judgement, while its real end is not known.
    guess: Option<i64>,
}

impl Events {
    /// Reads them from the rows.
    pub fn load(db: &Connection) -> rusqlite::Result<Events> {
        let mut rows = db.prepare("SELECT name, max(time), level, message FROM event GROUP BY name")?;
        let rows = rows.query_map([], |row| {
            Ok((row.get(0)?, Judgement { time: row.get(1)?, level: row.get(2)?, message: row.get(3)?, guess: None }))
        })?;
        Ok(Events(rows.collect::<rusqlite::Result<_>>()?))
    }

    /// Takes the judgements of a batch, the points of [`Kind::Special`]. Of several judgements of an event at the same
    /// time the worst counts.
    pub fn take(&mut self, db: &Connection, points: &[Point]) -> rusqlite::Result<()> {
        let mut events: Vec<&Point> = points.iter().filter(|point| point.kind == Kind::Special).collect();
        let order = |a: &Point, b: &Point| (a.time, &a.name).cmp(&(b.time, &b.name));
        events.sort_by(|a, b| order(a, b).then(b.value.as_f64().total_cmp(&a.value.as_f64())));
        events.dedup_by(|next, first| order(next, first).is_eq());
        events.into_iter().try_for_each(|event| self.judge(db, event))
    }

    /// Writes a row if the level changes. Before its first judgement an event counts as `ok`.
    fn judge(&mut self, db: &Connection, event: &Point) -> rusqlite::Result<()> {
        let (name, time) = (event.name.as_ref(), event.time);
        let level = Level::from_number(event.value.as_f64()).number();
        let message = event.tags.iter().find(|(key, _)| *key == MESSAGE).map_or("", |(_, text)| text);
        let newest = self.0.get_mut(name);
        let known = newest.as_ref().map_or(Level::Ok.number(), |newest| newest.level);
        match newest {
            Some(newest) if newest.time > time => return late(db, event, (level, message), newest),
            Some(newest) if known == level => {
                newest.time = time;
                message.clone_into(&mut newest.message);
            }
            _ => {
                let judgement = Judgement { time, level, message: message.into(), guess: None };
                self.0.insert(name.into(), judgement);
            }
        }
        if known != level {
            put(db, (time, name, level, message))?;
        }
        Ok(())
    }

    /// Deletes older rows, and events without a judgement since. The last change of an event that is not `ok` stays.
    pub fn forget(&mut self, db: &Connection, oldest: i64) -> rusqlite::Result<()> {
        let gone: Vec<String> = self.0.extract_if(|_, newest| newest.time < oldest).map(|(name, _)| name).collect();
        for name in gone {
            db.execute("DELETE FROM event WHERE name = ?1 AND time < ?2", params![name, oldest])?;
        }
        db.execute(
            "DELETE FROM event WHERE time < ?1 AND (level = ?2 OR EXISTS \
             (SELECT 1 FROM event AS later WHERE later.name = event.name AND later.time > event.time))",
            [oldest, Level::Ok.number()],
        )?;
        Ok(())
    }
}

/// A judgement that came after a newer one. If it changes the level, that lasts until the next row; if there is none,
/// until the newest judgement, as long as no earlier end is known.
fn late(db: &Connection, event: &Point, (level, message): (i64, &str), newest: &mut Judgement) -> rusqlite::Result<()> {
    let (name, time) = (event.name.as_ref(), event.time);
    let before = db
        .prepare("SELECT level FROM event WHERE name = ?1 AND time < ?2 ORDER BY time DESC LIMIT 1")?
        .query_row(params![name, time], |row| row.get::<_, i64>(0))
        .optional()?;
    if before.unwrap_or(Level::Ok.number()) == level {
        return Ok(());
    }
    put(db, (time, name, level, message))?;
    let after = db
        .prepare("SELECT time, level FROM event WHERE name = ?1 AND time > ?2 ORDER BY time LIMIT 1")?
        .query_row(params![name, time], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    match after {
        Some((after, same)) if same == level && newest.guess == Some(after) => {
            db.execute("DELETE FROM event WHERE name = ?1 AND time = ?2", params![name, after])?;
            newest.guess = None;
        }
        None if newest.level != level => {
            put(db, (newest.time, name, newest.level, &newest.message))?;
            newest.guess = Some(newest.time);
        }
        _ => {}
    }
    Ok(())
}

fn put(db: &Connection, (time, name, level, message): (i64, &str, i64, &str)) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![time, name, level, message])?;
    Ok(())
}
