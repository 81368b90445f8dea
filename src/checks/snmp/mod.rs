//! The check for SNMP devices, configured in `conf/snmp.ini` and `conf/snmp/*.ini`, with a section per device.

mod device;
#[allow(clippy::module_inception)]
mod snmp;

use crate::check::Spec;

pub const SPECS: &[&Spec] = &[&snmp::SPEC];

const TYPE: &str = "snmp";
