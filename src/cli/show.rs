//! `puypuy show`: what the local store holds of a span, a line a series.

use super::commands::Wanted;
use super::render::{columns, readable_age};
use crate::model::error::{Error, Result};
use crate::model::point::Value;
use crate::sink::local::{Grain, Reader, Series, Summary};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::Path;

/// Longest span that is read point by point; beyond it the rollups per minute are read.
const POINTWISE: i64 = 2 * 3600;

/// Most columns of a sparkline.
const COLUMNS: i64 = 32;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Periods after which a daemon that runs should have stored something.
const FRESH: u32 = 3;
/// Seconds that count as fresh whatever the period: times are whole seconds.
const LEAST: f64 = 3.0;

/// What the span's points of one series come to.
#[derive(Clone, Copy)]
struct Line {
    min: Value,
    max: Value,
    last: Value,
    /// When that was, or the begin of its minute.
    time: i64,
    /// Sum and number of points in each column.
    columns: [(f64, i64); COLUMNS as usize],
}

/// Where the columns of all sparklines begin, and how many seconds one is wide.
#[derive(Clone, Copy)]
struct Axis {
    start: i64,
    step: i64,
}

/// Prints the series of such a name that have a point in the span up to `now`; before them a line where the newest number of all
/// is old.
///
/// # Errors
/// No store there yet, nothing in it of that name or in that span, or it cannot be read.
pub fn show(file: &Path, wanted: Wanted, now: i64, out: &mut dyn Write) -> Result<()> {
    let Wanted { pattern, last, period } = wanted;
    let Some(store) = Reader::open(file)? else {
        return Err(Error::daemon(format!("{}: no store there yet; `puypuy start` begins one", file.display())));
    };
    let pattern = pattern.unwrap_or_default();
    let mut series = store.series()?;
    series.retain(|series| holds(&series.name, pattern));
    if series.is_empty() {
        let of = if pattern.is_empty() { String::new() } else { format!(" whose name holds {pattern:?}") };
        return Err(Error::daemon(format!("{}: no series{of}", file.display())));
    }
    let span = now.saturating_sub_unsigned(last.as_secs())..=now;
    let lines = gather(&store, &series, span)?;
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
    if let Some(old) = old {
        let _ = writeln!(out, "# {old}");
    }
    let hosts = series.iter().any(|one| series.first().is_some_and(|first| first.host != one.host));
    let group = width_of_a_bar(&lines);
    let rows =
        series.iter().filter_map(|series| lines.get(&series.id).map(|line| row(series, line, now, hosts, group)));
    print(rows.collect(), out);
    Ok(())
}

/// Whether the pieces of the pattern between its stars come one after the other in the name.
fn holds(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.to_lowercase(), pattern.to_lowercase());
    pattern.split('*').try_fold(name.as_str(), |rest, piece| rest.split_once(piece).map(|(_, rest)| rest)).is_some()
}

/// Time of the newest point up to `now`, in Unix seconds; `None` when there is none, or no store.
pub fn last_stored(file: &Path, now: i64) -> Result<Option<i64>> {
    Reader::open(file)?.map_or(Ok(None), |store| store.newest(now))
}

fn gather(store: &Reader, series: &[Series], span: RangeInclusive<i64>) -> Result<BTreeMap<i64, Line>> {
    let mut ids: Vec<i64> = series.iter().map(|series| series.id).collect();
    ids.sort_unstable();
    // A store younger than the span fills the whole line.
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

fn row(series: &Series, line: &Line, now: i64, hosts: bool, group: usize) -> [String; 7] {
    let tags: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&series.tags).unwrap_or_default();
    let host = hosts.then(|| format!("host={}", series.host));
    let tags = tags.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let tags: Vec<String> = host.into_iter().chain(tags).collect();
    let [last, min, max] = [line.last, line.min, line.max].map(readable);
    let age = readable_age(now.saturating_sub(line.time));
    [series.name.clone(), tags.join(" "), last, age, min, max, sparkline(line, group)]
}

/// At most three decimals; more than a metric of this size can mean is not shown.
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

/// How many columns make a bar, so that the series with the most points has one in each.
fn width_of_a_bar(lines: &BTreeMap<i64, Line>) -> usize {
    let used = |line: &Line| line.columns.iter().rposition(|(_, n)| *n > 0).map_or(1, |last| last + 1);
    let points = |line: &Line| line.columns.iter().map(|(_, n)| *n as usize).sum::<usize>();
    let (used, points) = (lines.values().map(used).max(), lines.values().map(points).max());
    used.unwrap_or(1).div_ceil(points.unwrap_or(1).max(1))
}

/// The means between the lowest and the highest of them, each over so many columns; a blank where no point is.
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

fn print(mut rows: Vec<[String; 7]>, out: &mut dyn Write) {
    rows.insert(0, ["metric", "tags", "last", "age", "min", "max", ""].map(String::from));
    let _ = out.write_all(columns(&rows, &[2, 3, 4, 5]).as_bytes());
}
