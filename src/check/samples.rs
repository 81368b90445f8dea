//! What is told of a Prometheus page: its samples, and whether it is the page of that server at all.

use super::Out;
use crate::fetch::http::Answer;
use crate::model::error::Result;
use crate::model::parse::prometheus::{self, Line, Sample};

/// The sample by which a page names the process that counted.
const START: &str = "process_start_time_seconds ";

/// Gives `tell` each sample of a wanted name that is a number. Counters of another process than that of the last page begin
/// anew; a line that cannot be read costs itself.
///
/// # Errors
/// The page knows none of these names: it is not that of `server`. One that is empty may well be.
pub fn samples<'a>(
    page: &'a Answer,
    server: &str,
    is_wanted: impl Fn(&str) -> bool,
    out: &mut Out,
    mut tell: impl FnMut(Sample<'a>, &mut Out),
) -> Result<()> {
    if let Some(start) = page.text.lines().find_map(|line| line.strip_prefix(START)) {
        out.counted_by(start.trim());
    }
    let mut has_samples = false;
    let unread = prometheus::read(&page.text, &is_wanted, |sample, _| {
        has_samples = true;
        if sample.value.is_finite() {
            tell(sample, out);
        }
    });
    if let Some(unread) = unread {
        out.fault(unread);
    }
    if page.text.trim().is_empty() {
        out.absence_of("page", "empty: nothing has been counted yet");
        return Ok(());
    }
    // Some servers declare what they count long before they have counted any of it.
    let declares = |line| matches!(prometheus::parse(line), Ok(Line::Type { name, .. }) if is_wanted(&name));
    let is_right = has_samples || page.text.lines().any(declares);
    page.must(is_right, &format!("the metrics of {server} as Prometheus text"))
}
