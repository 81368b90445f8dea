//! The registry: a list of all checks.
//!
//! A family is a folder named after its file in `conf/`. A check is one file in it, named like the check without
//! `check_`.

pub mod bigdata;
pub mod docker;
pub mod hadoop;
pub mod hashicorp;
pub mod java;
pub mod k8s;
pub mod loadbalancer;
pub mod mesos;
pub mod mq;
pub mod nagios;
pub mod signs;
#[cfg(feature = "snmp")]
pub mod snmp;
pub mod sql_cache;
pub mod system;
pub mod voip;
pub mod webservers;

use crate::check::Spec;
use crate::check::chart::drawn_unit;
use crate::model::table::Field;

/// The families; each is an alphabetical list of its checks.
const FAMILIES: &[&[&Spec]] = &[
    bigdata::SPECS,
    docker::SPECS,
    hadoop::SPECS,
    hashicorp::SPECS,
    java::SPECS,
    k8s::SPECS,
    loadbalancer::SPECS,
    mesos::SPECS,
    mq::SPECS,
    nagios::SPECS,
    #[cfg(feature = "snmp")]
    snmp::SPECS,
    sql_cache::SPECS,
    system::SPECS,
    voip::SPECS,
    webservers::SPECS,
];

/// All checks.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    FAMILIES.iter().flat_map(|family| family.iter().copied())
}

/// The check with this name, for example `check_cpustats`.
pub fn find(name: &str) -> Option<&'static Spec> {
    all().find(|spec| spec.name == name)
}

/// The unit in which a metric is drawn. `None` if no check emits the metric, or if the unit differs from series to
/// series.
pub fn unit(metric: &str) -> Option<&'static str> {
    Some(drawn_unit(field(metric, |_| true)?)).filter(|unit| !unit.is_empty())
}

/// The field that emits a metric: the one with this name, else the first whose pattern matches. Only fields accepted by
/// `is_meant` count.
pub fn field(metric: &str, is_meant: fn(&Field) -> bool) -> Option<&'static Field> {
    let fields = || all().flat_map(|spec| spec.fields.iter().copied().flatten()).filter(|field| is_meant(field));
    fields().find(|field| field.metric == metric).or_else(|| fields().find(|field| field.tells(metric)))
}
