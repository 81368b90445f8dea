//! What all Java servers tell of their virtual machine: memory, threads, collectors of garbage.

use super::Out;
use crate::model::parse::jolokia::{Bean, Found};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, Raw};
use serde_json::Value;

/// Heap and the rest, each as committed, init, max and used: cells as `/HeapMemoryUsage/used`.
pub const MEMORY: Bean = Bean { name: "java.lang:type=Memory", attributes: &["HeapMemoryUsage", "NonHeapMemoryUsage"] };

/// Cells as `/ThreadCount`.
pub const THREADS: Bean = Bean {
    name: "java.lang:type=Threading",
    attributes: &["ThreadCount", "PeakThreadCount", "DaemonThreadCount", "TotalStartedThreadCount"],
};

/// One MBean for each collector: cells as `/CollectionCount`, `/LastGcInfo/duration`.
pub const COLLECTORS: Bean = Bean {
    name: "java.lang:type=GarbageCollector,name=*",
    attributes: &["Name", "CollectionCount", "CollectionTime", "LastGcInfo"],
};

/// When the virtual machine started, which tells it from the one before, and for how many milliseconds it has run.
pub const RUNTIME: Bean = Bean { name: "java.lang:type=Runtime", attributes: &["StartTime", "Uptime"] };

/// What is told from here on was counted by this virtual machine.
pub fn counted(found: &[Found], out: &mut Out) {
    if let Some(start) = found.iter().find_map(|found| json::count(&found.attributes, "/StartTime")) {
        out.counted_by(&start.to_string());
    }
}

/// A level that is -1 or NaN is not known, and not told.
pub fn tell(found: &[Found], fields: &'static [Field], tags: &Tags, out: &mut Out) {
    for found in found {
        tell_known(&found.attributes, fields, tags, out);
    }
}

/// The same of any document.
pub fn tell_known(document: &Value, fields: &'static [Field], tags: &Tags, out: &mut Out) {
    for field in fields {
        if let Some(raw) = json::cell(document, field.cell).filter(|raw| is_known(*raw)) {
            out.put(field, raw, tags);
        }
    }
}

/// Beans that differ in these properties, the values of which stand first in the cells, with a blank between: `Hits KeyCache/Count`.
/// Others become tags.
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

/// Several that count the same, as one: their sums.
pub fn tell_sums(found: &[Found], fields: &'static [Field], out: &mut Out) {
    for field in fields {
        let counts = found.iter().filter_map(|found| json::cell(&found.attributes, field.cell)?.count());
        if let Some(sum) = counts.reduce(u64::saturating_add) {
            out.put(field, sum, &Tags::default());
        }
    }
}

/// Each by itself, with these properties of its name as tags.
pub fn tell_each(found: &[Found], fields: &'static [Field], tags: &[(&'static str, &str)], out: &mut Out) {
    for found in found {
        let tags = tags.iter().filter_map(|(tag, property)| Some((*tag, found.property(property)?))).collect();
        tell(std::slice::from_ref(found), fields, &tags, out);
    }
}

/// Each collector under the tag `gctype`, see [`collector`].
pub fn tell_collectors(found: &[Found], fields: &'static [Field], short: bool, out: &mut Out) {
    for found in found {
        let tags = Tags::one("gctype", &collector_of(found, short));
        tell(std::slice::from_ref(found), fields, &tags, out);
    }
}

/// Each collector under metrics of its own: one that is known by the lines beside its name, any other by lines whose metric has
/// `{gc}` for it.
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

/// Which collector that is, see [`collector`].
pub fn collector_of(found: &Found, short: bool) -> String {
    let name = json::text(&found.attributes, "/Name").or_else(|| found.property("name"));
    collector(name.unwrap_or_default(), short)
}

/// `G1 Young Generation` is `g1_young`; ConcurrentMarkSweep is `cms` where names are `short`.
pub fn collector(name: &str, short: bool) -> String {
    let name = name.replace(" Generation", "");
    let name = if short { name.replace("ConcurrentMarkSweep", "cms") } else { name };
    name.to_lowercase().replace(' ', "_")
}
