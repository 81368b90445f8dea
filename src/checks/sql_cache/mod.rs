//! Checks of databases and caches, configured in `conf/sql_cache.ini`.

pub mod memcached;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(feature = "mysql")]
pub mod mysql;
pub mod redis;
pub mod twemproxy;

use crate::check::Spec;

const CONF: &str = "sql_cache.ini";

pub const SPECS: &[&Spec] = &[
    &memcached::SPEC,
    #[cfg(feature = "mongodb")]
    &mongodb::SPEC,
    #[cfg(feature = "mysql")]
    &mysql::SPEC,
    &redis::SPEC,
    &twemproxy::SPEC,
];
