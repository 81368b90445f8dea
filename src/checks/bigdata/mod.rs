//! Clustered stores, searches and stream processors: the checks of `conf/bigdata.ini`.

pub mod cassandra;
pub mod cassandra3;
pub mod elasticsearch;
pub mod elasticsearch1x;
mod search;
pub mod solr;
mod spark;
pub mod spark_master;
pub mod spark_worker;

use crate::check::Spec;

const CONF: &str = "bigdata.ini";

pub const SPECS: &[&Spec] = &[
    &cassandra::SPEC,
    &cassandra3::SPEC,
    &elasticsearch::SPEC,
    &elasticsearch1x::SPEC,
    &solr::SPEC,
    &spark_master::SPEC,
    &spark_worker::SPEC,
];
