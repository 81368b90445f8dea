//! The contract of a check: what it declares ([`Spec`]), what it does ([`Check`]), which input it can read
//! ([`Context`]) and where it emits its points ([`Out`]).
//!
//! In names, *tell* means to emit: to hand a number, event or fault to [`Out`].

pub mod chart;
mod command;
mod context;
pub mod instances;
mod jolokia;
pub mod jvm;
mod out;
mod pace;
mod page;
pub mod samples;
mod series;
mod spec;
pub mod thresholds;

pub use command::Command;
pub use context::{Context, World};
pub use jolokia::{Beans, jolokia};
pub use out::{Counters, Fault, Faults, Measurement, OfDevice, Out, ServerRun};
pub use pace::Pace;
pub use page::{long_page, page, pages};
pub use spec::{COMMON_KEYS, CommonSettings, DEFAULT_MAX_SERIES, DEVICES, Runs, Spec};

use crate::model::error::Result;

/// A check as its worker holds it. `&mut self` is its memory from run to run.
pub trait Check: Send {
    /// Reads the source and emits points, events and faults to `out`. `Err` means that the whole run failed; a single
    /// unreadable row or device is an [`Out::fault`]. Points emitted before an error are kept.
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()>;
}
