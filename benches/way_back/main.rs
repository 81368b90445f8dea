//! Recovery after an outage: how soon the spool is empty, how late live data is meanwhile, and the load that a
//! returning fleet causes on its shared server.
//!
//! `cargo bench --bench way_back [-- one|fleet]`. `one` is a delivery with its threads and files against a loopback
//! server with slow responses. `fleet` is a hundred of them in simulated time. Fails if a goal is missed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod fleet;
mod one;
mod server;

use puypuy::model::point::{Identity, Kind, Point, Tags, Value};

fn identity() -> Identity {
    Identity { host: "db01.example.org".into(), cluster: "prod".into(), group: "web".into(), location: "eu".into() }
}

/// A point that is identified by its number.
fn point(series: usize, number: i64, time: i64) -> Point {
    Point {
        name: format!("metric_number_{}", series / 4).into(),
        value: Value::Int(number),
        kind: Kind::Gauge,
        time,
        check_type: "system".into(),
        tags: Tags::one("device", &format!("sd{}", series % 4)),
        host: None,
        reaction: 0,
    }
}

/// Prints whether a goal was met.
fn judged(is_met: bool) -> &'static str {
    if is_met { "ok" } else { "MISSED" }
}

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let mut is_met = true;
    if "one".contains(&wanted) {
        is_met &= one::run();
    }
    if "fleet".contains(&wanted) {
        is_met &= fleet::run();
    }
    if !is_met {
        println!("a goal was MISSED");
        std::process::exit(1);
    }
}
