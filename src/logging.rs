//! The log file: one line a message, rotated by age, repeats folded.
