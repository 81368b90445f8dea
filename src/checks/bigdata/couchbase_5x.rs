//! couchbase_5x: cluster, nodes and buckets of Couchbase from version 5 on; a node is the host of its points.

use super::CONF;
use super::couchbase::{self, BUCKET, CLUSTER, HEALTHY_NODES, KEYS, NODES, Own, REBALANCING};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::table::{Field, gauge};

pub static SPEC: Spec = Spec {
    name: "check_couchbase_5x",
    purpose: "cluster, nodes and buckets of Couchbase from 5 on",
    check_type: "couchbase",
    conf: CONF,
    section: "CouchBase5x",
    keys: &[KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[ON_NODE, BUCKET, NODE, &[HEALTHY, ACTIVE], CLUSTER, &[NODES, HEALTHY_NODES, REBALANCING]],
    charts: CHARTS,
    build: |section| {
        let state = &[(HEALTHY, "healthy"), (ACTIVE, "active")];
        let own = Own { bucket: &[], on_node: ON_NODE, node: NODE, state, has_hosts: true, has_tag: true };
        couchbase::couchbase(&section.with_demanded_login("stats"), own)
    },
};

const CHARTS: &[Chart] = &[
    couchbase::OPERATIONS,
    couchbase::MEMORY,
    couchbase::DISK_READS,
    couchbase::DOCUMENTS,
    Chart::new("Operations on a node").of(&["couchbase_ops"]).each("bucket"),
    Chart::new("Memory in use on a node").of(&["couchbase_mem_used"]).each("bucket"),
    Chart::new("Documents read from disk on a node").of(&["couchbase_ep_bg_fetched"]).each("bucket"),
    Chart::new("Nodes that are well").of(&["couchbase_node_healthy", "couchbase_node_active"]).full(1.0),
    Chart::new("Processors of a node").of(&["couchbase_node_cpu"]).full(100.0),
    Chart::new("Memory of a node").of(&["couchbase_node_mem_free", "couchbase_node_mem_total"]),
    Chart::new("Indexes of a node").of(&["couchbase_node_index_data_size", "couchbase_node_index_disk_size"]),
    couchbase::STATES,
    couchbase::RAM,
    couchbase::DISK,
    couchbase::REBALANCE,
];

const ON_NODE: &[Field] = &[
    gauge("/interestingStats/cmd_get", "couchbase_cmd_get", "1/s"),
    gauge("/interestingStats/couch_docs_data_size", "couchbase_couch_docs_data_size", "bytes"),
    gauge("/interestingStats/curr_items", "couchbase_curr_items", "documents"),
    gauge("/interestingStats/curr_items_tot", "couchbase_curr_items_tot", "documents"),
    gauge("/interestingStats/ep_bg_fetched", "couchbase_ep_bg_fetched", "1/s"),
    gauge("/interestingStats/get_hits", "couchbase_get_hits", "1/s"),
    gauge("/interestingStats/mem_used", "couchbase_mem_used", "bytes"),
    gauge("/interestingStats/ops", "couchbase_ops", "1/s"),
    gauge("/interestingStats/vb_replica_curr_items", "couchbase_vb_replica_curr_items", "documents"),
];

const NODE: &[Field] = &[
    gauge("/systemStats/cpu_utilization_rate", "couchbase_node_cpu", "%"),
    gauge("/systemStats/mem_free", "couchbase_node_mem_free", "bytes"),
    gauge("/systemStats/mem_total", "couchbase_node_mem_total", "bytes"),
    gauge("/systemStats/swap_used", "couchbase_node_swap_used", "bytes"),
    gauge("/interestingStats/index_data_size", "couchbase_node_index_data_size", "bytes"),
    gauge("/interestingStats/index_disk_size", "couchbase_node_index_disk_size", "bytes"),
];
const HEALTHY: Field = gauge("/status", "couchbase_node_healthy", "0 or 1").int();
/// 0 before the node is added to the cluster, and after a failover.
const ACTIVE: Field = gauge("/clusterMembership", "couchbase_node_active", "0 or 1").int();
