//! Stores of many machines: the checks of `conf/bigdata.ini`.

pub mod elasticsearch;
pub mod elasticsearch1x;
mod search;

use crate::check::Spec;

const CONF: &str = "bigdata.ini";

pub const SPECS: &[&Spec] = &[&elasticsearch::SPEC, &elasticsearch1x::SPEC];
