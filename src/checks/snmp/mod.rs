//! The check that asks network devices. Configured in `conf/snmp.ini` and `conf/snmp/*.ini`, a section for each device.

mod device;
#[allow(clippy::module_inception)]
mod snmp;

use crate::check::Spec;

pub const SPECS: &[&Spec] = &[&snmp::SPEC];

const TYPE: &str = "snmp";
