//! The Prometheus text format: one sample per line, and comments that give the type of a metric (Prometheus
//! documentation, "Text-based format"). Quoted names and the additions of OpenMetrics are read as well; exemplars are
//! ignored.

use super::time::whole;
use crate::model::error::quote;
use crate::model::fingerprint::fingerprint;
use memchr::{memchr2, memchr3};
use std::borrow::Cow;

/// The content of one line.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    /// An empty line or a comment.
    Nothing,
    /// `# TYPE name counter`
    Type {
        name: Cow<'a, str>,
        kind: &'a str,
    },
    /// `# EOF`, the end of an OpenMetrics page.
    End,
    Sample(Sample<'a>),
}

/// Names and values of labels, in the order of the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Labels<'_> {
    /// The value of the label with this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(label, _)| *label == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The labels with these names, in the order of `names`.
    pub fn of<'n>(&'n self, names: &'n [&str]) -> impl Iterator<Item = (&'n str, &'n str)> {
        names.iter().filter_map(|name| Some((*name, self.get(name)?)))
    }

    /// Identifies a sample among those of its metric.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.0)
    }
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    pub name: Cow<'a, str>,
    pub labels: Labels<'a>,
    /// May be NaN or infinite: the format has words for both.
    pub value: f64,
    /// The timestamp as written: milliseconds since 1970, or seconds in OpenMetrics; fractions are cut off.
    pub time: Option<i64>,
}

/// Parses a line.
///
/// # Errors
/// The line is malformed; the text says how.
pub fn parse(text: &str) -> Result<Line<'_>, &'static str> {
    let text = text.trim();
    if let Some(comment) = text.strip_prefix('#') {
        return Ok(of_comment(comment.trim_start()));
    }
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    let (name, rest) = split_name(text);
    sample(name, rest).map(Line::Sample)
}

/// The metric's name at the start of a line, and the rest. It is empty if the name is inside the braces, as a quoted one
/// is.
pub fn split_name(line: &str) -> (&str, &str) {
    let end = memchr3(b'{', b' ', b'\t', line.as_bytes()).unwrap_or(line.len());
    line.split_at_checked(end).unwrap_or_default()
}

/// Parses what is behind the metric's name.
fn sample<'a>(name: &'a str, rest: &'a str) -> Result<Sample<'a>, &'static str> {
    if rest.is_empty() {
        return Err("no value behind the name");
    }
    let (quoted, labels, rest) = match behind(rest.trim_ascii_start(), b'{') {
        Some(rest) => labels(rest)?,
        None => (None, Labels::default(), rest),
    };
    let name = match quoted {
        Some(quoted) if name.is_empty() && !quoted.is_empty() => quoted,
        Some(_) => return Err("the name is given twice, or is empty"),
        None if is_name(name) => Cow::Borrowed(name),
        None => return Err("the name has characters that a metric cannot have"),
    };
    // An exemplar follows a `#`.
    let mut words = rest.split_ascii_whitespace().take_while(|word| *word != "#");
    let value = words.next().and_then(|word| word.parse().ok()).ok_or("the value is no number")?;
    let time = match words.next() {
        Some(word) => Some(whole(word).ok_or("the time is no number of milliseconds")?),
        None => None,
    };
    match words.next() {
        Some(_) => Err("more than name, value and time"),
        None => Ok(Sample { name, labels, value, time }),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// Parses a comment, without its `#`.
fn of_comment(comment: &str) -> Line<'_> {
    if comment.trim() == "EOF" {
        return Line::End;
    }
    let typed = || {
        let rest = comment.strip_prefix("TYPE")?.strip_prefix(|c: char| c.is_ascii_whitespace())?.trim_start();
        let (name, kind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                rest.split_once(|c: char| c.is_ascii_whitespace()).map(|(name, kind)| (Cow::Borrowed(name), kind))?
            }
        };
        Some(Line::Type { name, kind: kind.split_ascii_whitespace().next()? })
    };
    typed().unwrap_or(Line::Nothing)
}

/// The text behind this first byte; `None` if it begins with another one. `strip_prefix` calls a function of the C library
/// for a single byte.
fn behind(text: &str, first: u8) -> Option<&str> {
    if text.as_bytes().first() == Some(&first) { text.get(1..) } else { None }
}

const USUAL_LABELS: usize = 8;

/// Parses `name="value",...}`: the metric's name if it is among the labels in quotes, the labels, and the text after
/// them.
fn labels(mut rest: &str) -> Result<(Option<Cow<'_, str>>, Labels<'_>, &str), &'static str> {
    let (mut metric, mut labels) = (None, Vec::with_capacity(USUAL_LABELS));
    loop {
        rest = rest.trim_ascii_start();
        if let Some(behind) = behind(rest, b'}') {
            return Ok((metric, Labels(labels), behind));
        }
        let (name, more) = match behind(rest, b'"') {
            Some(quoted) => quoted_text(quoted).ok_or("a name in quotes has no end")?,
            None => {
                let end = rest.bytes().position(|byte| matches!(byte, b'=' | b'}'));
                let end = end.ok_or("the labels have no end")?;
                rest.split_at_checked(end)
                    .map(|(name, more)| (Cow::Borrowed(name.trim_ascii()), more))
                    .unwrap_or_default()
            }
        };
        let more = more.trim_ascii_start();
        let more = match behind(more, b'=') {
            Some(_) if name.is_empty() => return Err("a label has no name"),
            Some(value) => {
                let quoted = behind(value.trim_ascii_start(), b'"').ok_or("the value of a label is not in quotes")?;
                let (value, more) = quoted_text(quoted).ok_or("the value of a label has no end")?;
                labels.push((name, value));
                more.trim_ascii_start()
            }
            None if rest.starts_with('"') && metric.is_none() => {
                metric = Some(name);
                more
            }
            None => return Err("a label has no value"),
        };
        rest = match behind(more, b',') {
            Some(next) => next,
            None if more.starts_with('}') => more,
            None => return Err("no comma between two labels"),
        };
    }
}

/// The text up to the closing quote, and the rest after it. `\n`, `\"` and `\\` are unescaped.
fn quoted_text(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (plain, rest) = text.split_at_checked(memchr2(b'"', b'\\', text.as_bytes())?)?;
    if let Some(behind) = behind(rest, b'"') {
        return Some((plain.into(), behind));
    }
    let mut value = String::from(plain);
    let mut letters = rest.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value.into(), rest.get(at + 1..)?)),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// A page that is parsed line by line, for the samples of some metrics.
#[derive(Default)]
pub struct Page {
    /// Whether the page has a line that is not empty.
    pub has_lines: bool,
    /// Whether the page declares a wanted metric or has a sample of it. Some servers declare metrics long before they
    /// have a sample.
    pub is_known: bool,
    unread: usize,
    first: Option<String>,
}

impl Page {
    /// The sample in this line, if its name is wanted.
    pub fn line<'l>(&mut self, line: &'l str, is_wanted: impl Fn(&str) -> bool) -> Option<Sample<'l>> {
        let line = line.trim();
        if line.is_empty() {
            return None;
        }
        self.has_lines = true;
        if line.starts_with('#') {
            self.is_known = self.is_known || matches!(parse(line), Ok(Line::Type { name, .. }) if is_wanted(&name));
            return None;
        }
        let (name, rest) = split_name(line);
        if !name.is_empty() && !is_wanted(name) {
            return None;
        }
        match sample(name, rest) {
            Ok(sample) if !name.is_empty() || is_wanted(&sample.name) => {
                self.is_known = true;
                return Some(sample);
            }
            Ok(_) => {}
            Err(why) => {
                self.unread += 1;
                self.first.get_or_insert_with(|| format!("{why}: {}", quote(line)));
            }
        }
        None
    }

    /// The first line that cannot be parsed and the reason, and the number of such lines.
    pub fn unread(self) -> Option<String> {
        let first = self.first?;
        Some(if self.unread > 1 { format!("{} lines cannot be read, the first: {first}", self.unread) } else { first })
    }
}
