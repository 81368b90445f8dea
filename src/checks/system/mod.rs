//! Checks that read this machine. Configured in `conf/system.ini`.

use crate::check::Spec;

pub const SPECS: &[&Spec] = &[];
