//! The line formats of /proc and /sys files, each from the kernel's own documentation.
