//! Checks of Consul, Nomad and Vault, configured in `conf/hashicorp.ini`.

pub mod hashicorp_consul;
pub mod hashicorp_nomad;
pub mod hashicorp_vault;
mod server;
mod telemetry;

use crate::check::Spec;

const CONF: &str = "hashicorp.ini";

pub const SPECS: &[&Spec] = &[&hashicorp_consul::SPEC, &hashicorp_nomad::SPEC, &hashicorp_vault::SPEC];
