//! ipconntrack: how full the table of tracked connections is, and how many connections or packets it rejected.

use super::{CONF, TYPE, within};
use crate::check::chart::Chart;
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
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Connection table in use").of(&["conntrack_used_percent"]).full(100.0),
    Chart::new("Connections in the table").of(&["conntrack_cur", "conntrack_max", "conntrack_buckets"]),
    Chart::new("Connections lost").of(&["conntrack_drop", "conntrack_early_drop", "conntrack_insert_failed"]),
    Chart::new("Odd packets and searches").of(&["conntrack_invalid", "conntrack_search_restart"]),
];

const CURRENT: Field = gauge("", "conntrack_cur", "connections");
const MOST: Field = gauge("", "conntrack_max", "connections").reaction(-3);
const BUCKETS: Field = gauge("", "conntrack_buckets", "buckets").int().reaction(-3);
const USED: Field = percent("", "conntrack_used_percent");
const TABLE: &[Field] = &[CURRENT, MOST, BUCKETS, USED];

/// Columns of /proc/net/stat/nf_conntrack.
const EVENTS: &[Field] = &[
    rate("insert_failed", "conntrack_insert_failed", "1/s").optional().reaction(-3),
    rate("drop", "conntrack_drop", "1/s").optional(),
    rate("early_drop", "conntrack_early_drop", "1/s").optional(),
    rate("invalid", "conntrack_invalid", "1/s").optional().reaction(-3),
    rate("search_restart", "conntrack_search_restart", "1/s").optional().reaction(-3),
];

/// The first file exists since Linux 2.6.20, the second up to Linux 4, the third only before connection tracking moved
/// to netfilter.
const COUNTS: [&str; 2] =
    ["proc/sys/net/netfilter/nf_conntrack_count", "proc/sys/net/ipv4/netfilter/ip_conntrack_count"];
const LIMITS: [&str; 3] = [
    "proc/sys/net/netfilter/nf_conntrack_max",
    "proc/sys/net/ipv4/netfilter/ip_conntrack_max",
    "proc/sys/net/ipv4/ip_conntrack_max",
];
const HASHES: [&str; 2] =
    ["proc/sys/net/netfilter/nf_conntrack_buckets", "proc/sys/net/ipv4/netfilter/ip_conntrack_buckets"];
const STATS: [&str; 2] = ["proc/net/stat/nf_conntrack", "proc/net/stat/ip_conntrack"];

/// The kernel's counter is a signed 32-bit number; a larger value means that it fell below 0.
const MOST_COUNTED: u64 = i32::MAX as u64;

const NONE: &str = "this kernel tracks no connections: the module nf_conntrack is not loaded";

fn build(_section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(IpConntrack {
        counts: COUNTS.map(KernelFile::new),
        limits: LIMITS.map(KernelFile::new),
        hashes: HASHES.map(KernelFile::new),
        stats: STATS.map(KernelFile::new),
    }))
}

struct IpConntrack {
    counts: [KernelFile; 2],
    limits: [KernelFile; 3],
    hashes: [KernelFile; 2],
    stats: [KernelFile; 2],
}

impl Check for IpConntrack {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let none = Tags::default();
        // Some containers hide this file, and the sizes below.
        let stats = first(&mut self.stats, cx);
        // Files in /proc/sys/net belong to the network of the reading process, whichever /proc they are read from. The
        // limit is the same for all networks.
        let current = match cx.watches_another_network() {
            true => stats.as_ref().ok().copied().flatten().map(|text| procfs::of_any_cpu(text, "entries")),
            false => first(&mut self.counts, cx)?.map(|text| text.trim().parse().ok()),
        };
        let Some(current) = current else {
            return Err(stats.err().filter(|_| cx.watches_another_network()).unwrap_or(Error::Absent(NONE.into())));
        };
        let current = current.filter(|current| *current <= MOST_COUNTED);
        match current {
            Some(current) => out.put(&CURRENT, current, &none),
            None => {
                out.refuse(CURRENT.metric, "no number to tell: the kernel counts less than none, or no number at all")
            }
        }
        if let Some(most) = first(&mut self.limits, cx)?.and_then(|text| text.trim().parse().ok()) {
            out.put(&MOST, most, &none);
            // A limit of 0 means unlimited: no share.
            let current = current.filter(|_| most > 0).map(|current| within(most, current));
            if let Some(share) = out.share(USED.metric, current, Some(most)) {
                out.put(&USED, share.percent(), &none);
            }
        }
        if let Ok(Some(text)) = first(&mut self.hashes, cx) {
            out.put(&BUCKETS, text, &none);
        }
        if let Ok(Some(text)) = stats {
            out.pick(&procfs::per_cpu(text), EVENTS, &none);
        }
        Ok(())
    }
}

/// The text of the first file that exists; `None` if there is none.
fn first<'f>(files: &'f mut [KernelFile], cx: &Context) -> Result<Option<&'f str>> {
    for file in files {
        match cx.read(file) {
            Err(error) if error.is_gone() => {}
            read => return read.map(Some),
        }
    }
    Ok(None)
}
