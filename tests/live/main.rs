//! The daemon against real servers: installed where root may do so, started on loopback, watched through their own query
//! interface. `cargo test --test live`; what cannot be had is skipped aloud and counted in the last line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod influxdb;
mod server;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Name of the server, and what is done with it; `Err` says why it cannot be had.
type Case = (&'static str, fn() -> Result<(), String>);

const CASES: &[Case] = &[("InfluxDB 1.x: an outage of ten ticks", influxdb::outage)];

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, case) in CASES.iter().filter(|(name, _)| name.contains(&wanted)) {
        println!("live: {name} ...");
        match catch_unwind(AssertUnwindSafe(case)) {
            Ok(Ok(())) => {
                println!("live: {name}: ok");
                passed += 1;
            }
            Ok(Err(why)) => {
                println!("live: {name}: SKIPPED, {why}");
                skipped += 1;
            }
            Err(_) => {
                println!("live: {name}: FAILED");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    std::process::exit(i32::from(failed > 0));
}
