//! riak: operations, latencies and resources of a Riak KV node, from its page `/stats` (Riak documentation, "HTTP
//! Status" and "Statistics & Monitoring"; the same from 1.4 to 3.2). Lists and texts on the page are ignored.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Runs, Spec, page};
use crate::fetch::http;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_riak",
    purpose: "requests, their times and memory of a node of Riak KV",
    check_type: "riak",
    conf: CONF,
    section: "Riak",
    keys: &[&["stats"], http::KEYS],
    runs: Runs::Own,
    fields: &[NODE, LATELY, TIMES, TOTALS],
    charts: CHARTS,
    build: |section| {
        page(section, &["stats"], |page, out| {
            let stats = json::document(&page.text, "the statistics of Riak")?;
            let is_riak = [NODE, LATELY].iter().any(|fields| json::numbers(&stats, fields).has_any(fields));
            page.must(is_riak, "the statistics of Riak")?;
            for fields in [NODE, LATELY, TIMES, TOTALS] {
                out.pick_present(&json::numbers(&stats, fields), fields, &Tags::default());
            }
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests to the node").of(&["riak_node_gets_rate", "riak_node_puts_rate"]),
    Chart::new("Requests to its partitions").of(&["riak_vnode_gets_rate", "riak_vnode_puts_rate"]),
    Chart::new("Time of reads").of(&[
        "riak_node_get_fsm_time_median",
        "riak_node_get_fsm_time_mean",
        "riak_node_get_fsm_time_95",
        "riak_node_get_fsm_time_99",
        "riak_node_get_fsm_time_100",
    ]),
    Chart::new("Time of writes").of(&[
        "riak_node_put_fsm_time_median",
        "riak_node_put_fsm_time_mean",
        "riak_node_put_fsm_time_95",
        "riak_node_put_fsm_time_99",
        "riak_node_put_fsm_time_100",
    ]),
    Chart::new("Siblings of an object").of(&[
        "riak_node_get_fsm_siblings_mean",
        "riak_node_get_fsm_siblings_99",
        "riak_node_get_fsm_siblings_100",
    ]),
    Chart::new("Read repairs").of(&["riak_read_repairs_rate"]),
    Chart::new("In the last minute, a second").of(&[
        "riak_node_gets",
        "riak_node_puts",
        "riak_vnode_gets",
        "riak_vnode_puts",
    ]),
    Chart::new("In the last minute").of(&["riak_read_repairs", "riak_vnode_set_update"]),
    Chart::new("Memory of Erlang").of(&[
        "riak_memory_total",
        "riak_memory_processes",
        "riak_memory_processes_used",
        "riak_memory_ets",
        "riak_mem_allocated",
    ]),
    Chart::new("Processes of Erlang").of(&["riak_sys_process_count"]),
    Chart::new("Clients over protocol buffers").of(&["riak_pbc_active"]),
];

/// Converts a number per minute to a number per second.
const A_SECOND: f64 = 1.0 / 60.0;

const NODE: &[Field] = &[
    gauge("/sys_process_count", "riak_sys_process_count", "processes").int(),
    gauge("/memory_processes", "riak_memory_processes", "bytes").int(),
    gauge("/memory_processes_used", "riak_memory_processes_used", "bytes").int(),
    gauge("/memory_total", "riak_memory_total", "bytes").int(),
    gauge("/memory_ets", "riak_memory_ets", "bytes").int(),
    gauge("/mem_allocated", "riak_mem_allocated", "bytes").int(),
    gauge("/pbc_active", "riak_pbc_active", "connections").int(),
];

/// Numbers for the last minute.
const LATELY: &[Field] = &[
    gauge("/node_gets", "riak_node_gets", "1/s").scale(A_SECOND),
    gauge("/node_puts", "riak_node_puts", "1/s").scale(A_SECOND),
    gauge("/vnode_gets", "riak_vnode_gets", "1/s").scale(A_SECOND),
    gauge("/vnode_puts", "riak_vnode_puts", "1/s").scale(A_SECOND),
    gauge("/read_repairs", "riak_read_repairs", "repairs").int(),
    gauge("/vnode_set_update", "riak_vnode_set_update", "updates").int(),
];

const TIMES: &[Field] = &[
    gauge("/node_get_fsm_time_mean", "riak_node_get_fsm_time_mean", "us"),
    gauge("/node_get_fsm_time_median", "riak_node_get_fsm_time_median", "us"),
    gauge("/node_get_fsm_time_95", "riak_node_get_fsm_time_95", "us"),
    gauge("/node_get_fsm_time_99", "riak_node_get_fsm_time_99", "us"),
    gauge("/node_get_fsm_time_100", "riak_node_get_fsm_time_100", "us"),
    gauge("/node_put_fsm_time_mean", "riak_node_put_fsm_time_mean", "us"),
    gauge("/node_put_fsm_time_median", "riak_node_put_fsm_time_median", "us"),
    gauge("/node_put_fsm_time_95", "riak_node_put_fsm_time_95", "us"),
    gauge("/node_put_fsm_time_99", "riak_node_put_fsm_time_99", "us"),
    gauge("/node_put_fsm_time_100", "riak_node_put_fsm_time_100", "us"),
    gauge("/node_get_fsm_siblings_mean", "riak_node_get_fsm_siblings_mean", "siblings"),
    gauge("/node_get_fsm_siblings_99", "riak_node_get_fsm_siblings_99", "siblings"),
    gauge("/node_get_fsm_siblings_100", "riak_node_get_fsm_siblings_100", "siblings"),
];

const TOTALS: &[Field] = &[
    rate("/node_gets_total", "riak_node_gets_rate", "1/s"),
    rate("/node_puts_total", "riak_node_puts_rate", "1/s"),
    rate("/vnode_gets_total", "riak_vnode_gets_rate", "1/s"),
    rate("/vnode_puts_total", "riak_vnode_puts_rate", "1/s"),
    rate("/read_repairs_total", "riak_read_repairs_rate", "1/s"),
];
