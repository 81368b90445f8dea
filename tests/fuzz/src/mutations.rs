//! Ten thousand answers of each check that differ from the recorded ones by chance: MUTATIONS says how many, SEED where chance
//! begins.

use libfuzzer_sys::fuzz_target;
use puypuy::fetch::program::guard;
use puypuy::fetch::program::order::Order;
use std::env::args_os;
use std::process::ExitCode;

// What counts the ways through the program must be there, though nobody asks it.
fuzz_target!(|_bytes: &[u8]| ());

fn main() -> ExitCode {
    // Checks that run programs run them below this one.
    if let Some(order) = Order::read(args_os()) {
        return guard::obey(order);
    }
    puypuy_fuzz::mutations::run(&puypuy_fuzz::cases(), 10_000);
    ExitCode::SUCCESS
}
