//! Adds up the counters of several devices. If a device disappears, the sum does not fall; if it returns, it continues
//! from its last count.

use std::collections::HashMap;
use std::hash::Hash;

/// Last count of each device, and the sum.
#[derive(Default)]
pub struct Meter<Device> {
    counts: HashMap<Device, u64>,
    total: u64,
}

impl<Device: Eq + Hash> Meter<Device> {
    /// The sum of what all devices accepted by `is_meant` have counted since the first call. Of a device that appears
    /// later, its whole count is added. `None` if a counter went back: then the sum starts again at 0.
    pub fn read(&mut self, counts: HashMap<Device, u64>, is_meant: impl Fn(&Device) -> bool) -> Option<u64> {
        let (is_first, mut went_back) = (self.counts.is_empty(), false);
        for (device, count) in counts {
            let is_meant = is_meant(&device);
            let before = self.counts.insert(device, count).unwrap_or(if is_first { count } else { 0 });
            match count.checked_sub(before) {
                _ if !is_meant => {}
                Some(change) => self.total = self.total.saturating_add(change),
                None => went_back = true,
            }
        }
        if went_back {
            self.total = 0;
        }
        (!went_back).then_some(self.total)
    }
}
