//! No server response makes a check panic or report invalid points. The first byte selects the recorded server, the
//! second whether the rest is the raw bytes on the wire or the response to every request, and whether the check has a
//! login.

#![no_main]

use libfuzzer_sys::fuzz_target;
use puypuy::check::Spec;
use puypuy_fuzz::mutations::{LOGIN, Trial};
use puypuy_fuzz::replay::{Case, Replay, Trouble};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

const ANSWERS: u8 = 1;
const HAS_LOGIN: u8 = 2;
/// A short timeout.
const IMPATIENT: (&str, &str) = ("timeout_seconds", "0.1");

/// A server for each check, numbered by name as in tests/fuzz/run; none if it is a program.
static SERVERS: LazyLock<Vec<Option<(&'static Spec, Arc<Replay>)>>> = LazyLock::new(|| {
    let mut cases = puypuy_fuzz::cases();
    cases.sort_by_key(|(spec, _)| spec.name);
    let first = |(spec, versions): (_, Vec<PathBuf>)| {
        let case = versions.first().map(|folder| Case::read(folder)).filter(|case| !case.is_program())?;
        Some((spec, Arc::new(Replay::start(case))))
    };
    cases.into_iter().map(first).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let [which, how, said @ ..] = bytes else { return };
    let Some(Some((spec, server))) = SERVERS.get(usize::from(*which)) else { return };
    let login = LOGIN.iter().filter(|(key, _)| how & HAS_LOGIN != 0 && *key != IMPATIENT.0);
    let mut trial = Trial::at(spec, server, &login.chain([&IMPATIENT]).copied().collect::<Vec<_>>());
    let said = said.to_vec();
    let trouble = match how & ANSWERS != 0 {
        true => Trouble::Body(Arc::new(move |_: &[u8]| said.clone())),
        false => Trouble::Raw(said),
    };
    for tick in 1..=2 {
        trial.tick(tick, trouble.clone(), spec.name);
    }
});
