//! Block devices that are built on others: LVM, LUKS, RAID, loop devices. I/O on one of them is counted again on the
//! devices below it.

use super::{file, tree};
use crate::model::parse::procfs::{Device, device};
use crate::model::roots::Roots;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

/// Each device that is built on others, with those of them that have a device number. Read from /sys on first use, and
/// only if there is more than one device to compare.
#[derive(Default)]
pub struct Stacks(OnceCell<HashMap<Device, Vec<Device>>>);

impl Stacks {
    /// The devices that are not built on any other. If there are none, those that are not built on another device of
    /// the set.
    pub fn lowest(&self, roots: &Roots, devices: HashSet<Device>) -> HashSet<Device> {
        if devices.len() < 2 {
            return devices;
        }
        let stacked = self.0.get_or_init(|| stacked(roots));
        let lowest: HashSet<Device> = devices.iter().filter(|device| !stacked.contains_key(*device)).copied().collect();
        if !lowest.is_empty() {
            return lowest;
        }
        let is_lowest =
            |device: &&Device| stacked.get(*device).into_iter().flatten().all(|below| !devices.contains(below));
        devices.iter().filter(is_lowest).copied().collect()
    }
}

fn stacked(roots: &Roots) -> HashMap<Device, Vec<Device>> {
    let number = |name: &String| device(file::text(roots, &format!("sys/block/{name}/dev")).ok()?.trim_ascii());
    let stacked = |name: String| {
        let below = tree::names(roots, &format!("sys/block/{name}/slaves")).unwrap_or_default();
        let has_below = !below.is_empty() || disk_of_path(&name).is_some() || is_image(roots, &name);
        has_below.then(|| Some((number(&name)?, below.iter().filter_map(number).collect())))?
    };
    tree::names(roots, "sys/block").unwrap_or_default().into_iter().filter_map(stacked).collect()
}

/// Whether this is a loop device backed by a file. Its I/O is that of the disk which holds the file.
fn is_image(roots: &Roots, name: &str) -> bool {
    roots.resolve(&format!("sys/block/{name}/loop/backing_file")).exists()
}

/// The name of a disk with several paths, from the name of one of its paths: `nvme0n2` for `nvme0c1n2`.
pub fn disk_of_path(name: &str) -> Option<String> {
    let (subsystem, rest) = name.strip_prefix("nvme")?.split_once('c')?;
    let (path, namespace) = rest.split_once('n')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    [subsystem, path, namespace].into_iter().all(is_number).then(|| format!("nvme{subsystem}n{namespace}"))
}
