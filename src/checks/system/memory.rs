//! memory: what the machine's memory is used for, how full it is, and whether it has to swap or to kill.

use super::{ALERT, CONF, TYPE};
use crate::check::thresholds::Thresholds;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::model::error::Result;
use crate::model::parse::procfs;
use crate::model::point::Tags;
use crate::model::table::{Field, delta, gauge, percent, rate};

pub static SPEC: Spec = Spec {
    name: "check_memory",
    purpose: "memory and swap sizes, used percent, swapping and out-of-memory kills",
    check_type: TYPE,
    conf: CONF,
    section: "Memory Stats",
    keys: &[Thresholds::KEYS],
    runs: Runs::Kernel,
    fields: &[MEMINFO, PERCENTS, VMSTAT],
    build,
};

const KIB: f64 = 1024.0;

const TOTAL: &str = "MemTotal";
const AVAILABLE: &str = "MemAvailable";
const SWAP: &str = "SwapTotal";
const MEM_AVAILABLE: &str = "mem_available";
const MEM_SWAP_FREE: &str = "mem_swap_free";
/// Of these the command free(1) made its estimate before there was [`AVAILABLE`].
const FREE: &str = "MemFree";
const CACHES: [&str; 2] = ["Buffers", "Cached"];

/// Labels of /proc/meminfo, see proc(5). Kernels leave out what they do not know: MemAvailable came with 3.14.
const MEMINFO: &[Field] = &[
    gauge(TOTAL, "mem_total").scale(KIB).int(),
    gauge(FREE, "mem_free").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge(AVAILABLE, MEM_AVAILABLE).part_of(TOTAL).scale(KIB).int().optional(),
    gauge("Buffers", "mem_buffers").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("Cached", "mem_cached").part_of(TOTAL).scale(KIB).int().optional(),
    gauge("SwapCached", "mem_swapcached").part_of(SWAP).scale(KIB).int().optional(),
    gauge("Active", "mem_active").part_of(TOTAL).scale(KIB).int().optional(),
    gauge("Inactive", "mem_inactive").part_of(TOTAL).scale(KIB).int().optional(),
    gauge(SWAP, "mem_swap_total").scale(KIB).int().optional().reaction(-3),
    gauge("SwapFree", MEM_SWAP_FREE).part_of(SWAP).scale(KIB).int().optional().reaction(-3),
    gauge("Dirty", "mem_dirty").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("Writeback", "mem_writeback").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("Shmem", "mem_shmem").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("Slab", "mem_slab").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("SReclaimable", "mem_slab_reclaimable").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("HugePages_Total", "mem_hugepages_total").int().optional().reaction(-3),
    gauge("HugePages_Free", "mem_hugepages_free").part_of("HugePages_Total").int().optional().reaction(-3),
    gauge("Hugepagesize", "mem_hugepage_size").scale(KIB).int().optional().reaction(-3),
];

const USED: Field = percent("", "mem_used_percent");
const SWAP_USED: Field = percent("", "mem_swap_used_percent").reaction(-3);
const PERCENTS: &[Field] = &[USED, SWAP_USED];

/// Labels of /proc/vmstat; `oom_kill` came with 4.13.
const VMSTAT: &[Field] = &[
    rate("pswpin", "mem_swap_in").optional().reaction(-3),
    rate("pswpout", "mem_swap_out").optional().reaction(-3),
    delta("oom_kill", "mem_oom_kills").optional(),
];

fn build(section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(Memory {
        thresholds: Thresholds::read(section, 90.0, 95.0)?,
        meminfo: KernelFile::new("proc/meminfo"),
        vmstat: KernelFile::new("proc/vmstat"),
    }))
}

struct Memory {
    thresholds: Thresholds,
    meminfo: KernelFile,
    vmstat: KernelFile,
}

impl Check for Memory {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let none = Tags::default();
        let mut row = procfs::labelled(cx.read(&mut self.meminfo)?, MEMINFO);
        if row.get(AVAILABLE).is_none()
            && let Some(free) = row.count(FREE)
        {
            let caches = CACHES.into_iter().filter_map(|cache| row.count(cache));
            row.push(AVAILABLE, caches.fold(free, u64::saturating_add));
        }
        out.pick(&row, MEMINFO, &none);
        if let Some(available) = out.share(MEM_AVAILABLE, row.count(AVAILABLE), row.count(TOTAL)) {
            let percent = available.rest().percent();
            out.put(&USED, percent, &none);
            let words = format_args!("Systems memory usage is {percent:.2} percent");
            out.judge(&self.thresholds, "Memory-Usage", percent, words, ALERT);
        }
        if let Some(free) = out.share(MEM_SWAP_FREE, row.count("SwapFree"), row.count(SWAP)) {
            out.put(&SWAP_USED, free.rest().percent(), &none);
        }
        match cx.read(&mut self.vmstat) {
            Ok(text) => out.pick(&procfs::labelled(text, VMSTAT), VMSTAT, &none),
            // Hidden in some containers.
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
