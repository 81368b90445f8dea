//! envoy: listeners, clusters and server of Envoy, from the Prometheus page of its admin endpoint (Envoy documentation,
//! "Statistics" of the HTTP connection manager, listeners, TCP proxy and clusters).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::samples::samples;
use crate::check::{Runs, Spec, page};
use crate::fetch::http;
use crate::model::parse::prometheus::Sample;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge};

pub static SPEC: Spec = Spec {
    name: "check_envoy",
    purpose: "connections and requests of Envoy's listeners and clusters",
    check_type: "envoy",
    conf: CONF,
    section: "Envoy",
    keys: &[&["metrics"], http::KEYS],
    runs: Runs::Own,
    fields: &[FIELDS],
    charts: CHARTS,
    build: |section| {
        page(section, &["metrics"], |page, out| {
            samples(
                page,
                "Envoy",
                |name| field(name).is_some(),
                out,
                |sample, out| {
                    let Sample { name, labels, value, .. } = sample;
                    let is_admins = labels.iter().any(|(_, text)| text == "admin");
                    if let Some(field) = field(&name).filter(|_| !is_admins) {
                        out.put_as(&name, field, value, &Tags::of(labels.iter()));
                    }
                },
            )
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["envoy_{scope}_downstream_rq_total"]),
    Chart::new("Requests under way").of(&["envoy_{scope}_downstream_rq_active"]),
    Chart::new("Answers by class").of(&["envoy_{scope}_downstream_rq_xx"]),
    Chart::new("Time of requests").of(&["envoy_{scope}_downstream_rq_time"]),
    Chart::new("Requests that failed").of(&[
        "envoy_{scope}_downstream_rq_timeout",
        "envoy_{scope}_downstream_rq_rx_reset",
        "envoy_{scope}_downstream_rq_tx_reset",
        "envoy_{scope}_downstream_rq_too_large",
        "envoy_{scope}_downstream_cx_protocol_error",
    ]),
    Chart::new("Connections").of(&["envoy_{scope}_downstream_cx_active"]),
    Chart::new("New connections").of(&["envoy_{scope}_downstream_cx_total"]),
    Chart::new("Traffic")
        .mirror(&["envoy_{scope}_downstream_cx_rx_bytes_total"], &["envoy_{scope}_downstream_cx_tx_bytes_total"]),
    Chart::new("Waiting in buffers")
        .mirror(&["envoy_{scope}_downstream_cx_rx_bytes_buffered"], &["envoy_{scope}_downstream_cx_tx_bytes_buffered"]),
    Chart::new("Connections by kind").of(&[
        "envoy_{scope}_downstream_cx_http1_active",
        "envoy_{scope}_downstream_cx_http2_active",
        "envoy_{scope}_downstream_cx_http3_active",
        "envoy_{scope}_downstream_cx_ssl_active",
        "envoy_{scope}_downstream_cx_websocket_active",
        "envoy_{scope}_downstream_cx_upgrades_active",
    ]),
    Chart::new("New connections by kind").of(&[
        "envoy_{scope}_downstream_cx_http1_total",
        "envoy_{scope}_downstream_cx_http2_total",
        "envoy_{scope}_downstream_cx_http3_total",
        "envoy_{scope}_downstream_cx_ssl_total",
        "envoy_{scope}_downstream_cx_websocket_total",
        "envoy_{scope}_downstream_cx_upgrades_total",
    ]),
    Chart::new("Connections ended").of(&[
        "envoy_{scope}_downstream_cx_destroy",
        "envoy_{scope}_downstream_cx_destroy_local",
        "envoy_{scope}_downstream_cx_destroy_remote",
        "envoy_{scope}_downstream_cx_drain_close",
        "envoy_{scope}_downstream_cx_idle_timeout",
    ]),
    Chart::new("Connections ended amid a request").of(&[
        "envoy_{scope}_downstream_cx_destroy_active_rq",
        "envoy_{scope}_downstream_cx_destroy_local_active_rq",
        "envoy_{scope}_downstream_cx_destroy_remote_active_rq",
    ]),
    Chart::new("Requests by version").of(&[
        "envoy_{scope}_downstream_rq_http1_total",
        "envoy_{scope}_downstream_rq_http2_total",
        "envoy_{scope}_downstream_rq_http3_total",
    ]),
    Chart::new("Odd requests and answers").of(&[
        "envoy_{scope}_downstream_rq_response_before_rq_complete",
        "envoy_{scope}_downstream_rq_non_relative_path",
        "envoy_{scope}_downstream_rq_ws_on_non_ws_route",
        "envoy_{scope}_rs_too_large",
    ]),
    Chart::new("Reading stopped and gone on").of(&[
        "envoy_{scope}_downstream_flow_control_paused_reading_total",
        "envoy_{scope}_downstream_flow_control_resumed_reading_total",
    ]),
    Chart::new("Life of connections").of(&["envoy_{scope}_downstream_cx_length_ms"]),
    Chart::new("Clusters: answers by class").of(&["envoy_cluster_upstream_rq_xx"]),
    Chart::new("Clusters: healthy hosts").of(&["envoy_cluster_membership_healthy"]).each("envoy_cluster_name"),
    Chart::new("Clusters: hosts").of(&["envoy_cluster_membership_total"]).each("envoy_cluster_name"),
    Chart::new("Clusters: connections").of(&["envoy_cluster_upstream_cx_active"]).each("envoy_cluster_name"),
    Chart::new("Clusters: refused because too many wait")
        .of(&["envoy_cluster_upstream_rq_pending_overflow"])
        .each("envoy_cluster_name"),
    Chart::new("Memory").of(&["envoy_server_memory_allocated", "envoy_server_memory_heap_size"]),
    Chart::new("Serving").of(&["envoy_server_live"]).full(1.0),
    Chart::new("Time since the start").of(&["envoy_server_uptime"]),
];

/// Prefix of the admin endpoint's own metrics.
const OF_ADMIN: &str = "envoy_listener_admin_";
/// Start of the part of a name that is the same in every scope.
const BEHIND_SCOPE: &[&str] = &["downstream_", "rs_too_large"];

fn field(name: &str) -> Option<&'static Field> {
    let scoped = name.strip_prefix("envoy_").filter(|_| !name.starts_with(OF_ADMIN))?;
    let begin = BEHIND_SCOPE.iter().find_map(|word| scoped.rfind(word)).unwrap_or_default();
    let own = scoped.get(begin..)?;
    FIELDS.iter().find(|field| field.cell == own)
}

const FIELDS: &[Field] = &[
    counter("downstream_cx_total", "envoy_{scope}_downstream_cx_total", "connections").float(),
    counter("downstream_cx_ssl_total", "envoy_{scope}_downstream_cx_ssl_total", "connections").float(),
    counter("downstream_cx_http1_total", "envoy_{scope}_downstream_cx_http1_total", "connections").float(),
    counter("downstream_cx_websocket_total", "envoy_{scope}_downstream_cx_websocket_total", "connections").float(),
    counter("downstream_cx_http2_total", "envoy_{scope}_downstream_cx_http2_total", "connections").float(),
    counter("downstream_cx_http3_total", "envoy_{scope}_downstream_cx_http3_total", "connections").float(),
    counter("downstream_cx_upgrades_total", "envoy_{scope}_downstream_cx_upgrades_total", "connections").float(),
    counter(
        "downstream_cx_destroy_remote_active_rq",
        "envoy_{scope}_downstream_cx_destroy_remote_active_rq",
        "connections",
    )
    .float(),
    counter(
        "downstream_cx_destroy_local_active_rq",
        "envoy_{scope}_downstream_cx_destroy_local_active_rq",
        "connections",
    )
    .float(),
    counter("downstream_cx_destroy_active_rq", "envoy_{scope}_downstream_cx_destroy_active_rq", "connections").float(),
    counter("downstream_cx_destroy_remote", "envoy_{scope}_downstream_cx_destroy_remote", "connections").float(),
    counter("downstream_cx_destroy_local", "envoy_{scope}_downstream_cx_destroy_local", "connections").float(),
    counter("downstream_cx_destroy", "envoy_{scope}_downstream_cx_destroy", "connections").float(),
    gauge("downstream_cx_active", "envoy_{scope}_downstream_cx_active", "connections"),
    gauge("downstream_cx_ssl_active", "envoy_{scope}_downstream_cx_ssl_active", "connections"),
    gauge("downstream_cx_http1_active", "envoy_{scope}_downstream_cx_http1_active", "connections"),
    gauge("downstream_cx_websocket_active", "envoy_{scope}_downstream_cx_websocket_active", "connections"),
    gauge("downstream_cx_http2_active", "envoy_{scope}_downstream_cx_http2_active", "connections"),
    gauge("downstream_cx_http3_active", "envoy_{scope}_downstream_cx_http3_active", "connections"),
    gauge("downstream_cx_upgrades_active", "envoy_{scope}_downstream_cx_upgrades_active", "connections"),
    counter("downstream_cx_protocol_error", "envoy_{scope}_downstream_cx_protocol_error", "connections").float(),
    counter("downstream_cx_length_ms_sum", "envoy_{scope}_downstream_cx_length_ms_sum", "ms").float(),
    counter("downstream_cx_length_ms_count", "envoy_{scope}_downstream_cx_length_ms_count", "connections").float(),
    gauge("downstream_cx_length_ms", "envoy_{scope}_downstream_cx_length_ms", "ms"),
    counter("downstream_cx_rx_bytes_total", "envoy_{scope}_downstream_cx_rx_bytes_total", "bytes").float(),
    gauge("downstream_cx_rx_bytes_buffered", "envoy_{scope}_downstream_cx_rx_bytes_buffered", "bytes"),
    counter("downstream_cx_tx_bytes_total", "envoy_{scope}_downstream_cx_tx_bytes_total", "bytes").float(),
    gauge("downstream_cx_tx_bytes_buffered", "envoy_{scope}_downstream_cx_tx_bytes_buffered", "bytes"),
    counter("downstream_cx_drain_close", "envoy_{scope}_downstream_cx_drain_close", "connections").float(),
    counter("downstream_cx_idle_timeout", "envoy_{scope}_downstream_cx_idle_timeout", "connections").float(),
    counter(
        "downstream_flow_control_paused_reading_total",
        "envoy_{scope}_downstream_flow_control_paused_reading_total",
        "times",
    )
    .float(),
    counter(
        "downstream_flow_control_resumed_reading_total",
        "envoy_{scope}_downstream_flow_control_resumed_reading_total",
        "times",
    )
    .float(),
    counter("downstream_rq_total", "envoy_{scope}_downstream_rq_total", "requests").float(),
    counter("downstream_rq_http1_total", "envoy_{scope}_downstream_rq_http1_total", "requests").float(),
    counter("downstream_rq_http2_total", "envoy_{scope}_downstream_rq_http2_total", "requests").float(),
    counter("downstream_rq_http3_total", "envoy_{scope}_downstream_rq_http3_total", "requests").float(),
    gauge("downstream_rq_active", "envoy_{scope}_downstream_rq_active", "requests"),
    counter(
        "downstream_rq_response_before_rq_complete",
        "envoy_{scope}_downstream_rq_response_before_rq_complete",
        "answers",
    )
    .float(),
    counter("downstream_rq_rx_reset", "envoy_{scope}_downstream_rq_rx_reset", "requests").float(),
    counter("downstream_rq_tx_reset", "envoy_{scope}_downstream_rq_tx_reset", "requests").float(),
    counter("downstream_rq_non_relative_path", "envoy_{scope}_downstream_rq_non_relative_path", "requests").float(),
    counter("downstream_rq_too_large", "envoy_{scope}_downstream_rq_too_large", "requests").float(),
    counter("downstream_rq_xx", "envoy_{scope}_downstream_rq_xx", "answers").float(),
    counter("downstream_rq_ws_on_non_ws_route", "envoy_{scope}_downstream_rq_ws_on_non_ws_route", "requests").float(),
    counter("downstream_rq_timeout", "envoy_{scope}_downstream_rq_timeout", "requests").float(),
    counter("downstream_rq_time_sum", "envoy_{scope}_downstream_rq_time_sum", "ms").float(),
    counter("downstream_rq_time_count", "envoy_{scope}_downstream_rq_time_count", "requests").float(),
    gauge("downstream_rq_time", "envoy_{scope}_downstream_rq_time", "ms"),
    counter("rs_too_large", "envoy_{scope}_rs_too_large", "answers").float(),
    counter("cluster_upstream_rq_xx", "envoy_cluster_upstream_rq_xx", "answers").float(),
    counter("cluster_upstream_rq_pending_overflow", "envoy_cluster_upstream_rq_pending_overflow", "requests").float(),
    counter("cluster_upstream_rq_time_sum", "envoy_cluster_upstream_rq_time_sum", "ms").float(),
    counter("cluster_upstream_rq_time_count", "envoy_cluster_upstream_rq_time_count", "requests").float(),
    gauge("cluster_upstream_cx_active", "envoy_cluster_upstream_cx_active", "connections"),
    gauge("cluster_membership_healthy", "envoy_cluster_membership_healthy", "hosts"),
    gauge("cluster_membership_total", "envoy_cluster_membership_total", "hosts"),
    gauge("server_live", "envoy_server_live", "0 or 1"),
    gauge("server_uptime", "envoy_server_uptime", "s"),
    gauge("server_memory_allocated", "envoy_server_memory_allocated", "bytes"),
    gauge("server_memory_heap_size", "envoy_server_memory_heap_size", "bytes"),
];
