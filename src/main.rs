//! The `puypuy` program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    puypuy::cli::run(std::env::args_os())
}
