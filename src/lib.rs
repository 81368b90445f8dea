//! PuyPuy: a metrics daemon for one host.
//!
//! ```text
//! config ─► check table ─► (fork) ─► scheduler ──tick──► workers (checks): fetch ► parse ► pick ► points ─┐
//!                                    batch ◄─ all done, or deadline ◄──────────────────────────────────────┘
//!                                      └► delivery thread: normalise ► encode ► send ► done | spool | rejected
//! ```
//!
//! Nothing flows backwards: collection never waits for the network, delivery never looks at a check.
//! `docs/architecture.md` is the map with its invariants; `tests/tidy.rs` keeps both true.

pub mod check;
pub mod checks;
pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod delivery;
pub mod error;
pub mod fetch;
pub mod folder;
pub mod links;
pub mod logging;
pub mod net;
pub mod parse;
pub mod plugins;
pub mod point;
pub mod program;
pub mod rates;
pub mod scheduler;
pub mod scripts;
pub mod serve;
#[cfg(feature = "local")]
pub mod show;
pub mod sink;
pub mod spool_commands;
mod sys;
pub mod table;
pub mod thresholds;
pub mod web;
