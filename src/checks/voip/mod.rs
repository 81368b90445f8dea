//! Checks of telephony and WebRTC servers, configured in `conf/voip.ini`.

pub mod coturn;
pub mod janus;

use crate::check::Spec;

const CONF: &str = "voip.ini";

pub const SPECS: &[&Spec] = &[&coturn::SPEC, &janus::SPEC];
