//! Checks of clustered databases, search engines and stream processors, configured in `conf/bigdata.ini`.

pub mod cassandra;
pub mod cassandra3;
pub mod ceph;
mod couchbase;
pub mod couchbase_4x;
pub mod couchbase_5x;
pub mod couchdb_1x;
pub mod couchdb_2x;
pub mod elasticsearch;
pub mod elasticsearch1x;
pub mod foundationdb;
pub mod lizardfs;
pub mod riak;
pub mod scylla;
mod search;
pub mod solr;
mod spark;
pub mod spark_master;
pub mod spark_worker;
pub mod storm_api;
pub mod storm_workers;

use crate::check::Spec;

const CONF: &str = "bigdata.ini";

pub const SPECS: &[&Spec] = &[
    &cassandra::SPEC,
    &cassandra3::SPEC,
    &ceph::SPEC,
    &couchbase_4x::SPEC,
    &couchbase_5x::SPEC,
    &couchdb_1x::SPEC,
    &couchdb_2x::SPEC,
    &elasticsearch::SPEC,
    &elasticsearch1x::SPEC,
    &foundationdb::SPEC,
    &lizardfs::SPEC,
    &riak::SPEC,
    &scylla::SPEC,
    &solr::SPEC,
    &spark_master::SPEC,
    &spark_worker::SPEC,
    &storm_api::SPEC,
    &storm_workers::SPEC,
];
