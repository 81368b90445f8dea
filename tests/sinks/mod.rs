//! Tests of the sinks: golden bytes, and conversations with servers that misbehave on purpose.

mod support;
