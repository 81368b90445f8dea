//! ipconntrack: how full the table of tracked connections is, and what did not fit.

use super::{CONF, TYPE};
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::model::error::{Error, Result};
use crate::model::parse::procfs;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge, percent, rate};

pub static SPEC: Spec = Spec {
    name: "check_ipconntrack",
    purpose: "how full the table of tracked connections is, and what did not fit",
    check_type: TYPE,
    conf: CONF,
    section: "Connection Tracking",
    keys: &[],
    runs: Runs::Kernel,
    fields: &[TABLE, EVENTS],
    build,
};

const CURRENT: Field = gauge("", "conntrack_cur");
const MOST: Field = gauge("", "conntrack_max").reaction(-3);
const BUCKETS: Field = gauge("", "conntrack_buckets").int().reaction(-3);
const USED: Field = percent("", "conntrack_used_percent");
const TABLE: &[Field] = &[CURRENT, MOST, BUCKETS, USED];

/// Columns of /proc/net/stat/nf_conntrack.
const EVENTS: &[Field] = &[
    rate("insert_failed", "conntrack_insert_failed").optional().reaction(-3),
    rate("drop", "conntrack_drop").optional(),
    rate("early_drop", "conntrack_early_drop").optional(),
    rate("invalid", "conntrack_invalid").optional().reaction(-3),
    rate("search_restart", "conntrack_search_restart").optional().reaction(-3),
];

/// The second is that of Linux before 4.
const COUNTS: [&str; 2] =
    ["proc/sys/net/netfilter/nf_conntrack_count", "proc/sys/net/ipv4/netfilter/ip_conntrack_count"];
const LIMITS: [&str; 2] = ["proc/sys/net/netfilter/nf_conntrack_max", "proc/sys/net/ipv4/netfilter/ip_conntrack_max"];

fn build(_section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(IpConntrack {
        counts: COUNTS.map(KernelFile::new),
        limits: LIMITS.map(KernelFile::new),
        buckets: KernelFile::new("proc/sys/net/netfilter/nf_conntrack_buckets"),
        events: KernelFile::new("proc/net/stat/nf_conntrack"),
    }))
}

struct IpConntrack {
    counts: [KernelFile; 2],
    limits: [KernelFile; 2],
    buckets: KernelFile,
    events: KernelFile,
}

impl Check for IpConntrack {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let none = Tags::default();
        let current = first(&mut self.counts, cx)?;
        let Some(current) = current else {
            let why = "this kernel tracks no connections: the module nf_conntrack is not loaded";
            return Err(Error::Absent(why.into()));
        };
        out.put(&CURRENT, current, &none);
        if let Some(most) = first(&mut self.limits, cx)? {
            out.put(&MOST, most, &none);
            // Without a limit there is no share.
            if most > 0 {
                out.put(&USED, current as f64 * 100.0 / most as f64, &none);
            }
        }
        // Hidden in some containers, as is the file below.
        if let Ok(text) = cx.read(&mut self.buckets) {
            out.put(&BUCKETS, text, &none);
        }
        if let Ok(text) = cx.read(&mut self.events) {
            out.pick(&procfs::per_cpu(text), EVENTS, &none);
        }
        Ok(())
    }
}

/// The number in the first file that is there; `None` without any.
fn first(files: &mut [KernelFile], cx: &Context) -> Result<Option<u64>> {
    for file in files {
        match cx.read(file) {
            Ok(text) => return text.trim().parse().map(Some).map_err(|_| Error::parse("a number", text)),
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
