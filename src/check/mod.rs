//! The contract of a check: what it declares ([`Spec`]), what it does ([`Check`]), what it may touch ([`Context`])
//! and where its numbers go ([`Out`]).

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
pub use out::{Fault, Faults, Measurement, OfDevice, Out, ServerRun};
pub use pace::Pace;
pub use page::{long_page, page, pages};
pub use spec::{COMMON_KEYS, CommonSettings, DEFAULT_MAX_SERIES, DEVICES, Runs, Spec};

use crate::model::error::Result;

/// A check in its worker. `&mut self` is its own memory from tick to tick.
pub trait Check: Send {
    /// Reads its source and tells what it saw. `Err` is for the whole run; a bad row or device is an [`Out::fault`].
    /// What was told before an error is kept.
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()>;
}
