//! Envoy: what its listeners, clusters and the server itself count, from the Prometheus page of its admin endpoint (Envoy
//! documentation, "Statistics" of the HTTP connection manager, listeners, TCP proxy and clusters).

use super::CONF;
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
                        out.put_as(&name, field, value, &Tags::from_iter(labels));
                    }
                },
            )
        })
    },
};

/// Numbers of the endpoint that is asked for them.
const OF_ADMIN: &str = "envoy_listener_admin_";
/// Where the part of a name begins that is the same in every scope.
const BEHIND_SCOPE: &[&str] = &["downstream_", "rs_too_large"];

fn field(name: &str) -> Option<&'static Field> {
    let scoped = name.strip_prefix("envoy_").filter(|_| !name.starts_with(OF_ADMIN))?;
    let begin = BEHIND_SCOPE.iter().find_map(|word| scoped.rfind(word)).unwrap_or_default();
    let own = scoped.get(begin..)?;
    FIELDS.iter().find(|field| field.cell == own)
}

const FIELDS: &[Field] = &[
    counter("downstream_cx_total", "envoy_{scope}_downstream_cx_total").float(),
    counter("downstream_cx_ssl_total", "envoy_{scope}_downstream_cx_ssl_total").float(),
    counter("downstream_cx_http1_total", "envoy_{scope}_downstream_cx_http1_total").float(),
    counter("downstream_cx_websocket_total", "envoy_{scope}_downstream_cx_websocket_total").float(),
    counter("downstream_cx_http2_total", "envoy_{scope}_downstream_cx_http2_total").float(),
    counter("downstream_cx_http3_total", "envoy_{scope}_downstream_cx_http3_total").float(),
    counter("downstream_cx_upgrades_total", "envoy_{scope}_downstream_cx_upgrades_total").float(),
    counter("downstream_cx_destroy_remote_active_rq", "envoy_{scope}_downstream_cx_destroy_remote_active_rq").float(),
    counter("downstream_cx_destroy_local_active_rq", "envoy_{scope}_downstream_cx_destroy_local_active_rq").float(),
    counter("downstream_cx_destroy_active_rq", "envoy_{scope}_downstream_cx_destroy_active_rq").float(),
    counter("downstream_cx_destroy_remote", "envoy_{scope}_downstream_cx_destroy_remote").float(),
    counter("downstream_cx_destroy_local", "envoy_{scope}_downstream_cx_destroy_local").float(),
    counter("downstream_cx_destroy", "envoy_{scope}_downstream_cx_destroy").float(),
    gauge("downstream_cx_active", "envoy_{scope}_downstream_cx_active"),
    gauge("downstream_cx_ssl_active", "envoy_{scope}_downstream_cx_ssl_active"),
    gauge("downstream_cx_http1_active", "envoy_{scope}_downstream_cx_http1_active"),
    gauge("downstream_cx_websocket_active", "envoy_{scope}_downstream_cx_websocket_active"),
    gauge("downstream_cx_http2_active", "envoy_{scope}_downstream_cx_http2_active"),
    gauge("downstream_cx_http3_active", "envoy_{scope}_downstream_cx_http3_active"),
    gauge("downstream_cx_upgrades_active", "envoy_{scope}_downstream_cx_upgrades_active"),
    counter("downstream_cx_protocol_error", "envoy_{scope}_downstream_cx_protocol_error").float(),
    counter("downstream_cx_length_ms_sum", "envoy_{scope}_downstream_cx_length_ms_sum").float(),
    counter("downstream_cx_length_ms_count", "envoy_{scope}_downstream_cx_length_ms_count").float(),
    gauge("downstream_cx_length_ms", "envoy_{scope}_downstream_cx_length_ms"),
    counter("downstream_cx_rx_bytes_total", "envoy_{scope}_downstream_cx_rx_bytes_total").float(),
    gauge("downstream_cx_rx_bytes_buffered", "envoy_{scope}_downstream_cx_rx_bytes_buffered"),
    counter("downstream_cx_tx_bytes_total", "envoy_{scope}_downstream_cx_tx_bytes_total").float(),
    gauge("downstream_cx_tx_bytes_buffered", "envoy_{scope}_downstream_cx_tx_bytes_buffered"),
    counter("downstream_cx_drain_close", "envoy_{scope}_downstream_cx_drain_close").float(),
    counter("downstream_cx_idle_timeout", "envoy_{scope}_downstream_cx_idle_timeout").float(),
    counter(
        "downstream_flow_control_paused_reading_total",
        "envoy_{scope}_downstream_flow_control_paused_reading_total",
    )
    .float(),
    counter(
        "downstream_flow_control_resumed_reading_total",
        "envoy_{scope}_downstream_flow_control_resumed_reading_total",
    )
    .float(),
    counter("downstream_rq_total", "envoy_{scope}_downstream_rq_total").float(),
    counter("downstream_rq_http1_total", "envoy_{scope}_downstream_rq_http1_total").float(),
    counter("downstream_rq_http2_total", "envoy_{scope}_downstream_rq_http2_total").float(),
    counter("downstream_rq_http3_total", "envoy_{scope}_downstream_rq_http3_total").float(),
    gauge("downstream_rq_active", "envoy_{scope}_downstream_rq_active"),
    counter("downstream_rq_response_before_rq_complete", "envoy_{scope}_downstream_rq_response_before_rq_complete")
        .float(),
    counter("downstream_rq_rx_reset", "envoy_{scope}_downstream_rq_rx_reset").float(),
    counter("downstream_rq_tx_reset", "envoy_{scope}_downstream_rq_tx_reset").float(),
    counter("downstream_rq_non_relative_path", "envoy_{scope}_downstream_rq_non_relative_path").float(),
    counter("downstream_rq_too_large", "envoy_{scope}_downstream_rq_too_large").float(),
    counter("downstream_rq_xx", "envoy_{scope}_downstream_rq_xx").float(),
    counter("downstream_rq_ws_on_non_ws_route", "envoy_{scope}_downstream_rq_ws_on_non_ws_route").float(),
    counter("downstream_rq_timeout", "envoy_{scope}_downstream_rq_timeout").float(),
    counter("downstream_rq_time_sum", "envoy_{scope}_downstream_rq_time_sum").float(),
    counter("downstream_rq_time_count", "envoy_{scope}_downstream_rq_time_count").float(),
    gauge("downstream_rq_time", "envoy_{scope}_downstream_rq_time"),
    counter("rs_too_large", "envoy_{scope}_rs_too_large").float(),
    counter("cluster_upstream_rq_xx", "envoy_cluster_upstream_rq_xx").float(),
    counter("cluster_upstream_rq_pending_overflow", "envoy_cluster_upstream_rq_pending_overflow").float(),
    counter("cluster_upstream_rq_time_sum", "envoy_cluster_upstream_rq_time_sum").float(),
    counter("cluster_upstream_rq_time_count", "envoy_cluster_upstream_rq_time_count").float(),
    gauge("cluster_upstream_cx_active", "envoy_cluster_upstream_cx_active"),
    gauge("cluster_membership_healthy", "envoy_cluster_membership_healthy"),
    gauge("cluster_membership_total", "envoy_cluster_membership_total"),
    gauge("server_live", "envoy_server_live"),
    gauge("server_uptime", "envoy_server_uptime"),
    gauge("server_memory_allocated", "envoy_server_memory_allocated"),
    gauge("server_memory_heap_size", "envoy_server_memory_heap_size"),
];
