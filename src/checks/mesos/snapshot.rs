//! The page `/metrics/snapshot` of a Mesos master or agent: one JSON object, from the path of each metric to its value
//! (Mesos documentation, "Monitoring"). Metrics without a value are missing.

use crate::check::{Check, Out, page};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::parse::json;
use serde_json::Value;

/// The key with the address.
pub const KEYS: &[&str] = &["stats"];

/// A check of such a page. It must have a path that starts with `own`; `wanted` names the page in the error.
///
/// # Errors
/// A mistake in the section.
pub fn check(
    section: &Section,
    own: &'static str,
    wanted: &'static str,
    tell: fn(&Value, &mut Out),
) -> Result<Box<dyn Check>> {
    page(section, KEYS, move |page, out| {
        let snapshot = json::document(&page.text, wanted)?;
        let is_own = snapshot.as_object().is_some_and(|metrics| metrics.keys().any(|path| path.starts_with(own)));
        page.must(is_own, wanted)?;
        tell(&snapshot, out);
        Ok(())
    })
}
