//! What all Java servers tell of their virtual machine: memory, threads, collectors of garbage.

use super::Out;
use crate::model::parse::jolokia::{Bean, Found};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, Raw};

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

/// A level that is -1 is not known, and not told.
pub fn tell(found: &[Found], fields: &'static [Field], tags: &Tags, out: &mut Out) {
    for found in found {
        for field in fields {
            match json::cell(&found.attributes, field.cell) {
                Some(Raw::Int(..0)) | None => {}
                Some(raw) => out.put(field, raw, tags),
            }
        }
    }
}

/// Each collector under the tag `gctype`, see [`collector`].
pub fn tell_collectors(found: &[Found], fields: &'static [Field], short: bool, out: &mut Out) {
    for found in found {
        let name = json::text(&found.attributes, "/Name").or_else(|| found.property("name")).unwrap_or_default();
        let tags = Tags::one("gctype", &collector(name, short));
        tell(std::slice::from_ref(found), fields, &tags, out);
    }
}

/// `G1 Young Generation` is `g1_young`; ConcurrentMarkSweep is `cms` where names are `short`.
pub fn collector(name: &str, short: bool) -> String {
    let name = name.replace(" Generation", "");
    let name = if short { name.replace("ConcurrentMarkSweep", "cms") } else { name };
    name.to_lowercase().replace(' ', "_")
}
