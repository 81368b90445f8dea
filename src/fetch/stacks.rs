//! Block devices that lie on others: LVM, LUKS, RAID, images. What is read from one of them is read from those below it once more.

use super::tree;
use crate::model::parse::procfs::{Device, device};
use crate::model::roots::Roots;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

/// What the kernel knows of them, looked up once, and only where several devices are to be told apart: each that lies on
/// others, with those of them that have a number.
#[derive(Default)]
pub struct Stacks(OnceCell<HashMap<Device, Vec<Device>>>);

impl Stacks {
    /// Those that lie on no other; where there is none of these, those that lie on none of the others here.
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
    let number = |name: &String| device(tree::text(roots, &format!("sys/block/{name}/dev")).ok()?.trim_ascii());
    let stacked = |name: String| {
        let below = tree::names(roots, &format!("sys/block/{name}/slaves")).unwrap_or_default();
        let has_below = !below.is_empty() || disk_of_path(&name).is_some() || is_image(roots, &name);
        has_below.then(|| Some((number(&name)?, below.iter().filter_map(number).collect())))?
    };
    tree::names(roots, "sys/block").unwrap_or_default().into_iter().filter_map(stacked).collect()
}

/// Whether that is a loop device with a file, whose bytes are those of the disk with the file.
fn is_image(roots: &Roots, name: &str) -> bool {
    roots.resolve(&format!("sys/block/{name}/loop/backing_file")).exists()
}

/// The disk that is reached by several paths, of which `nvme0c1n2` is one: `nvme0n2`.
pub fn disk_of_path(name: &str) -> Option<String> {
    let (subsystem, rest) = name.strip_prefix("nvme")?.split_once('c')?;
    let (path, namespace) = rest.split_once('n')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    [subsystem, path, namespace].into_iter().all(is_number).then(|| format!("nvme{subsystem}n{namespace}"))
}
