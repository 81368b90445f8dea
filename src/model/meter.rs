//! Counters of several devices as one, of which each counts for itself: one that leaves takes nothing away from the others, and
//! comes back where it was.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Default)]
pub struct Meter<Device> {
    counts: HashMap<Device, u64>,
    total: u64,
}

impl<Device: Eq + Hash> Meter<Device> {
    /// What all that are meant have counted since the first time; of one that is new to the others, all. `None` where one went
    /// back: then everything begins anew.
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
