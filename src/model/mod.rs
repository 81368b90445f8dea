//! Plain data and pure functions. Nothing here reads a file, a clock or the network.

pub mod beat;
pub mod error;
pub mod fingerprint;
pub mod gzip;
pub mod histogram;
pub mod meter;
pub mod origin;
pub mod parse;
pub mod percent;
pub mod point;
pub mod rates;
pub mod roots;
pub mod table;
