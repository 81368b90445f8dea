//! Checks of Java virtual machines, configured in `conf/java.ini`.

pub mod jmx;
pub mod jolokia;
mod machine;

use crate::check::Spec;

const CONF: &str = "java.ini";

pub const SPECS: &[&Spec] = &[&jmx::SPEC, &jolokia::SPEC];
