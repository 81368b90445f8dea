//! The check for containers, configured in `conf/docker.ini`.

mod docker_stats;

use crate::check::Spec;

pub const SPECS: &[&Spec] = &[&docker_stats::SPEC];
