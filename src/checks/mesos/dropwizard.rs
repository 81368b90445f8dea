//! The metrics page of Marathon and Chronos: gauges, counters and histograms by name (Dropwizard Metrics,
//! MetricsServlet).

use crate::check::{Check, Out, page};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, Raw};
use serde_json::Value;

/// The key with the address.
pub const KEYS: &[&str] = &["stats"];

/// All metrics of a page.
pub struct Metrics(Value);

/// A check of such a page. `tell` returns whether it is the right page; `wanted` names that page in the error.
///
/// # Errors
/// A mistake in the section.
pub fn check(section: &Section, wanted: &'static str, tell: fn(&Metrics, &mut Out) -> bool) -> Result<Box<dyn Check>> {
    page(section, KEYS, move |page, out| {
        let metrics = Metrics(json::document(&page.text, wanted)?);
        let is_known = tell(&metrics, out);
        page.must(is_known, wanted)
    })
}

impl Metrics {
    /// The numeric gauges whose names start with this prefix: the rest of the name, and the value.
    pub fn gauges<'m>(&'m self, prefix: &'m str) -> impl Iterator<Item = (&'m str, Raw<'m>)> {
        self.all("/gauges", prefix).filter_map(|(name, gauge)| Some((name, json::number(gauge, "/value")?)))
    }

    /// The same for counters.
    pub fn counters<'m>(&'m self, prefix: &'m str) -> impl Iterator<Item = (&'m str, u64)> {
        self.all("/counters", prefix).filter_map(|(name, counter)| Some((name, json::count(counter, "/count")?)))
    }

    /// The same for histograms, each a JSON document.
    pub fn histograms<'m>(&'m self, prefix: &'m str) -> impl Iterator<Item = (&'m str, &'m Value)> {
        self.all("/histograms", prefix)
    }

    /// Emits the garbage collectors with the tag `gctype`. A field's cell is the part of the name after the collector.
    pub fn tell_collectors(&self, prefix: &str, fields: &'static [Field], out: &mut Out) {
        for (name, raw) in self.gauges(prefix) {
            for field in fields {
                let collector = name.strip_prefix("jvm.gc.").and_then(|name| name.strip_suffix(field.cell));
                if let Some(collector) = collector {
                    out.put(field, raw, &Tags::one("gctype", &collector.to_lowercase().replace(' ', "_")));
                }
            }
        }
    }

    fn all<'m>(&'m self, place: &str, prefix: &'m str) -> impl Iterator<Item = (&'m str, &'m Value)> {
        let group = self.0.pointer(place).and_then(Value::as_object);
        group.into_iter().flatten().filter_map(move |(name, metric)| Some((name.strip_prefix(prefix)?, metric)))
    }
}
