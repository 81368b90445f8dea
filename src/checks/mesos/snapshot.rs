//! The page `/metrics/snapshot` of a master or an agent of Mesos: one object, from the path of each metric to its number (Mesos
//! documentation, "Monitoring"). What was not measured yet is not there.

use crate::check::{Check, Out, page};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::parse::json;
use serde_json::Value;

/// The key of the address.
pub const KEYS: &[&str] = &["stats"];

/// A check of such a page, whose own paths begin with `own`; `wanted` is what it is called where another one came.
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
