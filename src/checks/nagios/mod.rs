//! The check that runs Nagios plugins, configured in `conf/nagios.ini`.

#[allow(clippy::module_inception)]
mod nagios;

use crate::check::Spec;

pub const SPECS: &[&Spec] = &[&nagios::SPEC];
