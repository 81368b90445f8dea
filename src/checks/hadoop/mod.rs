//! Checks of Hadoop and its relatives, configured in `conf/hadoop.ini`.

pub mod hadoop_datanode;
pub mod hadoop_namenode;
pub mod hbase_master;
pub mod hbase_regionserver;
pub mod hbase_rest;
pub mod hbase_thrift;
pub mod hdfs_dirsize;
mod servlet;
pub mod zookeeper;

use crate::check::Spec;

const CONF: &str = "hadoop.ini";

pub const SPECS: &[&Spec] = &[
    &hadoop_datanode::SPEC,
    &hadoop_namenode::SPEC,
    &hbase_master::SPEC,
    &hbase_regionserver::SPEC,
    &hbase_rest::SPEC,
    &hbase_thrift::SPEC,
    &hdfs_dirsize::SPEC,
    &zookeeper::SPEC,
];
