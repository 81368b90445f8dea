//! The check that asks the daemon of containers. Configured in `conf/docker.ini`.

mod docker_stats;

use crate::check::Spec;

pub const SPECS: &[&Spec] = &[&docker_stats::SPEC];
