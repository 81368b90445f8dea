//! All integration tests in one program, because linking many programs is slow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod checks;
mod config;
mod daemon;
mod delivery;
mod front;
mod grafana;
mod local;
mod scheduler;
mod scripts;
mod sinks;
mod spool;
mod support;
mod tidy;
mod web;
