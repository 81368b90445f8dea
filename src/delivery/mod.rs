//! Delivery.

pub mod normalise;
