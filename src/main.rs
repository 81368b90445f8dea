//! The `puypuy` program: arguments in, exit code out.

use puypuy::cli;
use puypuy::fetch::program::guard;
use puypuy::fetch::program::order::Order;
use std::env::args_os;
use std::process::ExitCode;

fn main() -> ExitCode {
    // First: the command line must not see the words of other programs that are in an order.
    match Order::read(args_os()) {
        Some(order) => guard::obey(order),
        None => cli::run(args_os()),
    }
}
