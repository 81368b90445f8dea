//! Databases and caches: the checks of `conf/sql_cache.ini`.

pub mod memcached;
pub mod redis;
pub mod twemproxy;

use crate::check::Spec;

const CONF: &str = "sql_cache.ini";

pub const SPECS: &[&Spec] = &[&memcached::SPEC, &redis::SPEC, &twemproxy::SPEC];
