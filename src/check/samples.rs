//! Reads the samples of a Prometheus page, and checks that it is the page of the expected server.

use super::{Counters, Out};
use crate::fetch::http::{Answer, Body};
use crate::model::error::Result;
use crate::model::parse::prometheus::{Labels, Page, Sample, split_name};
use crate::model::point::Tags;
use crate::model::table::{Field, How};
use foldhash::HashMap;
use std::borrow::Cow;

/// The sample that identifies the process that counted.
const START: &str = "process_start_time_seconds ";
/// Prefixes of metrics that every program has, because its client library adds them.
const OF_ANY: [&str; 2] = ["process_", "go_"];

/// Calls `tell` for each finite sample whose name `is_wanted`. If the page comes from another process than the last
/// one, counters start again. An unreadable line is skipped and reported as a fault.
///
/// # Errors
/// The page has no wanted name, or only those that every program has, so it is not a page of `server`, and nothing of
/// it is emitted. An empty page is no error: a server that has just started may have counted nothing yet.
pub fn samples(
    answer: &Answer,
    server: &str,
    is_wanted: impl Fn(&str) -> bool,
    out: &mut Out,
    mut tell: impl FnMut(Sample, &mut Out),
) -> Result<()> {
    let mut names = Names::default();
    // Mostly one of the first lines decides.
    let _ = answer.text.lines().any(|line| names.see(line, &is_wanted));
    names.must_be(server, answer)?;
    if let Some(start) = answer.text.lines().find_map(|line| line.strip_prefix(START)) {
        out.counted_by(start.trim());
    }
    let mut page = Page::default();
    for line in answer.text.lines() {
        tell_line(&mut page, line, &is_wanted, out, &mut tell);
    }
    end(page, answer, server, out)
}

/// The same for a page that is read while it arrives. The sample that identifies the process may come at the end, so
/// `tell` may emit levels at once but must collect counters until all samples are read.
///
/// # Errors
/// As for [`samples`], but it is noticed at the end of the page: what was emitted before may be another server's. If the
/// page breaks off, what was emitted before is kept.
pub fn streamed(
    body: &mut Body,
    server: &str,
    is_wanted: impl Fn(&str) -> bool,
    out: &mut Out,
    mut tell: impl FnMut(Sample, &mut Out),
) -> Result<()> {
    let (mut page, mut names, mut line) = (Page::default(), Names::default(), Vec::new());
    while body.line(&mut line)? {
        let line = line.trim_ascii_end();
        // Nearly all lines are valid UTF-8, and from_utf8_lossy alone takes four times as long.
        let line = str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
        if let Some(start) = line.strip_prefix(START) {
            out.counted_by(start.trim());
        }
        names.see(&line, &is_wanted);
        tell_line(&mut page, &line, &is_wanted, out, &mut tell);
    }
    names.must_be(server, &body.head)?;
    end(page, &body.head, server, out)
}

fn tell_line(
    page: &mut Page,
    line: &str,
    is_wanted: &impl Fn(&str) -> bool,
    out: &mut Out,
    tell: &mut impl FnMut(Sample, &mut Out),
) {
    if let Some(sample) = page.line(line, is_wanted).filter(|sample| sample.value.is_finite()) {
        tell(sample, out);
    }
}

fn end(page: Page, answer: &Answer, server: &str, out: &mut Out) -> Result<()> {
    let (has_lines, is_known) = (page.has_lines, page.is_known);
    if let Some(unread) = page.unread() {
        out.fault(unread);
    }
    if !has_lines {
        out.absence_of("page", "empty: nothing has been counted yet");
        return Ok(());
    }
    answer.must(is_known, &wanted(server))
}

fn wanted(server: &str) -> String {
    format!("the metrics of {server} as Prometheus text")
}

/// Whether the names on a page are those of the expected server: names of samples, and of families without samples.
#[derive(Default)]
struct Names {
    has_own: bool,
    has_others: bool,
}

impl Names {
    /// Takes a line into account; `true` if a name of the expected server is known, so no more lines are needed.
    fn see(&mut self, line: &str, is_wanted: &impl Fn(&str) -> bool) -> bool {
        if self.has_own {
            return true;
        }
        let line = line.strip_prefix("# TYPE ").unwrap_or(line);
        let (name, _) = split_name(line);
        if name.is_empty() || name == "#" || OF_ANY.iter().any(|begin| name.starts_with(begin)) {
            return false;
        }
        self.has_own = is_wanted(name);
        self.has_others |= !self.has_own;
        self.has_own
    }

    fn must_be(&self, server: &str, answer: &Answer) -> Result<()> {
        answer.must(self.has_own || !self.has_others, &wanted(server))
    }
}

/// Sums of samples that differ only in labels that do not become tags.
#[derive(Default)]
pub struct Sums(HashMap<(&'static str, Tags), Sum>);

struct Sum {
    field: &'static Field,
    level: f64,
    /// The value of each counter, by the fingerprint of its labels.
    counters: Counters,
}

impl Sums {
    /// Adds a sample to the sum for these tags. `labels` identifies the sample among those of the sum.
    pub fn add(&mut self, field: &'static Field, tags: Tags, labels: &Labels, value: f64) {
        let new = || Sum { field, level: 0.0, counters: Counters::default() };
        let sum = self.0.entry((field.metric, tags)).or_insert_with(new);
        match field.how {
            How::Rate | How::Delta => _ = sum.counters.insert(labels.fingerprint(), value),
            How::Gauge | How::Percent | How::Counter => sum.level += value,
        }
    }

    /// Emits all sums. For counters it is the sum of their rates.
    pub fn put(self, out: &mut Out) {
        for ((_, tags), Sum { field, level, counters }) in self.0 {
            match field.how {
                How::Rate | How::Delta => out.put_sum(field, &counters, &tags),
                How::Gauge | How::Percent | How::Counter => out.put(field, level, &tags),
            }
        }
    }
}
