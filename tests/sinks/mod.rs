//! Tests of sinks.
