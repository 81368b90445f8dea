//! Aggregates points into columns of equal width, from which charts are drawn.

use super::query::Window;
use crate::model::error::Result;
use crate::model::point::Value;
use crate::sink::local::{Grain, Reader, Summary};
use crate::sink::number;

/// From these widths on, in seconds, columns are computed from the rollups per quarter of an hour, and per minute.
const OF_QUARTERS: i64 = 450;
const OF_MINUTES: i64 = 30;
/// Smaller whole numbers are written exactly: a counter's change is computed from them, and a timestamp needs all
/// digits.
const EXACT: f64 = (1_u64 << 53) as f64;

/// The positions of the columns. They start at multiples of their width, so they do not move as time goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    pub grain: Grain,
    pub from: i64,
    pub step: i64,
    pub count: i64,
}

impl Axis {
    /// Columns that cover that window, each of at least `width` seconds, for points that come every `period` seconds.
    pub fn new(Window { from, to }: Window, width: i64, period: i64) -> Axis {
        let (grain, unit) = match width {
            OF_QUARTERS.. => (Grain::Quarter, 900),
            OF_MINUTES.. => (Grain::Minute, 60),
            _ => (Grain::Raw, period.max(1)),
        };
        let step = width.max(1).saturating_add(unit - 1) / unit * unit;
        let begin = from.saturating_sub(from.rem_euclid(step));
        let count = to.saturating_sub(begin).saturating_add(step - 1) / step;
        Axis { grain, from: begin, step, count }
    }

    pub fn to(&self) -> i64 {
        self.from.saturating_add(self.step.saturating_mul(self.count))
    }

    fn column(&self, time: i64) -> Option<usize> {
        usize::try_from(time.checked_sub(self.from)?.checked_div_euclid(self.step)?).ok()
    }
}

/// The summary of a column's points.
#[derive(Clone, Copy)]
struct Column {
    n: i64,
    sum: f64,
    min: f64,
    max: f64,
}

const EMPTY: Column = Column { n: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

impl Column {
    fn add(&mut self, of: &Summary) {
        let number = Value::as_f64;
        self.n = self.n.saturating_add(of.n);
        self.sum += of.sum;
        self.min = self.min.min(number(of.min));
        self.max = self.max.max(number(of.max));
    }
}

/// The columns of these series (ids, sorted), as a JSON list.
pub fn read(store: Option<&Reader>, ids: &[i64], axis: Axis) -> Result<String> {
    let count = usize::try_from(axis.count).unwrap_or(0);
    let mut series = vec![vec![EMPTY; count]; ids.len()];
    if let Some(store) = store {
        store.read(axis.grain, ids, axis.from..=axis.to().saturating_sub(1), |summary| {
            let columns = ids.binary_search(&summary.series).ok().and_then(|at| series.get_mut(at));
            let column = axis.column(summary.time);
            if let Some(column) = columns.zip(column).and_then(|(columns, at)| columns.get_mut(at)) {
                column.add(&summary);
            }
        })?;
    }
    let series: Vec<String> = ids.iter().zip(&series).map(|(id, columns)| told(*id, columns)).collect();
    Ok(format!("[{}]", series.join(",")))
}

/// The means; minima and maxima only if they differ from the means.
fn told(id: i64, columns: &[Column]) -> String {
    let list = |number: fn(&Column) -> f64| {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| Some(number(column)).filter(|_| column.n > 0))
            .map(|number| number.and_then(rounded).unwrap_or("null".into()))
            .collect();
        cells.join(",")
    };
    let mean = list(|column| column.sum / column.n as f64);
    let mut text = format!("{{\"id\":{id},\"avg\":[{mean}]");
    for (name, extreme) in [("min", list(|column| column.min)), ("max", list(|column| column.max))] {
        if extreme != mean {
            text += &format!(",\"{name}\":[{extreme}]");
        }
    }
    text + "}"
}

/// A whole number exactly, any other with four significant digits; `None` for NaN and infinity.
fn rounded(exact: f64) -> Option<String> {
    let is_told = exact.fract() == 0.0 && exact.abs() < EXACT;
    let number = if is_told { exact } else { format!("{exact:.3e}").parse().ok()? };
    let mut text = Vec::new();
    number::push_float(&mut text, Some(number).filter(|number| number.is_finite())?);
    String::from_utf8(text).ok()
}
