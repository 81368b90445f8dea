//! The `puypuy` program: arguments in, exit code out.

use puypuy::cli;
use puypuy::fetch::program::guard;
use puypuy::fetch::program::order::Order;
use std::env::args_os;
use std::process::ExitCode;

fn main() -> ExitCode {
    // This comes first: an order contains the arguments of another program, which must not be parsed as ours.
    match Order::read(args_os()) {
        Some(order) => guard::obey(order),
        None => cli::run(args_os()),
    }
}
