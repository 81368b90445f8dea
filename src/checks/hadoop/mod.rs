//! Hadoop and what belongs to it: the checks of `conf/hadoop.ini`.

pub mod zookeeper;

use crate::check::Spec;

const CONF: &str = "hadoop.ini";

pub const SPECS: &[&Spec] = &[&zookeeper::SPEC];
