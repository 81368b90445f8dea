//! cgroups: CPU, memory and disk usage of slices and services, and their limits.

use super::{CONF, Ignore, TYPE};
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::stacks::Stacks;
use crate::model::error::{Error, Result};
use crate::model::meter::Meter;
use crate::model::parse::procfs::{self, Device};
use crate::model::point::Tags;
use crate::model::table::{Field, delta, gauge, rate};
use std::collections::{HashMap, HashSet};
use std::time::Instant;

pub static SPEC: Spec = Spec {
    name: "check_cgroups",
    purpose: "what slices and services use of processors, memory and disks, and their limits",
    check_type: TYPE,
    conf: CONF,
    section: "Cgroups",
    keys: &[&["depth", "ignore"]],
    runs: Runs::Own,
    fields: &[CPU, LEVELS, MEMORY, EVENTS, IO],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("CPU of slices and services").of(&["cgroup_cpu_usage"]).each("cgroup").first(110),
    Chart::new("Memory of slices and services").of(&["cgroup_memory_current"]).each("cgroup").first(111),
    Chart::new("Held back by the limit of CPU").of(&["cgroup_cpu_throttled"]).each("cgroup"),
    Chart::new("Periods held back").of(&["cgroup_cpu_throttled_periods"]).each("cgroup"),
    Chart::new("CPU in programs").of(&["cgroup_cpu_user"]).each("cgroup"),
    Chart::new("CPU in the kernel").of(&["cgroup_cpu_system"]).each("cgroup"),
    Chart::new("Memory of programs").of(&["cgroup_memory_anon"]).each("cgroup"),
    Chart::new("Cache of files").of(&["cgroup_memory_file"]).each("cgroup"),
    Chart::new("Structures of the kernel").of(&["cgroup_memory_slab"]).each("cgroup"),
    Chart::new("Swap").of(&["cgroup_memory_swap"]).each("cgroup"),
    Chart::new("Limit of memory").of(&["cgroup_memory_max"]).each("cgroup"),
    Chart::new("Limit of memory reached").of(&["cgroup_memory_limit_hits"]).each("cgroup"),
    Chart::new("Killed for want of memory").of(&["cgroup_memory_oom_kills"]).each("cgroup"),
    Chart::new("Disk traffic").mirror(&["cgroup_io_reads"], &["cgroup_io_writes"]).each("cgroup"),
    Chart::new("Disk operations").mirror(&["cgroup_io_read_ops"], &["cgroup_io_write_ops"]).each("cgroup"),
    Chart::new("Processes and threads").of(&["cgroup_pids_current"]).each("cgroup"),
    Chart::new("Limit of processes and threads").of(&["cgroup_pids_max"]).each("cgroup"),
];

/// Converts microseconds per second to percent of one CPU.
const PERCENT: f64 = 1e-4;

/// Lines of cpu.stat. This and all files below: Documentation/admin-guide/cgroup-v2.rst.
const CPU: &[Field] = &[
    rate("usage_usec", "cgroup_cpu_usage", "%").scale(PERCENT),
    rate("user_usec", "cgroup_cpu_user", "%").scale(PERCENT).reaction(-3),
    rate("system_usec", "cgroup_cpu_system", "%").scale(PERCENT).reaction(-3),
    rate("nr_throttled", "cgroup_cpu_throttled_periods", "1/s").optional().reaction(-3),
    rate("throttled_usec", "cgroup_cpu_throttled", "%").scale(PERCENT).optional(),
];

/// Files that contain one number or the word `max`.
const LEVELS: &[Field] = &[
    gauge("memory.current", "cgroup_memory_current", "bytes").int(),
    gauge("memory.max", "cgroup_memory_max", "bytes").int().reaction(-3),
    gauge("memory.swap.current", "cgroup_memory_swap", "bytes").int().reaction(-3),
    gauge("pids.current", "cgroup_pids_current", "tasks").int(),
    gauge("pids.max", "cgroup_pids_max", "tasks").int().reaction(-3),
];

/// Lines of memory.stat.
const MEMORY: &[Field] = &[
    gauge("anon", "cgroup_memory_anon", "bytes").int().optional().reaction(-3),
    gauge("file", "cgroup_memory_file", "bytes").int().optional().reaction(-3),
    gauge("slab", "cgroup_memory_slab", "bytes").int().optional().reaction(-3),
];

/// Lines of memory.events.
const EVENTS: &[Field] = &[
    delta("max", "cgroup_memory_limit_hits", "times").optional().reaction(-3),
    delta("oom_kill", "cgroup_memory_oom_kills", "processes").optional(),
];

/// Pairs of io.stat.
const IO: &[Field] = &[
    rate("rbytes", "cgroup_io_reads", "bytes/s").optional().reaction(-3),
    rate("wbytes", "cgroup_io_writes", "bytes/s").optional().reaction(-3),
    rate("rios", "cgroup_io_read_ops", "1/s").optional().reaction(-3),
    rate("wios", "cgroup_io_write_ops", "1/s").optional().reaction(-3),
];

/// Mount points of cgroup v2: alone, or beside cgroup v1.
const ROOTS: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];
const NONE: &str = "there is no cgroup v2 on this host: neither /sys/fs/cgroup nor /sys/fs/cgroup/unified is one";

/// Default of `ignore`: groups of logins and containers, which come and go.
const IGNORED: &[&str] = &["*.scope", "*docker*", "*kubepods*/*", "*libpod*"];
const DEEPEST: usize = 8;

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let depth = section.number("depth", 1)?;
    if !(1..=DEEPEST).contains(&depth) {
        return Err(section.wrong("depth", "expected a number from 1 to 8"));
    }
    Ok(Box::new(Cgroups { depth, ignore: Ignore::read(section, IGNORED), groups: HashMap::new() }))
}

struct Cgroups {
    /// How many levels to descend. 1: slices; 2: also the services in them.
    depth: usize,
    ignore: Ignore,
    groups: HashMap<String, Group>,
}

struct Group {
    tags: Tags,
    seen: Instant,
    /// The counters of [`IO`], by device.
    io: [Meter<Device>; IO.len()],
}

impl Check for Cgroups {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let is_root = |root: &&str| cx.is_file(&format!("{root}/cgroup.controllers"));
        let Some(root) = ROOTS.into_iter().find(is_root) else { return Err(Error::Absent(NONE.into())) };
        let mut found = Vec::new();
        self.find(cx, root, "", 1, &mut found)?;
        let at = cx.tick.at;
        let mut left_out = 0;
        let stacks = Stacks::default();
        for name in found {
            if out.is_full() && !self.groups.contains_key(&name) {
                left_out += 1;
                continue;
            }
            let folder = format!("{root}{name}");
            let new =
                |name: &String| Group { tags: Tags::one("cgroup", shown(name)), seen: at, io: Default::default() };
            let group = self.groups.entry(name).or_insert_with_key(new);
            group.seen = at;
            tell(&folder, group, &stacks, cx, out);
        }
        if left_out > 0 {
            out.fault(format!("{left_out} groups are not looked at: there are more than max_series allows"));
        }
        let gone = self.groups.extract_if(|_, group| group.seen != at);
        out.forget(&gone.map(|(_, group)| group.tags).collect::<Vec<_>>());
        Ok(())
    }
}

impl Cgroups {
    /// Collects the groups below `parent` that are not ignored, as paths below the root.
    fn find(&self, cx: &Context, root: &str, parent: &str, depth: usize, found: &mut Vec<String>) -> Result<()> {
        for name in cx.folders(&format!("{root}{parent}"))? {
            let group = format!("{parent}/{name}");
            if self.ignore.covers(shown(&group)) {
                continue;
            }
            if depth < self.depth {
                match self.find(cx, root, &group, depth + 1, found) {
                    Err(error) if !error.is_gone() => return Err(error),
                    _ => {}
                }
            }
            found.push(group);
        }
        Ok(())
    }
}

/// The path without its leading slash.
fn shown(group: &str) -> &str {
    group.trim_start_matches('/')
}

/// Emits one group. A missing file means that the controller is off for this group. The files are too many to be kept
/// open.
fn tell(folder: &str, Group { tags, io, .. }: &mut Group, stacks: &Stacks, cx: &Context, out: &mut Out) {
    let mut read = |file: &str, take: &mut dyn FnMut(&str, &mut Out)| match cx.text(&format!("{folder}/{file}")) {
        Ok(text) => {
            out.read_now();
            take(text.trim_ascii(), out);
        }
        Err(error) if error.is_gone() => {}
        Err(error) => out.fault(error.to_string()),
    };
    for field in LEVELS {
        read(field.cell, &mut |text, out| {
            if text != "max" {
                out.put(field, text, tags);
            }
        });
    }
    // Before the other rates, because it may reset all counters of the group.
    read("io.stat", &mut |text, out| tell_io(text, tags, io, stacks, cx, out));
    for (file, fields) in [("cpu.stat", CPU), ("memory.stat", MEMORY), ("memory.events", EVENTS)] {
        read(file, &mut |text, out| out.pick(&procfs::labelled(text, fields), fields, tags));
    }
}

/// Devices that are built on other listed devices are left out, because their bytes are counted by those already.
fn tell_io(text: &str, tags: &Tags, io: &mut [Meter<Device>], stacks: &Stacks, cx: &Context, out: &mut Out) {
    let listed: HashSet<Device> = procfs::io_stat(text).map(|(device, ..)| device).collect();
    let counted = cx.lowest(stacks, listed);
    let read = |(field, meter): (&'static Field, &mut Meter<Device>)| {
        let own = procfs::io_stat(text).filter(|(_, name, _)| *name == field.cell);
        let counts: HashMap<Device, u64> = own.map(|(device, _, count)| (device, count)).collect();
        (!counts.is_empty()).then(|| (field, meter.read(counts, |device| counted.contains(device))))
    };
    out.put_totals(IO.iter().zip(io).filter_map(read).collect(), tags);
}
