//! Block devices that lie on others: LVM, LUKS, RAID. What is read from one of them is read from those below it once more.

use super::tree;
use crate::model::parse::procfs::{Device, device};
use crate::model::roots::Roots;
use std::cell::OnceCell;
use std::collections::HashSet;

/// What the kernel knows of them, looked up once, and only where several devices are to be told apart.
#[derive(Default)]
pub struct Stacks(OnceCell<HashSet<Device>>);

impl Stacks {
    /// Those that lie on no other; all where there is none of these.
    pub fn lowest(&self, roots: &Roots, devices: HashSet<Device>) -> HashSet<Device> {
        if devices.len() < 2 {
            return devices;
        }
        let stacked = self.0.get_or_init(|| stacked(roots));
        let lowest: HashSet<Device> = devices.difference(stacked).copied().collect();
        if lowest.is_empty() { devices } else { lowest }
    }
}

fn stacked(roots: &Roots) -> HashSet<Device> {
    let names = tree::names(roots, "sys/block").unwrap_or_default();
    let is_stacked =
        |name: &String| tree::names(roots, &format!("sys/block/{name}/slaves")).is_ok_and(|below| !below.is_empty());
    let number = |name: String| device(tree::text(roots, &format!("sys/block/{name}/dev")).ok()?.trim_ascii());
    names.into_iter().filter(is_stacked).filter_map(number).collect()
}
