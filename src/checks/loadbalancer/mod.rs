//! Checks of load balancers and proxies, configured in `conf/loadbalancer.ini`.

pub mod aralez;
pub mod envoy;
pub mod haproxy;
pub mod traefik;

use crate::check::Spec;

const CONF: &str = "loadbalancer.ini";

pub const SPECS: &[&Spec] = &[&aralez::SPEC, &envoy::SPEC, &haproxy::SPEC, &traefik::SPEC];
