//! The user's configuration, from text to typed settings; every mistake has its file and line.
//!
//! Nothing here opens a connection or starts anything, so that a configuration can be read at any time by any user.

pub mod edit;
pub mod ini;
pub mod masking;
pub mod mistakes;
pub mod number;
pub mod secret;
pub mod section;
pub mod settings;
pub mod shipped;
pub mod spelling;
