//! Checks of message queues, configured in `conf/mq.ini`.

pub mod activemq;
pub mod kafka;
mod management;
pub mod rabbitmq;
pub mod rabbitmq_368;

use crate::check::Spec;

const CONF: &str = "mq.ini";

pub const SPECS: &[&Spec] = &[&activemq::SPEC, &kafka::SPEC, &rabbitmq::SPEC, &rabbitmq_368::SPEC];
