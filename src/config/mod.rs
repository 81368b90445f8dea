//! What the user wrote: `config.ini` and `conf/*.ini`, from text to typed settings, every mistake with file and line.
//!
//! Nothing here opens a connection or starts anything: reading a configuration can be done at any time, by anybody.

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
