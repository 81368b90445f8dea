//! memory: what memory is used for, how full it is, and whether the machine swaps or kills processes.

use super::{ALERT, CONF, TYPE};
use crate::check::chart::{Chart, Tile};
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
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Memory in use")
        .of(&["mem_used_percent", "mem_swap_used_percent"])
        .full(100.0)
        .events(&["Memory-Usage"])
        .first(30)
        .tile(Tile::Memory),
    Chart::new("Memory").of(&["mem_total", "mem_available", "mem_free", "mem_cached", "mem_buffers", "mem_shmem"]),
    Chart::new("Active memory").of(&["mem_active", "mem_inactive"]),
    Chart::new("Structures of the kernel").of(&["mem_slab", "mem_slab_reclaimable"]),
    Chart::new("Waiting for the disk").of(&["mem_dirty", "mem_writeback"]),
    Chart::new("Swap").of(&["mem_swap_total", "mem_swap_free", "mem_swapcached"]),
    Chart::new("Swapped in and out").mirror(&["mem_swap_in"], &["mem_swap_out"]),
    Chart::new("Killed for want of memory").of(&["mem_oom_kills"]),
    Chart::new("Huge pages").of(&["mem_hugepages_total", "mem_hugepages_free"]),
];

const KIB: f64 = 1024.0;

const TOTAL: &str = "MemTotal";
const AVAILABLE: &str = "MemAvailable";
const SWAP: &str = "SwapTotal";
const MEM_AVAILABLE: &str = "mem_available";
const MEM_SWAP_FREE: &str = "mem_swap_free";
/// Before the kernel had [`AVAILABLE`], free(1) estimated it as the sum of these.
const FREE: &str = "MemFree";
const CACHES: [&str; 2] = ["Buffers", "Cached"];

/// Labels of /proc/meminfo, see proc(5). Kernels leave out labels that they do not know: MemAvailable came with Linux
/// 3.14.
const MEMINFO: &[Field] = &[
    gauge(TOTAL, "mem_total", "bytes").scale(KIB).int(),
    gauge(FREE, "mem_free", "bytes").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge(AVAILABLE, MEM_AVAILABLE, "bytes").part_of(TOTAL).scale(KIB).int().optional(),
    gauge("Buffers", "mem_buffers", "bytes").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("Cached", "mem_cached", "bytes").part_of(TOTAL).scale(KIB).int().optional(),
    gauge("SwapCached", "mem_swapcached", "bytes").part_of(SWAP).scale(KIB).int().optional(),
    gauge("Active", "mem_active", "bytes").part_of(TOTAL).scale(KIB).int().optional(),
    gauge("Inactive", "mem_inactive", "bytes").part_of(TOTAL).scale(KIB).int().optional(),
    gauge(SWAP, "mem_swap_total", "bytes").scale(KIB).int().optional().reaction(-3),
    gauge("SwapFree", MEM_SWAP_FREE, "bytes").part_of(SWAP).scale(KIB).int().optional().reaction(-3),
    gauge("Dirty", "mem_dirty", "bytes").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("Writeback", "mem_writeback", "bytes").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("Shmem", "mem_shmem", "bytes").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("Slab", "mem_slab", "bytes").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("SReclaimable", "mem_slab_reclaimable", "bytes").part_of(TOTAL).scale(KIB).int().optional().reaction(-3),
    gauge("HugePages_Total", "mem_hugepages_total", "pages").int().optional().reaction(-3),
    gauge("HugePages_Free", "mem_hugepages_free", "pages").part_of("HugePages_Total").int().optional().reaction(-3),
    gauge("Hugepagesize", "mem_hugepage_size", "bytes").scale(KIB).int().optional().reaction(-3),
];

const USED: Field = percent("", "mem_used_percent");
const SWAP_USED: Field = percent("", "mem_swap_used_percent").reaction(-3);
const PERCENTS: &[Field] = &[USED, SWAP_USED];

/// Labels of /proc/vmstat; `oom_kill` came with Linux 4.13.
const VMSTAT: &[Field] = &[
    rate("pswpin", "mem_swap_in", "pages/s").optional().reaction(-3),
    rate("pswpout", "mem_swap_out", "pages/s").optional().reaction(-3),
    delta("oom_kill", "mem_oom_kills", "processes").optional(),
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
            // Some containers hide this file.
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
