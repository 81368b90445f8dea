//! couchbase_4x: buckets of Couchbase 4 and their parts on each node; the node is part of the metric name.

use super::CONF;
use super::couchbase::{self, BUCKET, CLUSTER, HEALTHY_NODES, KEYS, NODES, Own, REBALANCING};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::table::{Field, gauge};

pub static SPEC: Spec = Spec {
    name: "check_couchbase_4x",
    purpose: "cluster and buckets of Couchbase 4",
    check_type: "couchbase",
    conf: CONF,
    section: "CouchBase",
    keys: &[KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[ON_NODE, BUCKET, HITS, CLUSTER, &[NODES, HEALTHY_NODES, REBALANCING]],
    charts: CHARTS,
    build: |section| {
        let own = Own { bucket: HITS, on_node: ON_NODE, node: &[], state: &[], has_hosts: false, has_tag: false };
        couchbase::couchbase(&section.with_login(), own)
    },
};

const CHARTS: &[Chart] = &[
    couchbase::OPERATIONS,
    couchbase::MEMORY,
    couchbase::DISK_READS,
    couchbase::DOCUMENTS,
    Chart::new("Operations on a node").of(&["couchbase_{node}_ops"]),
    Chart::new("Memory in use on a node").of(&["couchbase_{node}_mem_used"]),
    Chart::new("Documents read from disk on a node").of(&["couchbase_{node}_ep_bg_fetched"]),
    couchbase::STATES,
    couchbase::RAM,
    couchbase::DISK,
    couchbase::REBALANCE,
];

const ON_NODE: &[Field] = &[
    gauge("/interestingStats/cmd_get", "couchbase_{node}_cmd_get", "1/s"),
    gauge("/interestingStats/couch_docs_data_size", "couchbase_{node}_couch_docs_data_size", "bytes"),
    gauge("/interestingStats/curr_items", "couchbase_{node}_curr_items", "documents"),
    gauge("/interestingStats/curr_items_tot", "couchbase_{node}_curr_items_tot", "documents"),
    gauge("/interestingStats/ep_bg_fetched", "couchbase_{node}_ep_bg_fetched", "1/s"),
    gauge("/interestingStats/get_hits", "couchbase_{node}_get_hits", "1/s"),
    gauge("/interestingStats/mem_used", "couchbase_{node}_mem_used", "bytes"),
    gauge("/interestingStats/ops", "couchbase_{node}_ops", "1/s"),
    gauge("/interestingStats/vb_replica_curr_items", "couchbase_{node}_vb_replica_curr_items", "documents"),
];

/// Not reported for buckets without disk storage.
const HITS: &[Field] = &[gauge("/basicStats/hitRatio", "couchbase_clusterwide_hitratio", "%")];
