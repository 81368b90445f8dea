//! Ten thousand random mutations of the recorded responses of each check: MUTATIONS sets the number, SEED the first
//! seed.

use libfuzzer_sys::fuzz_target;
use puypuy::fetch::program::guard;
use puypuy::fetch::program::order::Order;
use std::env::args_os;
use std::process::ExitCode;

// Keeps the coverage counters linked, although nothing here uses them.
fuzz_target!(|_bytes: &[u8]| ());

fn main() -> ExitCode {
    // Checks that run programs start them below this program.
    if let Some(order) = Order::read(args_os()) {
        return guard::obey(order);
    }
    puypuy_fuzz::mutations::run(&puypuy_fuzz::cases(), 10_000);
    ExitCode::SUCCESS
}
