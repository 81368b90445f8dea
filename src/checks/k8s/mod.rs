//! Checks of parts of Kubernetes, configured in `conf/k8s.ini`.

pub mod coredns;
pub mod etcd;
pub mod kube_state_metrics;

use crate::check::Spec;

const CONF: &str = "k8s.ini";

pub const SPECS: &[&Spec] = &[&coredns::SPEC, &etcd::SPEC, &kube_state_metrics::SPEC];
