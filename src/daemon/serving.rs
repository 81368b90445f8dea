//! The serving process: puts checks, assembly, delivery and sink together, and takes them apart at the end.

use crate::check::Spec;
use crate::check::chart::{Drawn, charts};
use crate::checks;
use crate::config::settings::Settings;
use crate::daemon::{Control, hostname};
use crate::delivery::disk::Folder;
use crate::delivery::queue::Queue;
use crate::delivery::rejected::Rejected;
use crate::delivery::spool::{Bounds, Spool};
use crate::delivery::{Delivery, Moment, cached};
use crate::fetch::program::Programs;
use crate::model::beat::Beat;
use crate::model::error::{Error, Result};
use crate::net::random;
use crate::scheduler::Scheduler;
use crate::scheduler::assembly::Assembly;
use crate::sink;
use crate::state::Board;
use crate::sys::clock::unix_now;
use crate::web::overview::About;
use crate::web::{self, Pages};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long the end waits for delivery to send or spool what is left.
const LAST_DELIVERY: Duration = Duration::from_millis(2500);
const STACK: usize = 1 << 20;

/// The charts of the checks of these names, each check once.
fn charts_of(names: &[&str]) -> Value {
    let specs = checks::all().filter(|spec| names.contains(&spec.name));
    charts(specs.map(|spec| spec as &Spec)).iter().map(Drawn::to_json).collect()
}

/// Runs until told to stop. Called after the fork: from here on there are threads.
///
/// # Errors
/// What keeps the daemon from starting: another daemon at the same spool, no thread to be had.
pub fn serve(settings: &Settings, control: Control) -> Result<()> {
    let sink = sink::build(settings)?;
    let web = settings.web.as_ref().map(web::configure).transpose()?;
    let Settings { home, file, own, tsdb, .. } = settings;
    let (identity, warning) = hostname::identity(own);
    warning.inspect(|warning| log::warn!("{warning}"));
    let folder = |name| Box::new(Folder::new(own.tmpdir.join(name)));
    let spool = Spool::open(folder("spool"), Bounds::configured(own, tsdb), Moment::now())?;
    let rejected = Rejected::new(folder("rejected"), sink.name(), tsdb.rejected_max_bytes);

    match cached::files(&own.tmpdir) {
        Ok((files, bytes)) if !files.is_empty() => log::warn!(
            "{} *.cached files of the Python original ({bytes} bytes) lie in {}; to deliver them: stop, `puypuy spool import`, start",
            files.len(),
            own.tmpdir.display()
        ),
        _ => {}
    }
    let seconds = own.check_period.as_secs_f64();
    log::info!("host {}, every {seconds} s, to {}", identity.host, sink.name());
    let (tells_errors, exposition) = (sink.takes_errors(), sink.exposition());
    let host = identity.host.to_string();
    let about = About { host, started: unix_now(), period: own.check_period, sink: sink.name() };
    let board = Arc::new(Board::default());
    let queue = Arc::new(Queue::default());
    let (period, begin) = (own.check_period, (Moment::now(), random()));
    let delivery = Delivery::new(sink, identity.clone(), Arc::clone(&queue), spool, rejected, period, begin);
    let programs = Programs::new(home.clone(), identity).with_python(own.python.clone(), file.clone());
    let programs = Arc::new(programs);
    let beat = Arc::new(Beat::new(Instant::now()));
    if let Some(web) = web {
        let pages = Pages {
            about,
            status: delivery.status(),
            board: Arc::clone(&board),
            charts: charts_of,
            unit: checks::unit,
            exposition,
            store: sink::local_file(tsdb, home).ok(),
            period,
            beat: Arc::clone(&beat),
            programs: Arc::clone(&programs),
        };
        match web::start(web, pages) {
            Err(error) if !settings.web_is_needed => log::warn!("{error}; it goes on without the page"),
            started => started.map(|_| ())?,
        }
    }
    let delivery = thread::Builder::new()
        .name("delivery".into())
        .stack_size(STACK)
        .spawn(move || deliver(delivery, control.fail))
        .map_err(|error| Error::daemon(format!("no thread for delivery: {error}")))?;
    let assembly = Arc::new(Assembly::new(Arc::clone(&queue)));
    let scheduler = Scheduler::start(
        Arc::clone(&programs),
        own.check_period,
        own.roots.clone(),
        assembly,
        checks::find,
        tells_errors,
        board,
    )?;
    (control.ready)(scheduler.taken())?;

    scheduler.run(control.stop, &beat);
    let deadline = Instant::now() + LAST_DELIVERY;
    queue.close(deadline);
    while !delivery.is_finished() && Instant::now() < deadline + Duration::from_millis(200) {
        thread::sleep(Duration::from_millis(5));
    }
    let killed = programs.sweep_to_the_end();
    if killed > 0 {
        log::warn!("{killed} processes had lost the guard of their script and were killed");
    }
    if !delivery.is_finished() {
        log::error!("delivery hangs and is left behind; its last batch may be lost");
        return Ok(());
    }
    delivery.join().unwrap_or_else(|_| Err(Error::daemon("delivery ended by a fault of its own: see the log")))
}

/// Delivery to its end. One that fails ends the daemon: collecting for nobody would look well and be lost.
fn deliver(delivery: Delivery, fail: fn()) -> Result<()> {
    let ended = catch_unwind(AssertUnwindSafe(|| delivery.run()));
    let ended = ended.unwrap_or_else(|_| {
        Err(Error::daemon("delivery panicked and the daemon ends; this is a bug, please report it with the log"))
    });
    if let Err(error) = &ended {
        log::error!("{error}");
        fail();
    }
    ended
}
