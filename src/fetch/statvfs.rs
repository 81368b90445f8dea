//! Space of mounted file systems, asked so that a dead server can hold up one helper thread and nothing else.
