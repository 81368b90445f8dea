//! Local: an embedded SQLite store, time-ordered, with rollups per minute.
