//! The MBeans that both checks request from a JVM, and how they are emitted (Java documentation, package
//! java.lang.management).

use crate::check::{Check, jolokia, jvm};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::parse::jolokia::Bean;
use crate::model::point::Tags;
use crate::model::table::Field;

/// The metric tables of a check.
pub struct Tables {
    pub machine: &'static [Field],
    /// For each garbage collector, with the tag `gctype`.
    pub collector: &'static [Field],
    /// For each memory pool and each buffer pool, with the tag `pool`.
    pub pool: &'static [Field],
    pub buffers: &'static [Field],
}

const BEANS: &[Bean] = &[
    jvm::RUNTIME,
    jvm::MEMORY,
    jvm::THREADS,
    Bean {
        name: "java.lang:type=ClassLoading",
        attributes: &["LoadedClassCount", "TotalLoadedClassCount", "UnloadedClassCount"],
    },
    Bean {
        name: "java.lang:type=OperatingSystem",
        attributes: &["ProcessCpuLoad", "OpenFileDescriptorCount", "MaxFileDescriptorCount"],
    },
    Bean { name: "java.lang:type=MemoryPool,name=*", attributes: &["Usage"] },
    Bean { name: "java.nio:type=BufferPool,name=*", attributes: &["MemoryUsed", "Count"] },
    // The last one, because in some JVMs LastGcInfo is slow.
    jvm::COLLECTORS,
];
/// Indices in [`BEANS`].
const POOLS: usize = 5;
const BUFFERS: usize = 6;
const COLLECTORS: usize = 7;

/// A check of the JVM whose Jolokia address is in `key`.
///
/// # Errors
/// A mistake in the section.
pub fn machine(section: &Section, key: &str, tables: Tables) -> Result<Box<dyn Check>> {
    jolokia(section, key, BEANS, move |beans, out| {
        jvm::counted(beans.at(0), out);
        for place in 0..POOLS {
            jvm::tell(beans.at(place), tables.machine, &Tags::default(), out);
        }
        jvm::tell_each(beans.at(POOLS), tables.pool, &[("pool", "name")], out);
        jvm::tell_each(beans.at(BUFFERS), tables.buffers, &[("pool", "name")], out);
        jvm::tell_collectors(beans.at(COLLECTORS), tables.collector, true, out);
        Ok(())
    })
}
