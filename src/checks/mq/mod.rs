//! Message queues: the checks of `conf/mq.ini`.

pub mod activemq;
pub mod kafka;
mod management;
pub mod rabbitmq;
pub mod rabbitmq_368;

use crate::check::Spec;
use crate::config::section::Section;

const CONF: &str = "mq.ini";

pub const SPECS: &[&Spec] = &[&activemq::SPEC, &kafka::SPEC, &rabbitmq::SPEC, &rabbitmq_368::SPEC];

/// The section as one that logs in where it names a user, unless `auth` is off: sections of the original have no `auth`, or one
/// that was not read.
fn with_login(section: &Section) -> Section {
    let has_user = section.text("user").is_some_and(|user| !user.is_empty());
    let is_off = matches!(section.flag("auth", true), Ok(false));
    if has_user && !is_off { section.with("auth", "True") } else { section.clone() }
}
