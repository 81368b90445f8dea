//! Checks of web servers and of web pages, configured in `conf/webservers.ini`.

pub mod apache;
pub mod http_api;
pub mod jetty;
pub mod lighttpd;
pub mod nginx;
pub mod phpfpm;
pub mod tomcat;
pub mod varnish;

use crate::check::Spec;

const CONF: &str = "webservers.ini";

pub const SPECS: &[&Spec] = &[
    &apache::SPEC,
    &http_api::SPEC,
    &jetty::SPEC,
    &lighttpd::SPEC,
    &nginx::SPEC,
    &phpfpm::SPEC,
    &tomcat::SPEC,
    &varnish::SPEC,
];
