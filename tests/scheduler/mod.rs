//! The schedule: on time, never waiting for a check, and following the links.

mod clock;
mod enabled;
mod run;
mod simulation;
