//! Parsers from bytes or text to rows. Pure functions: no file, socket or clock, and no knowledge of points.

pub mod ber;
pub mod bson;
pub mod csv;
pub mod dict;
pub mod environ;
pub mod jmx_servlet;
pub mod jmxproxy;
pub mod jolokia;
pub mod json;
pub mod json_lenient;
pub mod json_stream;
pub mod line_protocol;
pub mod mounts;
pub mod nagios;
pub mod oid;
pub mod pairs;
pub mod procfs;
pub mod prometheus;
pub mod resp;
pub mod time;
pub mod varnishstat;
