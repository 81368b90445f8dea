//! MBeans that every Java virtual machine has: memory, threads, garbage collectors.

use super::Out;
use crate::model::parse::jolokia::{Bean, Found};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, Raw};
use serde_json::Value;

/// Heap and non-heap memory, each with committed, init, max and used. A cell is `/HeapMemoryUsage/used`.
pub const MEMORY: Bean = Bean { name: "java.lang:type=Memory", attributes: &["HeapMemoryUsage", "NonHeapMemoryUsage"] };

/// A cell is `/ThreadCount`.
pub const THREADS: Bean = Bean {
    name: "java.lang:type=Threading",
    attributes: &["ThreadCount", "PeakThreadCount", "DaemonThreadCount", "TotalStartedThreadCount"],
};

/// One MBean per collector. Cells are `/CollectionCount` and `/LastGcInfo/duration`.
pub const COLLECTORS: Bean = Bean {
    name: "java.lang:type=GarbageCollector,name=*",
    attributes: &["Name", "CollectionCount", "CollectionTime", "LastGcInfo"],
};

/// Start time (it identifies the process) and uptime, both in milliseconds.
pub const RUNTIME: Bean = Bean { name: "java.lang:type=Runtime", attributes: &["StartTime", "Uptime"] };

/// Uses the start time to detect a restart: counters emitted after this call are compared only with those of the same
/// process.
pub fn counted(found: &[Found], out: &mut Out) {
    if let Some(start) = found.iter().find_map(|found| json::count(&found.attributes, "/StartTime")) {
        out.counted_by(&start.to_string());
    }
}

/// Emits the fields of each MBean. Values that are negative or NaN mean "unknown" in Java and are left out.
pub fn tell(found: &[Found], fields: &'static [Field], tags: &Tags, out: &mut Out) {
    for found in found {
        tell_known(&found.attributes, fields, tags, out);
    }
}

/// The same for any JSON document.
pub fn tell_known(document: &Value, fields: &'static [Field], tags: &Tags, out: &mut Out) {
    for field in fields {
        if let Some(raw) = json::cell(document, field.cell).filter(|raw| is_known(*raw)) {
            out.put(field, raw, tags);
        }
    }
}

/// Emits MBeans that differ in the values of `properties`. A field's cell starts with these values, joined by a blank:
/// `Hits KeyCache/Count`. `tags` maps tag names to further properties.
pub fn tell_of(
    found: &[Found],
    properties: &[&str],
    tags: &[(&'static str, &str)],
    fields: &'static [Field],
    out: &mut Out,
) {
    for found in found {
        let words: Vec<_> = properties.iter().filter_map(|property| found.property(property)).collect();
        let bean = words.join(" ");
        let tags = tags.iter().filter_map(|(tag, property)| Some((*tag, found.property(property)?))).collect();
        for field in fields {
            let place = field.cell.strip_prefix(&*bean).filter(|place| place.starts_with('/'));
            let raw = place.and_then(|place| json::cell(&found.attributes, place));
            if let Some(raw) = raw.filter(|raw| is_known(*raw)) {
                out.put(field, raw, &tags);
            }
        }
    }
}

fn is_known(raw: Raw) -> bool {
    match raw {
        Raw::Int(n) => n >= 0,
        Raw::Float(n) => n >= 0.0,
        Raw::Text(text) => !text.starts_with('-') && text != "NaN",
        Raw::Count(_) => true,
    }
}

/// Emits one point per field: the sum over all MBeans.
pub fn tell_sums(found: &[Found], fields: &'static [Field], out: &mut Out) {
    for field in fields {
        let counts = found.iter().filter_map(|found| json::cell(&found.attributes, field.cell)?.count());
        if let Some(sum) = counts.reduce(u64::saturating_add) {
            out.put(field, sum, &Tags::default());
        }
    }
}

/// Emits each MBean on its own; `tags` maps tag names to properties of its name.
pub fn tell_each(found: &[Found], fields: &'static [Field], tags: &[(&'static str, &str)], out: &mut Out) {
    for found in found {
        let tags = tags.iter().filter_map(|(tag, property)| Some((*tag, found.property(property)?))).collect();
        tell(std::slice::from_ref(found), fields, &tags, out);
    }
}

/// Emits each collector with the tag `gctype`; see [`collector`] for its value.
pub fn tell_collectors(found: &[Found], fields: &'static [Field], short: bool, out: &mut Out) {
    for found in found {
        let tags = Tags::one("gctype", &collector_of(found, short));
        tell(std::slice::from_ref(found), fields, &tags, out);
    }
}

/// Emits each collector under its own metric names. A collector listed in `known` uses the fields beside its name; any
/// other uses `other`, where `{gc}` in the metric stands for the collector's name.
pub fn tell_named(found: &[Found], known: &[(&str, &'static [Field])], other: &'static [Field], out: &mut Out) {
    for found in found {
        let gc = collector_of(found, true);
        if let Some((_, fields)) = known.iter().find(|(own, _)| *own == gc) {
            tell(std::slice::from_ref(found), fields, &Tags::default(), out);
            continue;
        }
        for field in other {
            if let Some(count) = json::count(&found.attributes, field.cell) {
                out.put_as(&field.metric.replace("{gc}", &gc), field, count, &Tags::default());
            }
        }
    }
}

/// The name of the collector, see [`collector`].
pub fn collector_of(found: &Found, short: bool) -> String {
    let name = json::text(&found.attributes, "/Name").or_else(|| found.property("name"));
    collector(name.unwrap_or_default(), short)
}

/// The short name of a collector: `G1 Young Generation` becomes `g1_young`. With `short`, ConcurrentMarkSweep becomes
/// `cms`.
pub fn collector(name: &str, short: bool) -> String {
    let name = name.replace(" Generation", "");
    let name = if short { name.replace("ConcurrentMarkSweep", "cms") } else { name };
    name.to_lowercase().replace(' ', "_")
}
