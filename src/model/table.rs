//! Table lines: which cell of a parsed row becomes which metric, and how.
//!
//! A check declares its metrics once, as `const FIELDS: &[Field]`, with full literal names: `grep drive_reads` finds the
//! line. [`crate::check::Out::pick`] applies such a table to a row; a metric that is computed rather than read is put by its line.

use crate::model::rates::Backward;

/// From here on, a page below 2^63, a count is no number: one that fell below 0 comes out as more, a limit that is none as this,
/// and no store takes it as an integer.
pub const NO_COUNT: u64 = (1 << 63) - 4096;

/// What is done with the raw number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Gauge,
    Percent,
    /// Change per second.
    Rate,
    /// Change since the previous tick, a gauge.
    Delta,
    /// The raw count, sent as read.
    Counter,
}

/// One line of a check's table.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Cell of the row; empty where the check computes the number.
    pub cell: &'static str,
    /// With braces it is a pattern, for numbers that have names of their own: `envoy_{scope}_downstream_cx_total`.
    pub metric: &'static str,
    /// Of the number as it is told: `bytes/s`, `%`, `connections`; empty where only the name or the source knows it.
    pub unit: &'static str,
    pub how: How,
    /// Integer on the wire; what is computed is rounded then.
    pub int: bool,
    pub scale: f64,
    pub reaction: i8,
    /// A missing cell is no fault.
    pub optional: bool,
    pub backward: Backward,
    /// The most that it can be, as it is told: 100 for a percentage.
    pub most: Option<f64>,
    /// The cell of the whole that it is a part of.
    pub whole: Option<&'static str>,
}

const fn line(cell: &'static str, metric: &'static str, unit: &'static str, how: How) -> Field {
    let (optional, backward) = (false, Backward::Reset);
    Field { cell, metric, unit, how, int: false, scale: 1.0, reaction: 0, optional, backward, most: None, whole: None }
}

/// A level, a float unless [`Field::int`] follows.
pub const fn gauge(cell: &'static str, metric: &'static str, unit: &'static str) -> Field {
    line(cell, metric, unit, How::Gauge)
}

/// A share of 100.
pub const fn percent(cell: &'static str, metric: &'static str) -> Field {
    line(cell, metric, "%", How::Percent).most(100.0)
}

/// A counter, told as change per second, which is what the unit is of.
pub const fn rate(cell: &'static str, metric: &'static str, unit: &'static str) -> Field {
    line(cell, metric, unit, How::Rate)
}

/// A counter, told as change since the previous tick.
pub const fn delta(cell: &'static str, metric: &'static str, unit: &'static str) -> Field {
    line(cell, metric, unit, How::Delta)
}

/// A counter, told as read; an integer.
pub const fn counter(cell: &'static str, metric: &'static str, unit: &'static str) -> Field {
    line(cell, metric, unit, How::Counter).int()
}

/// Whether the name fits the pattern, in which `{word}` stands for one letter or more.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('{').map(|part| part.split_once('}').map_or(part, |(_, text)| text));
    let Some(mut rest) = parts.next().and_then(|begin| name.strip_prefix(begin)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(end) = parts.pop() else { return rest.is_empty() };
    // The first place of each is as good as any: what follows has the most letters left.
    for part in parts {
        let mut letters = rest.chars();
        letters.next();
        match letters.as_str().split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.strip_suffix(end).is_some_and(|open| !open.is_empty())
}

impl Field {
    /// Whether it tells the metric of that name: its own, or one that its pattern fits.
    pub fn tells(&self, name: &str) -> bool {
        fits(self.metric, name)
    }

    /// An integer on the wire.
    pub const fn int(mut self) -> Field {
        self.int = true;
        self
    }

    /// A float on the wire, for a counter.
    pub const fn float(mut self) -> Field {
        self.int = false;
        self
    }

    /// Multiplied by `factor` before it is sent (sectors to bytes, milliseconds to percent).
    pub const fn scale(mut self, factor: f64) -> Field {
        self.scale = factor;
        self
    }

    pub const fn reaction(mut self, reaction: i8) -> Field {
        self.reaction = reaction;
        self
    }

    pub const fn optional(mut self) -> Field {
        self.optional = true;
        self
    }

    /// What is more, or grows faster, is no number.
    pub const fn most(mut self, most: f64) -> Field {
        self.most = Some(most);
        self
    }

    /// A percentage of something else than a whole: of one CPU of several.
    pub const fn unbounded(mut self) -> Field {
        self.most = None;
        self
    }

    /// What is more than that cell of its row is no number.
    pub const fn part_of(mut self, whole: &'static str) -> Field {
        self.whole = Some(whole);
        self
    }

    /// What a smaller count than before means.
    pub const fn backward(mut self, rule: Backward) -> Field {
        self.backward = rule;
        self
    }
}

/// A cell as parsed, borrowed from the text it came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw<'a> {
    Count(u64),
    Int(i64),
    Float(f64),
    /// Digits not yet read; becomes a number when its table line asks for it.
    Text(&'a str),
}

impl Raw<'_> {
    /// As a whole number from 0; `None` for anything else.
    pub fn count(self) -> Option<u64> {
        match self {
            Raw::Count(count) => Some(count),
            Raw::Int(number) => u64::try_from(number).ok(),
            Raw::Float(_) => None,
            Raw::Text(digits) => digits.trim_ascii().parse().ok(),
        }
    }
}

impl From<u64> for Raw<'_> {
    fn from(n: u64) -> Self {
        Raw::Count(n)
    }
}

impl From<i64> for Raw<'_> {
    fn from(n: i64) -> Self {
        Raw::Int(n)
    }
}

impl From<f64> for Raw<'_> {
    fn from(n: f64) -> Self {
        Raw::Float(n)
    }
}

impl<'a> From<&'a str> for Raw<'a> {
    fn from(text: &'a str) -> Self {
        Raw::Text(text)
    }
}

/// Named cells of one thing: a disk, a core, a status page.
#[derive(Clone, Debug, Default)]
pub struct Row<'a>(Vec<(&'a str, Raw<'a>)>);

impl<'a> Row<'a> {
    pub fn of<R: Into<Raw<'a>>>(cells: impl IntoIterator<Item = (&'a str, R)>) -> Row<'a> {
        Row(cells.into_iter().map(|(name, raw)| (name, raw.into())).collect())
    }

    /// The first cell of that name.
    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.0.iter().find(|(cell, _)| *cell == name).map(|(_, raw)| *raw)
    }

    /// The whole number from 0 in the first cell of that name.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.get(name)?.count()
    }

    /// Whether it has a cell of one of these lines.
    pub fn has_any(&self, fields: &[Field]) -> bool {
        fields.iter().any(|field| self.get(field.cell).is_some())
    }

    pub fn push(&mut self, name: &'a str, raw: impl Into<Raw<'a>>) {
        self.0.push((name, raw.into()));
    }
}

/// A part of a whole that is there; never more than it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    part: u64,
    whole: u64,
}

impl Share {
    /// `None` where the part is the greater, and where the whole is none or no count.
    pub fn of(part: u64, whole: u64) -> Option<Share> {
        (1..NO_COUNT).contains(&whole).then_some(Share { part, whole }).filter(|_| part <= whole)
    }

    /// All of the whole but this part.
    pub fn rest(self) -> Share {
        Share { part: self.whole.saturating_sub(self.part), ..self }
    }

    pub fn part(self) -> u64 {
        self.part
    }

    pub fn percent(self) -> f64 {
        self.part as f64 * 100.0 / self.whole as f64
    }
}
