//! Scheduler
