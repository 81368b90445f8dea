//! The parts of the tests that the fuzzer uses for the recorded responses of servers.
#![allow(dead_code)] // The tests use more of it.

#[path = "../../checks/machine.rs"]
pub mod machine;
#[path = "../../checks/mutations.rs"]
pub mod mutations;
#[path = "../../checks/replay.rs"]
pub mod replay;
#[path = "../../support"]
pub mod support {
    pub mod dice;
    pub mod mongo_server;
    pub mod mysql_server;
    pub mod server;
}

/// Every check that has recorded responses, with the folders of its cases.
pub fn cases() -> Vec<(&'static puypuy::check::Spec, Vec<std::path::PathBuf>)> {
    mutations::cases(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../checks"))
}
