//! `puypuy show`: prints the local store's series of a time span, one line each.

mod matters;
mod watch;

use super::render::{columns, printable, readable_age};
use super::{Manner, Wanted};
use crate::checks;
use crate::model::error::{Error, Result};
use crate::model::point::{Kind, Value};
use crate::model::table::{Field, How};
use crate::sink::local::{Grain, Reader, Series, Summary};
use matters::Ranks;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::Path;

/// Longest span in seconds for which single points are read; beyond it, the rollups per minute.
const POINTWISE: i64 = 2 * 3600;

/// Most columns of a sparkline.
const COLUMNS: i64 = 32;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Most rows without a pattern and `--all`.
const ROWS: usize = 20;

/// A running daemon should have stored something within this many periods.
const FRESH: u32 = 3;
/// Points younger than this many seconds always count as recent, because times are whole seconds.
const LEAST: f64 = 3.0;

/// A summary of one series within the span.
#[derive(Clone, Copy)]
struct Line {
    min: Value,
    max: Value,
    last: Value,
    /// Time of the last value, or the start of its minute.
    time: i64,
    /// Sum and number of points in each column.
    columns: [(f64, i64); COLUMNS as usize],
}

/// The start of all sparklines, and the seconds per column.
#[derive(Clone, Copy)]
struct Axis {
    start: i64,
    step: i64,
}

/// The series of a span with their summaries, the most important first.
struct Shown {
    series: Vec<(Series, Line)>,
    now: i64,
    /// A message if the newest of all numbers is old.
    old: Option<String>,
    /// How many of the series are shown in the table.
    rows: usize,
}

/// Prints the series with that name that have a point in the span up to `now`; first a message if the newest of all
/// numbers is old.
///
/// # Errors
/// There is no store yet, no such series, no point in that span, or the store cannot be read.
pub fn show(file: &Path, wanted: Wanted, now: i64, out: &mut dyn Write) -> Result<()> {
    let text = match wanted.manner {
        Manner::Watch => return watch::watch(file, wanted),
        Manner::Table => read(file, wanted, now)?.table(),
        Manner::Json => read(file, wanted, now)?.json(),
    };
    let _ = out.write_all(text.as_bytes());
    Ok(())
}

fn read(file: &Path, wanted: Wanted, now: i64) -> Result<Shown> {
    let Wanted { pattern, last, period, all, .. } = wanted;
    let Some(store) = Reader::open(file)? else {
        return Err(Error::daemon(format!("{}: no store there yet; `puypuy start` begins one", file.display())));
    };
    let mut series = store.series()?;
    series.retain(|series| holds(&series.name, pattern.unwrap_or_default()));
    if series.is_empty() {
        let of = pattern.map(|pattern| format!(" whose name holds {pattern:?}")).unwrap_or_default();
        return Err(Error::daemon(format!("{}: no series{of}", file.display())));
    }
    let span = now.saturating_sub_unsigned(last.as_secs())..=now;
    let mut lines = gather(&store, &series, span)?;
    let newest = store.newest(now)?.map(|time| now.saturating_sub(time));
    let old = newest.filter(|age| *age > (period * FRESH).as_secs_f64().ceil().max(LEAST) as i64).map(|age| {
        let (age, periods, seconds) = (readable_age(age), FRESH, period.as_secs_f64());
        format!(
            "the newest number of all is {age} old, more than {periods} periods of {seconds} s: \
             `puypuy status` tells whether the daemon runs, and where its log is"
        )
    });
    if lines.is_empty() {
        let newest = old.or_else(|| newest.map(|age| format!("the newest number of all is {} old", readable_age(age))));
        let newest = newest.map_or(String::new(), |newest| format!("; {newest}"));
        let (file, span) = (file.display(), last.as_secs());
        return Err(Error::daemon(format!("{file}: no such point in the last {span} s{newest}")));
    }
    let mut series: Vec<_> =
        series.into_iter().filter_map(|series| lines.remove(&series.id).map(|line| (series, line))).collect();
    let mut rows = series.len();
    if pattern.is_none() && !all {
        let mut ranks = Ranks::default();
        series.sort_by_cached_key(|(series, _)| ranks.of(&series.name, &tags(series)));
        rows = rows.min(ROWS);
    }
    Ok(Shown { series, now, old, rows })
}

impl Shown {
    /// As a table for people.
    fn table(&self) -> String {
        let shown = self.series.get(..self.rows).unwrap_or_default();
        let hosts = shown.iter().any(|(one, _)| shown.first().is_some_and(|(first, _)| first.host != one.host));
        let group = width_of_a_bar(shown.iter().map(|(_, line)| line));
        let head = ["metric", "tags", "last", "unit", "age", "min", "max", ""].map(String::from);
        let rows = shown.iter().map(|(series, line)| row(series, line, self.now, hosts, group));
        let table = columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), &[2, 4, 5, 6]);
        let old = self.old.as_ref().map(|old| format!("# {old}\n")).unwrap_or_default();
        let (rows, all) = (self.rows, self.series.len());
        let more = format!("# {rows} of {all} series; a part of a name shows those that hold it, --all shows all\n");
        format!("{old}{table}{}", if rows < all { &more } else { "" })
    }

    /// As JSON for programs: one object per line, all series.
    fn json(&self) -> String {
        let object = |(series, line): &(Series, Line)| {
            let tags: serde_json::Value = serde_json::from_str(&series.tags).unwrap_or_default();
            let [last, min, max] = [line.last, line.min, line.max].map(|value| match value {
                Value::Int(number) => json!(number),
                Value::Float(number) => json!(number),
            });
            let (age, unit) = (self.now.saturating_sub(line.time), unit(series));
            let about = json!({
                "name": series.name, "host": series.host, "type": series.check_type, "kind": series.kind, "tags": tags,
                "last": last, "time": line.time, "age": age, "min": min, "max": max, "unit": unit,
            });
            format!("{about}\n")
        };
        self.series.iter().map(object).collect()
    }
}

/// The unit of the stored number; for a counter that is the unit of the count, not of its rate.
fn unit(series: &Series) -> Option<&'static str> {
    let is_counter = |field: &Field| matches!(field.how, How::Counter);
    let counter = if series.kind == Kind::Counter.word() { checks::field(&series.name, is_counter) } else { None };
    counter.map(|field| field.unit).or_else(|| checks::unit(&series.name)).filter(|unit| !unit.is_empty())
}

/// As `key=value`.
fn tags(series: &Series) -> Vec<String> {
    let tags: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&series.tags).unwrap_or_default();
    tags.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect()
}

/// Whether the parts of the pattern between its stars appear in this order in the name.
fn holds(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.to_lowercase(), pattern.to_lowercase());
    pattern.split('*').try_fold(name.as_str(), |rest, piece| rest.split_once(piece).map(|(_, rest)| rest)).is_some()
}

/// Time of the newest point up to `now`, in Unix seconds; `None` if there is no point or no store.
pub fn last_stored(file: &Path, now: i64) -> Result<Option<i64>> {
    Reader::open(file)?.map_or(Ok(None), |store| store.newest(now))
}

fn gather(store: &Reader, series: &[Series], span: RangeInclusive<i64>) -> Result<BTreeMap<i64, Line>> {
    let mut ids: Vec<i64> = series.iter().map(|series| series.id).collect();
    ids.sort_unstable();
    // If the store is younger than the span, the sparkline starts at its oldest point.
    let start = store.oldest(&span)?.unwrap_or(*span.start());
    let axis = Axis { start, step: span.end().saturating_sub(start) / COLUMNS + 1 };
    let mut lines = BTreeMap::new();
    let grain = if span.end().saturating_sub(start) > POINTWISE { Grain::Minute } else { Grain::Raw };
    store.read(grain, &ids, span, |summary| add(&mut lines, axis, summary))?;
    Ok(lines)
}

fn add(lines: &mut BTreeMap<i64, Line>, axis: Axis, of: Summary) {
    let blank = Line { min: of.min, max: of.max, last: of.last, time: of.time, columns: [(0.0, 0); COLUMNS as usize] };
    let line = lines.entry(of.series).or_insert(blank);
    if of.min.as_f64() < line.min.as_f64() {
        line.min = of.min;
    }
    if of.max.as_f64() > line.max.as_f64() {
        line.max = of.max;
    }
    (line.last, line.time) = (of.last, of.time);
    let column = usize::try_from(of.time.saturating_sub(axis.start) / axis.step).unwrap_or(0);
    if let Some((sum, n)) = line.columns.get_mut(column) {
        *sum += of.sum;
        *n += of.n;
    }
}

fn row(series: &Series, line: &Line, now: i64, hosts: bool, group: usize) -> [String; 8] {
    let host = hosts.then(|| format!("host={}", series.host));
    let tags: Vec<String> = host.into_iter().chain(tags(series)).collect();
    let [last, min, max] = [line.last, line.min, line.max].map(readable);
    let age = readable_age(now.saturating_sub(line.time));
    let (name, tags, unit) = (printable(&series.name), printable(&tags.join(" ")), unit(series).unwrap_or_default());
    [name, tags, last, unit.into(), age, min, max, sparkline(line, group)]
}

/// With at most three decimals, or in scientific notation.
fn readable(value: Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Float(number) if number != 0.0 && !(1e-3..1e15).contains(&number.abs()) => format!("{number:.2e}"),
        Value::Float(number) => {
            let text = format!("{number:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        }
    }
}

/// How many columns become one bar, so that the series with the most points has no gaps.
fn width_of_a_bar<'a>(lines: impl Iterator<Item = &'a Line> + Clone) -> usize {
    let used = |line: &Line| line.columns.iter().rposition(|(_, n)| *n > 0).map_or(1, |last| last + 1);
    let points = |line: &Line| line.columns.iter().map(|(_, n)| *n as usize).sum::<usize>();
    let (used, points) = (lines.clone().map(used).max(), lines.map(points).max());
    used.unwrap_or(1).div_ceil(points.unwrap_or(1).max(1))
}

/// The mean of each `group` of columns as a bar between the lowest and the highest mean; a space where there is no
/// point.
fn sparkline(line: &Line, group: usize) -> String {
    let mean = |columns: &[(f64, i64)]| {
        let n: i64 = columns.iter().map(|(_, n)| n).sum();
        (n > 0).then(|| columns.iter().map(|(sum, _)| sum).sum::<f64>() / n as f64)
    };
    let means: Vec<Option<f64>> = line.columns.chunks(group).map(mean).collect();
    let known = || means.iter().flatten().copied();
    let (low, high) = (known().fold(f64::MAX, f64::min), known().fold(f64::MIN, f64::max));
    let bar = |mean: f64| {
        let height = if high > low { (mean - low) / (high - low) * 7.0 } else { 0.0 };
        BARS.get(height.round() as usize).copied().unwrap_or(' ')
    };
    let text: String = means.iter().map(|mean| mean.map_or(' ', bar)).collect();
    text.trim_end().to_string()
}
