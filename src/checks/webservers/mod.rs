//! Web servers, and pages of your choice: the checks of `conf/webservers.ini`.

pub mod nginx;

use crate::check::Spec;

const CONF: &str = "webservers.ini";

pub const SPECS: &[&Spec] = &[&nginx::SPEC];
