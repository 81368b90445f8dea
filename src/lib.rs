//! PuyPuy: a metrics daemon for one host.
//!
//! ```text
//! config ─► check table ─► (fork) ─► scheduler ──tick──► workers (checks): fetch ► parse ► pick ► points ─┐
//!                                    batch ◄─ all done, or the next tick ◄─────────────────────────────────┘
//!                                      └► delivery thread: normalise ► encode ► send ► done | spool | rejected
//! ```
//!
//! Nothing flows backwards: collection never waits for the network, delivery never looks at a check.
//! `docs/architecture.md` describes the parts and their invariants; `tests/tidy` checks what a program can check.

pub mod check;
pub mod checks;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod delivery;
pub mod fetch;
pub mod model;
pub mod net;
pub mod scheduler;
pub mod scripts;
pub mod sink;
pub mod state;
pub mod status;
pub mod sys;
pub mod web;
