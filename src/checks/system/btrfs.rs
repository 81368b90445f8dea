//! btrfs: errors of the devices of every Btrfs, its allocation, and devices that are missing.

use super::{CONF, TYPE};
use crate::check::{Check, Context, Measurement, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::btrfs::Filesystem;
use crate::fetch::file::KernelFile;
use crate::model::error::Result;
use crate::model::parse::number::whole;
use crate::model::parse::procfs;
use crate::model::point::{Level, Tags, Value};
use crate::model::table::{Field, How, Row, gauge, percent, rate};
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
    build,
};

/// The metric's name ends in the device and its counter, as `btrfs device stats` names them.
const PATTERN: Field = gauge("", "btrfs{key}");

/// Counters of `error_stats`, and their names in the metric.
const ERRORS: [(&str, &str); 5] = [
    ("write_errs", "write_io_errs"),
    ("read_errs", "read_io_errs"),
    ("flush_errs", "flush_io_errs"),
    ("corruption_errs", "corruption_errs"),
    ("generation_errs", "generation_errs"),
];

/// Files of /sys/fs/btrfs/<uuid>/allocation/<kind>, see Documentation/ABI/testing/sysfs-fs-btrfs.
const ALLOCATION: &[Field] = &[
    gauge("bytes_used", "btrfs_bytes_used").int().reaction(-3),
    gauge("total_bytes", "btrfs_bytes_allocated").int().reaction(-3),
];
const KINDS: [&str; 3] = ["data", "metadata", "system"];

/// Lines of `commit_stats`, since Linux 6.0.
const COMMITS: &[Field] = &[
    rate("commits", "btrfs_commits").optional().reaction(-3),
    gauge("last_commit_ms", "btrfs_last_commit").scale(0.001).optional().reaction(-3),
    gauge("max_commit_ms", "btrfs_longest_commit").scale(0.001).optional().reaction(-3),
];

const USED: Field = percent("", "btrfs_allocation_used_percent");
const DEVICES: Field = gauge("", "btrfs_devices").int().reaction(-3);
const MISSING: Field = gauge("", "btrfs_devices_missing").int();
const FILESYSTEM: &[Field] = &[USED, DEVICES, MISSING];

/// Errors of a device from which on it is doubted, and from which on it is bad.
const DOUBT: u64 = 2;
const BAD: u64 = 5;
/// As the original spelled it.
const EVENT: &str = "BTRFS ";

fn build(_section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(Btrfs { mounts: KernelFile::new("proc/mounts"), mounted: Vec::new() }))
}

struct Btrfs {
    mounts: KernelFile,
    mounted: Vec<Filesystem>,
}

impl Check for Btrfs {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        self.look_at_mounts(cx, out)?;
        let names = match cx.names("sys/fs/btrfs") {
            Ok(names) => names,
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut worst = None::<(u64, String)>;
        for uuid in names.iter().filter(|name| name.len() == 36) {
            let folder = format!("sys/fs/btrfs/{uuid}");
            let label = cx.text(&format!("{folder}/label")).unwrap_or_default();
            let label = label.trim();
            let tag = if label.is_empty() { uuid } else { label };
            tell_allocation(&folder, tag, cx, out);
            let mounted = self.mounted.iter_mut().find(|filesystem| filesystem.uuid == *uuid);
            tell_devices(&folder, tag, mounted, &mut worst, cx, out);
        }
        if let Some((count, key)) = worst {
            let (level, words) = match count {
                BAD.. => (Level::Error, format!("Critical : BTRFS is corrupted with {count} IO Errors on {key}")),
                DOUBT.. => {
                    (Level::Warning, format!("Warning : BTRFS may be corrupted with {count} IO Errors on {key}"))
                }
                _ => (Level::Ok, "OK : no device of a BTRFS has more than one error".into()),
            };
            out.health(EVENT, level, words, 0);
        }
        Ok(())
    }
}

impl Btrfs {
    /// Looks for what is mounted when the kernel's list has changed.
    fn look_at_mounts(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let Some(text) = cx.read_if_changed(&mut self.mounts)? else { return Ok(()) };
        self.mounted.clear();
        for mount in procfs::mounts(text).filter(|mount| mount.fs == "btrfs") {
            let path = mount.path.strip_prefix(b"/").unwrap_or(&mount.path);
            match Filesystem::at(cx.roots.root.join(OsStr::from_bytes(path))) {
                // Subvolumes of one that is known are no news.
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
        if let (Some(used), Some(total @ 1..)) = (whole(&row, "bytes_used"), whole(&row, "total_bytes")) {
            out.put(&USED, used as f64 * 100.0 / total as f64, &tags);
        }
    }
    if let Ok(text) = cx.text(&format!("{folder}/commit_stats")) {
        out.pick(&procfs::labelled(&text, COMMITS), COMMITS, &Tags::one("filesystem", tag));
    }
}

/// The errors of each device; `worst` is the counter that is highest of all.
fn tell_devices(
    folder: &str,
    tag: &str,
    mut mounted: Option<&mut Filesystem>,
    worst: &mut Option<(u64, String)>,
    cx: &Context,
    out: &mut Out,
) {
    // The numbers came with Linux 5.8; before, a file system that is not told by its mount has none.
    let mut numbers = cx.names(&format!("{folder}/devinfo")).unwrap_or_default();
    numbers.sort_by_key(|number| number.parse::<u64>().ok());
    let names = cx.names(&format!("{folder}/devices")).unwrap_or_default();
    if numbers.is_empty() {
        numbers = (1..=names.len()).map(|number| number.to_string()).collect();
    }
    let numbers: Vec<u64> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    let devices = match &mut mounted {
        Some(mounted) => mounted.devices(&numbers, &names),
        None => vec![None; numbers.len()],
    };
    let tags = Tags::one("filesystem", tag);
    let (count, mut missing) = (numbers.len() as u64, 0_u64);
    for (number, device) in numbers.into_iter().zip(devices) {
        let info = format!("{folder}/devinfo/{number}");
        missing += u64::from(cx.text(&format!("{info}/missing")).is_ok_and(|text| text.trim() == "1"));
        // Which of the names belongs to which number is known only where it is mounted, and of one device.
        let device = device.or_else(|| match names.as_slice() {
            [only] => Some(format!("/dev/{only}")),
            _ => None,
        });
        let Some(device) = device else { continue };
        let told = match cx.text(&format!("{info}/error_stats")) {
            Ok(text) => text.lines().filter_map(|line| line.split_once(' ')).filter_map(counter).collect(),
            // Before Linux 5.14.
            Err(error) if error.is_gone() => match mounted.as_ref().map(|mounted| mounted.errors(number)) {
                Some(Ok(counts)) => ERRORS.iter().map(|(_, name)| *name).zip(counts).collect(),
                Some(Err(error)) => {
                    out.fault(format!("{device}: cannot ask for its errors: {}", crate::model::error::plain(&error)));
                    Vec::new()
                }
                None => Vec::new(),
            },
            Err(error) => {
                out.fault(error.to_string());
                Vec::new()
            }
        };
        for (name, errors) in told {
            let key = format!("[{device}].{name}").replace(['.', '/'], "_").replace(['[', ']'], "");
            let metric = format!("btrfs{key}");
            let value = Value::Float(errors as f64);
            out.tell(Measurement {
                name: &metric,
                value,
                how: How::Gauge,
                check_type: TYPE,
                tags: Tags::default(),
                time: None,
            });
            if worst.as_ref().is_none_or(|(most, _)| errors > *most) {
                *worst = Some((errors, key));
            }
        }
    }
    out.put(&DEVICES, count, &tags);
    out.put(&MISSING, missing, &tags);
}

fn counter((label, count): (&str, &str)) -> Option<(&'static str, u64)> {
    let (_, name) = ERRORS.iter().find(|(known, _)| *known == label)?;
    Some((name, count.trim().parse().ok()?))
}
