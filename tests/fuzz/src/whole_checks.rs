//! Whatever a server says, no check stumbles over it, and what is told of it may be told. The first byte says which of the
//! recorded servers is asked, the second whether the rest is what goes over the wire or the answer to every question, and
//! whether the check has a login.

#![no_main]

use libfuzzer_sys::fuzz_target;
use puypuy::check::Spec;
use puypuy_fuzz::mutations::{LOGIN, Trial};
use puypuy_fuzz::replay::{Case, Replay, Trouble};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

const ANSWERS: u8 = 1;
const HAS_LOGIN: u8 = 2;
/// Nobody waits for what never comes.
const IMPATIENT: (&str, &str) = ("timeout_seconds", "0.1");

/// A server of each check, by name as tests/fuzz/run numbers them; none where it is a program.
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
