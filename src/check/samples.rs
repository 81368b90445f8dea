//! What is told of a Prometheus page: its samples, and whether it is the page of that server at all.

use super::Out;
use crate::fetch::http::{Answer, Body};
use crate::model::error::Result;
use crate::model::parse::prometheus::{Labels, Page, Sample};
use crate::model::point::Tags;
use crate::model::table::{Field, How};
use std::borrow::Cow;
use std::collections::HashMap;

/// The sample by which a page names the process that counted.
const START: &str = "process_start_time_seconds ";

/// Gives `tell` each sample of a wanted name that is a number. Counters of another process than that of the last page begin
/// anew; a line that cannot be read costs itself.
///
/// # Errors
/// The page knows none of these names: it is not that of `server`. One that is empty may well be.
pub fn samples(
    answer: &Answer,
    server: &str,
    is_wanted: impl Fn(&str) -> bool,
    out: &mut Out,
    mut tell: impl FnMut(Sample, &mut Out),
) -> Result<()> {
    if let Some(start) = answer.text.lines().find_map(|line| line.strip_prefix(START)) {
        out.counted_by(start.trim());
    }
    let mut page = Page::default();
    for line in answer.text.lines() {
        tell_line(&mut page, line, &is_wanted, out, &mut tell);
    }
    end(page, answer, server, out)
}

/// The same of a page that is read while it comes. Which process counted is known at its end: what it counted may be told as
/// read by `tell`, and its changes behind all samples.
///
/// # Errors
/// As of [`samples`], and where the page is not whole: what was told until then is true.
pub fn streamed(
    body: &mut Body,
    server: &str,
    is_wanted: impl Fn(&str) -> bool,
    out: &mut Out,
    mut tell: impl FnMut(Sample, &mut Out),
) -> Result<()> {
    let (mut page, mut line) = (Page::default(), Vec::new());
    while body.line(&mut line)? {
        let line = line.trim_ascii_end();
        // Nearly all are: looking for what is not costs four times as much.
        let line = str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
        if let Some(start) = line.strip_prefix(START) {
            out.counted_by(start.trim());
        }
        tell_line(&mut page, &line, &is_wanted, out, &mut tell);
    }
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
    answer.must(is_known, &format!("the metrics of {server} as Prometheus text"))
}

/// Sums over samples that differ in labels which are no tags.
#[derive(Default)]
pub struct Sums(HashMap<(&'static str, Tags), Sum>);

struct Sum {
    field: &'static Field,
    level: f64,
    /// Each counter by its labels.
    counters: HashMap<String, f64>,
}

impl Sums {
    /// Adds the sample with these labels to the sum of these tags.
    pub fn add(&mut self, field: &'static Field, tags: Tags, labels: &Labels, value: f64) {
        let new = || Sum { field, level: 0.0, counters: HashMap::new() };
        let sum = self.0.entry((field.metric, tags)).or_insert_with(new);
        match field.how {
            How::Rate | How::Delta => _ = sum.counters.insert(labels.word(), value),
            How::Gauge | How::Percent | How::Counter => sum.level += value,
        }
    }

    /// Tells them: of counters, the sum of their rates.
    pub fn put(self, out: &mut Out) {
        for ((_, tags), Sum { field, level, counters }) in self.0 {
            match field.how {
                How::Rate | How::Delta => out.put_sum(field, &counters, &tags),
                How::Gauge | How::Percent | How::Counter => out.put(field, level, &tags),
            }
        }
    }
}
