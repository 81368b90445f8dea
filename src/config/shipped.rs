//! The configuration files as they are shipped, to tell which values the user has changed.

use super::ini::{self, Ini};

/// Paths below home, with their text.
pub const FILES: &[(&str, &str)] = &[
    ("config.ini", include_str!("../../config.ini")),
    ("conf/bigdata.ini", include_str!("../../conf/bigdata.ini")),
    ("conf/docker.ini", include_str!("../../conf/docker.ini")),
    ("conf/hadoop.ini", include_str!("../../conf/hadoop.ini")),
    ("conf/hashicorp.ini", include_str!("../../conf/hashicorp.ini")),
    ("conf/java.ini", include_str!("../../conf/java.ini")),
    ("conf/k8s.ini", include_str!("../../conf/k8s.ini")),
    ("conf/loadbalancer.ini", include_str!("../../conf/loadbalancer.ini")),
    ("conf/mesos.ini", include_str!("../../conf/mesos.ini")),
    ("conf/modules.ini", include_str!("../../conf/modules.ini")),
    ("conf/mq.ini", include_str!("../../conf/mq.ini")),
    ("conf/nagios.ini", include_str!("../../conf/nagios.ini")),
    ("conf/scripts.ini", include_str!("../../conf/scripts.ini")),
    ("conf/snmp.ini", include_str!("../../conf/snmp.ini")),
    ("conf/sql_cache.ini", include_str!("../../conf/sql_cache.ini")),
    ("conf/system.ini", include_str!("../../conf/system.ini")),
    ("conf/voip.ini", include_str!("../../conf/voip.ini")),
    ("conf/webservers.ini", include_str!("../../conf/webservers.ini")),
];

/// The text of that file; `None` if no such file is shipped.
pub fn text(file: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == file).map(|(_, text)| *text)
}

/// The same, parsed; empty if no such file is shipped.
pub fn read(file: &str) -> Ini {
    text(file).map(|text| ini::parse(text, file)).unwrap_or_default()
}
