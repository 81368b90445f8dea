//! btrfs: errors and missing devices of each Btrfs file system, and how much of its space is allocated.

use super::{CONF, TYPE};
use crate::check::chart::Chart;
use crate::check::{Check, Context, Measurement, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::btrfs::{Device, Filesystem};
use crate::fetch::mounts::Mounts;
use crate::model::error::{Result, plain};
use crate::model::parse::procfs;
use crate::model::point::{Level, Tags, Value};
use crate::model::table::{Field, How, Row, Share, gauge, percent, rate};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub static SPEC: Spec = Spec {
    name: "check_btrfs",
    purpose: "errors of the devices of every Btrfs, its allocation, and devices that are missing",
    check_type: TYPE,
    conf: CONF,
    section: "Btrfs",
    keys: &[],
    runs: Runs::Own,
    fields: &[&[PATTERN], ALLOCATION, COMMITS, FILESYSTEM],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Data in use")
        .of(&["btrfs_allocation_used_percent"])
        .only("kind", "data")
        .each("filesystem")
        .full(100.0),
    Chart::new("Metadata in use")
        .of(&["btrfs_allocation_used_percent"])
        .only("kind", "metadata")
        .each("filesystem")
        .full(100.0),
    Chart::new("Errors of devices").of(&["btrfs{device}_errs"]).events(&["BTRFS "]),
    Chart::new("Missing devices").of(&["btrfs_devices_missing"]).each("filesystem").events(&["BTRFS "]),
    Chart::new("Devices").of(&["btrfs_devices"]).each("filesystem"),
    Chart::new("Used for data").of(&["btrfs_bytes_used"]).only("kind", "data").each("filesystem"),
    Chart::new("Allocated to data").of(&["btrfs_bytes_allocated"]).only("kind", "data").each("filesystem"),
    Chart::new("Transactions").of(&["btrfs_commits"]).each("filesystem"),
    Chart::new("Last transaction").of(&["btrfs_last_commit"]).each("filesystem"),
    Chart::new("Longest transaction").of(&["btrfs_longest_commit"]).each("filesystem"),
];

/// The device and the counter, as `btrfs device stats` prints them, are part of the metric name.
const PATTERN: Field = gauge("", "btrfs{device}_errs", "errors");

/// Counters in `error_stats`, and their names in the metric.
const ERRORS: [(&str, &str); 5] = [
    ("write_errs", "write_io_errs"),
    ("read_errs", "read_io_errs"),
    ("flush_errs", "flush_io_errs"),
    ("corruption_errs", "corruption_errs"),
    ("generation_errs", "generation_errs"),
];

/// Files of /sys/fs/btrfs/<uuid>/allocation/<kind>, see Documentation/ABI/testing/sysfs-fs-btrfs.
const ALLOCATION: &[Field] = &[
    gauge("bytes_used", "btrfs_bytes_used", "bytes").int().reaction(-3),
    gauge("total_bytes", "btrfs_bytes_allocated", "bytes").int().reaction(-3),
];
const KINDS: [&str; 3] = ["data", "metadata", "system"];

/// Lines of `commit_stats`; since Linux 6.0.
const COMMITS: &[Field] = &[
    rate("commits", "btrfs_commits", "1/s").optional().reaction(-3),
    gauge("last_commit_ms", "btrfs_last_commit", "s").scale(0.001).optional().reaction(-3),
    gauge("max_commit_ms", "btrfs_longest_commit", "s").scale(0.001).optional().reaction(-3),
];

const USED: Field = percent("", "btrfs_allocation_used_percent");
const DEVICES: Field = gauge("", "btrfs_devices", "devices").int().reaction(-3);
const MISSING: Field = gauge("", "btrfs_devices_missing", "devices").int();
const FILESYSTEM: &[Field] = &[USED, DEVICES, MISSING];

/// Number of errors of a device from which on the event is a warning, and an error.
const DOUBT: u64 = 2;
const BAD: u64 = 5;
/// Spelled as in the original.
const EVENT: &str = "BTRFS ";

fn build(_section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(Btrfs { mounts: Mounts::default(), mounted: Vec::new() }))
}

struct Btrfs {
    mounts: Mounts,
    mounted: Vec<Filesystem>,
}

impl Check for Btrfs {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let names = match cx.names("sys/fs/btrfs") {
            Ok(names) => names,
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) => return Err(error),
        };
        let uuids: Vec<String> = names.into_iter().filter(|name| name.len() == 36).collect();
        if uuids.is_empty() {
            return Ok(());
        }
        let looked = self.look_at_mounts(cx, out);
        let mut found = Found::default();
        for (uuid, tag) in uuids.iter().zip(tags(&uuids, cx)) {
            let folder = format!("sys/fs/btrfs/{uuid}");
            tell_allocation(&folder, &tag, cx, out);
            let mounted = self.mounted.iter_mut().find(|filesystem| filesystem.uuid == *uuid);
            tell_devices(&folder, &tag, mounted, &mut found, cx, out);
        }
        found.judge(out);
        looked
    }
}

/// The tag of each file system: its label, or its UUID if it has none. If several have the same label, such as a disk
/// and its clone, the UUID is appended.
fn tags(uuids: &[String], cx: &Context) -> Vec<String> {
    let name = |uuid: &String| match cx.text(&format!("sys/fs/btrfs/{uuid}/label")).unwrap_or_default().trim() {
        "" => uuid.clone(),
        label => label.to_string(),
    };
    let names: Vec<String> = uuids.iter().map(name).collect();
    let is_taken = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let tag = |(uuid, name): (&String, &String)| if is_taken(name) { format!("{name} {uuid}") } else { name.clone() };
    uuids.iter().zip(&names).map(tag).collect()
}

/// What the event of this run is judged by.
#[derive(Default)]
struct Found {
    /// The highest error counter of all devices, and its name.
    worst: Option<(u64, String)>,
    /// Entries such as `pool 1 of 2`.
    missing: Vec<String>,
}

impl Found {
    fn judge(self, out: &mut Out) {
        let (mut level, mut words) = match self.worst {
            Some((count @ BAD.., key)) => {
                (Level::Error, format!("Critical : BTRFS is corrupted with {count} IO Errors on {key}"))
            }
            Some((count @ DOUBT.., key)) => {
                (Level::Warning, format!("Warning : BTRFS may be corrupted with {count} IO Errors on {key}"))
            }
            Some(_) => (Level::Ok, "OK : no device of a BTRFS has more than one error".into()),
            None if self.missing.is_empty() => return,
            None => (Level::Ok, String::new()),
        };
        if !self.missing.is_empty() {
            let missing = format!("devices of a BTRFS are missing: {}", self.missing.join(", "));
            words = match level {
                Level::Ok => format!("Warning : {missing}"),
                _ => format!("{words}, and {missing}"),
            };
            level = level.max(Level::Warning);
        }
        out.health(EVENT, level, words, 0);
    }
}

impl Btrfs {
    /// Finds the mounted Btrfs file systems again if the list of mounts has changed.
    fn look_at_mounts(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let Some(mounted) = cx.mounts(&mut self.mounts).inspect_err(|_| self.mounted.clear())? else { return Ok(()) };
        self.mounted.clear();
        for mount in mounted.mounts.iter().filter(|mount| mount.fs == "btrfs") {
            let path = mount.path.strip_prefix(b"/").unwrap_or(&mount.path);
            match Filesystem::at(cx.roots.root.join(OsStr::from_bytes(path))) {
                // Further subvolumes of a known file system are skipped.
                Ok(found) => {
                    self.mounted.extend(found.filter(|new| self.mounted.iter().all(|old| old.uuid != new.uuid)))
                }
                Err(error) if error.is_gone() => {}
                Err(error) => out.fault(error.to_string()),
            }
        }
        Ok(())
    }
}

fn tell_allocation(folder: &str, tag: &str, cx: &Context, out: &mut Out) {
    for kind in KINDS {
        let tags: Tags = [("filesystem", tag), ("kind", kind)].into_iter().collect();
        let file = |field: &Field| cx.text(&format!("{folder}/allocation/{kind}/{}", field.cell)).ok();
        let texts: Vec<(&str, String)> =
            ALLOCATION.iter().filter_map(|field| Some((field.cell, file(field)?.trim().to_string()))).collect();
        let row = Row::of(texts.iter().map(|(cell, text)| (*cell, text.as_str())));
        for field in ALLOCATION {
            if let Some(raw) = row.get(field.cell) {
                out.put(field, raw, &tags);
            }
        }
        if let (Some(used), Some(total @ 1..)) = (row.count("bytes_used"), row.count("total_bytes")) {
            match Share::of(used, total) {
                Some(used) => out.put(&USED, used.percent(), &tags),
                None => {
                    out.fault_of(tag, format!("{used} of {total} bytes of {kind} are said to be used, which cannot be"))
                }
            }
        }
    }
    if let Ok(text) = cx.text(&format!("{folder}/commit_stats")) {
        out.pick(&procfs::labelled(&text, COMMITS), COMMITS, &Tags::one("filesystem", tag));
    }
}

/// Emits the error counters of each device, and the numbers of devices.
fn tell_devices(
    folder: &str,
    tag: &str,
    mut mounted: Option<&mut Filesystem>,
    found: &mut Found,
    cx: &Context,
    out: &mut Out,
) {
    let tags = Tags::one("filesystem", tag);
    let names = cx.names(&format!("{folder}/devices")).unwrap_or_default();
    let devices = devices(folder, &names, mounted.as_deref_mut(), cx);
    for Device { number, path, .. } in &devices {
        // `btrfs device stats` prints devices without a path like this. Their numbers are not unique among file
        // systems.
        let (name, own, place) = match path {
            Some(path) => (path.clone(), Tags::default(), String::new()),
            None => (format!("devid:{number}"), tags.clone(), format!(" of {tag}")),
        };
        let counters = match cx.text(&format!("{folder}/devinfo/{number}/error_stats")) {
            Ok(text) => text.lines().filter_map(|line| line.split_once(' ')).filter_map(counter).collect(),
            // Before Linux 5.14 there is no such file; the mounted file system is asked.
            Err(error) if error.is_gone() => match mounted.as_ref().map(|mounted| mounted.errors(*number)) {
                Some(Ok(counts)) => ERRORS.iter().map(|(_, name)| *name).zip(counts).collect(),
                Some(Err(error)) => {
                    out.fault(format!("{name}{place}: cannot ask for its errors: {}", plain(&error)));
                    Vec::new()
                }
                None => Vec::new(),
            },
            Err(error) => {
                out.fault(error.to_string());
                Vec::new()
            }
        };
        for (counter, errors) in counters {
            let key = format!("[{name}].{counter}").replace(['.', '/'], "_").replace(['[', ']'], "");
            let (metric, value) = (format!("btrfs{key}"), Value::Float(errors as f64));
            let (how, check_type, tags) = (How::Gauge, TYPE, own.clone());
            out.tell(Measurement { name: &metric, value, how, check_type, tags, time: None });
            if found.worst.as_ref().is_none_or(|(most, _)| errors > *most) {
                found.worst = Some((errors, format!("{key}{place}")));
            }
        }
    }
    let (count, missing) = (devices.len().max(names.len()), devices.iter().filter(|device| device.is_missing).count());
    out.put(&DEVICES, count as u64, &tags);
    out.put(&MISSING, missing as u64, &tags);
    if missing > 0 {
        found.missing.push(format!("{tag} {missing} of {count}"));
    }
}

/// The devices with their paths as far as known. `names` are the entries of the folder `devices`, which have no
/// numbers.
fn devices(folder: &str, names: &[String], mounted: Option<&mut Filesystem>, cx: &Context) -> Vec<Device> {
    let numbers = cx.names(&format!("{folder}/devinfo")).unwrap_or_default();
    let mut numbers: Vec<u64> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    let mut devices = mounted.map_or_else(Vec::new, |mounted| mounted.devices(&numbers, names));
    // Before Linux 5.6 only the mounted file system knows the devices.
    if numbers.is_empty() {
        return devices;
    }
    devices.retain(|device| numbers.contains(&device.number));
    for number in numbers {
        let is_missing = cx.text(&format!("{folder}/devinfo/{number}/missing")).is_ok_and(|text| text.trim() == "1");
        match devices.iter_mut().find(|device| device.number == number) {
            // The path of a missing device may belong to another device by now.
            Some(device) if is_missing => *device = Device { number, path: None, is_missing },
            Some(device) => device.is_missing = false,
            None => devices.push(Device { number, path: None, is_missing }),
        }
    }
    let mut present = devices.iter_mut().filter(|device| !device.is_missing);
    if let ([name], Some(only), None) = (names, present.next(), present.next()) {
        only.path.get_or_insert_with(|| format!("/dev/{}", name.replace('!', "/")));
    }
    devices
}

fn counter((label, count): (&str, &str)) -> Option<(&'static str, u64)> {
    let (_, name) = ERRORS.iter().find(|(known, _)| *known == label)?;
    Some((name, count.trim().parse().ok()?))
}
