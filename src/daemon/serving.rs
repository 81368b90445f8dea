//! The serving process: connects checks, assembly, delivery and sink, and stops them at the end.

use crate::checks;
use crate::config::settings::{Settings, SinkKind};
use crate::daemon::around::Around;
use crate::daemon::reload::Reloading;
use crate::daemon::word::Words;
use crate::daemon::{Control, answering, asking, hostname, self_metrics, service_manager};
use crate::delivery::disk::Folder;
use crate::delivery::queue::Queue;
use crate::delivery::rejected::Rejected;
use crate::delivery::spool::{Bounds, Spool};
use crate::delivery::{Delivery, Moment, cached};
use crate::fetch::program::Programs;
use crate::model::beat::Beat;
use crate::model::error::{Error, Result, plain};
use crate::net::random;
use crate::scheduler::Scheduler;
use crate::scheduler::assembly::Assembly;
use crate::scheduler::changes::Changes;
use crate::sink;
use crate::state::Board;
use crate::status::{About, Sources};
use crate::sys::clock;
use crate::sys::record::Record;
use crate::web;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long shutdown waits for delivery to send or spool what is left.
const LAST_DELIVERY: Duration = Duration::from_millis(2500);
const STACK: usize = 1 << 20;

/// Runs until it is told to stop. Call it after the fork: it starts threads. `warnings` about the settings are logged
/// already.
///
/// # Errors
/// What keeps the daemon from starting, such as another daemon with the same spool, or no thread.
pub fn serve(settings: &Settings, warnings: &[String], control: Control) -> Result<()> {
    let read = clock::both().1;
    let mut runs = settings.clone();
    runs.tsdb.section.look_at_certificates();
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
    let (tells_errors, exposition, name) = (sink.takes_errors(), sink.exposition(), sink.name());
    let board = Arc::new(Board::default());
    let queue = Arc::new(Queue::default());
    // The local store keeps health events itself.
    let changes = match tsdb.kind {
        SinkKind::Local => Changes::default(),
        _ => Changes::recorded(Record::at(asking::record_of(own)))
            .map_err(|error| Error::daemon(format!("no thread to record health events: {error}")))?,
    };
    let (period, begin) = (own.check_period, (Moment::now(), random()));
    let delivery = Delivery::new(sink, identity.clone(), Arc::clone(&queue), spool, rejected, period, begin);
    let programs = Programs::new(home.clone(), identity.clone()).with_python(own.python.clone(), file.clone());
    let programs = Arc::new(programs);
    let beat = Arc::new(Beat::new(Instant::now()));
    let around = Around {
        queue: Arc::clone(&queue),
        programs: Arc::clone(&programs),
        sources: Sources::new(
            About::of(settings, &identity, name, clock::unix_now()),
            delivery.status(),
            Arc::clone(&board),
            Arc::clone(&beat),
        ),
    };
    let sources = around.sources.clone();
    let web = match web.map(|web| web::start(web, around.pages(settings, exposition.clone()))) {
        Some(Err(error)) if !settings.web_is_needed => {
            log::warn!("{error}; it goes on without the page");
            None
        }
        started => started.transpose()?,
    };
    let socket = asking::socket_of(own);
    let every = own.check_period * super::LOOKS_EVERY;
    let words = Arc::new(Words::default());
    let answering = answering::start(socket.clone(), every, answers(sources.clone(), Arc::clone(&words)));
    if let Err(error) = &answering {
        let (place, why) = (socket.display(), plain(error));
        log::warn!(
            "{place}: cannot be made: {why}; it goes on, and `puypuy status` tells only that it runs, `reload` nothing"
        );
    }
    let delivery = thread::Builder::new()
        .name("delivery".into())
        .stack_size(STACK)
        .spawn(move || deliver(delivery, control.fail))
        .map_err(|error| Error::daemon(format!("no thread for delivery: {error}")))?;
    let assembly = Arc::new(Assembly::new(Arc::clone(&queue), changes));
    let mut scheduler = Scheduler::start(
        Arc::clone(&programs),
        own.check_period,
        own.roots.clone(),
        assembly,
        checks::find,
        tells_errors,
        board,
    )?;
    let told = sources.clone();
    scheduler.set_own_metrics(Box::new(move |tick| self_metrics::points(&told, tick)));
    let reloading = Reloading {
        settings: runs,
        identity,
        sink: name,
        exposition,
        tells_errors,
        web,
        around,
        reloads: scheduler.reloads(),
        scheduler: control.order,
        warnings: warnings.to_vec(),
        read,
        words,
        is_told: false,
    };
    thread::Builder::new()
        .name("reload".into())
        .stack_size(STACK)
        .spawn(move || reloading.run(control.reload))
        .map_err(|error| Error::daemon(format!("no thread for reloads: {error}")))?;
    (control.ready)(scheduler.taken())?;
    service_manager::watch(sources);

    scheduler.run(control.orders, &beat);
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

/// The answers to the words over the socket.
fn answers(sources: Sources, words: Arc<Words>) -> impl Fn(&str) -> Value + Send + 'static {
    move |word| match word {
        "status" => {
            let mut members = sources.overview(sources.now());
            let About { file, newer, .. } = &*sources.about();
            members.insert("config".into(), json!({ "file": file, "newer": newer }));
            members.into()
        }
        "reload" => words.heard(),
        _ => json!({ "error": format!("{word:?} is no word that is answered here; there are status and reload") }),
    }
}

/// Runs delivery to its end. If it fails, the daemon ends: otherwise it would go on collecting points that are lost.
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
