//! A loopback server that answers what a script says.
