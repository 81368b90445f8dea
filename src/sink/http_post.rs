//! HTTP POST over one kept-alive connection: the only HTTP client of the sinks.
