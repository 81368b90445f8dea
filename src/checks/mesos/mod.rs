//! Checks of Mesos and its frameworks, configured in `conf/mesos.ini`.

mod dropwizard;
pub mod mesos_chronos;
pub mod mesos_marathon;
pub mod mesos_master;
pub mod mesos_slave;
mod snapshot;

use crate::check::Spec;

const CONF: &str = "mesos.ini";

pub const SPECS: &[&Spec] = &[&mesos_chronos::SPEC, &mesos_marathon::SPEC, &mesos_master::SPEC, &mesos_slave::SPEC];
