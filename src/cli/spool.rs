//! `puypuy spool`: shows and repairs waiting batches, damaged files and refused points.

use super::say;
use crate::config::settings::Settings;
use crate::daemon::{self, hostname};
use crate::delivery::cached::{self, Read};
use crate::delivery::disk::{Disk, Folder};
use crate::delivery::files;
use crate::delivery::spool::{Bounds, Spool};
use crate::delivery::{Moment, codec};
use crate::model::error::{Error, Result};
use crate::model::point::{Batch, Identity, Point};
use crate::sys::clock;
use crate::sys::folder;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Most points of a batch that is put into the spool.
const BATCH: usize = 5_000;

/// Counts of everything in the folders.
pub struct Count {
    pub batches: usize,
    pub bytes: u64,
    /// When the oldest batch was first stored, in Unix seconds.
    pub oldest: Option<i64>,
    pub damaged: usize,
    /// Bytes of refused points.
    pub refused: u64,
}

/// The folders of spool, quarantine and rejected area.
pub struct Folders<'a> {
    settings: &'a Settings,
    spool: PathBuf,
    quarantine: PathBuf,
    rejected: PathBuf,
    own: Identity,
}

impl Folders<'_> {
    pub fn new(settings: &Settings) -> Folders<'_> {
        let tmpdir = &settings.own.tmpdir;
        let spool = tmpdir.join("spool");
        let (own, _) = hostname::identity(&settings.own);
        Folders { settings, quarantine: spool.join(files::QUARANTINE), rejected: tmpdir.join("rejected"), spool, own }
    }

    /// `ls`: lists every waiting batch, oldest first, and counts damaged files, refused points and `*.cached` files.
    pub fn list(&self, out: &mut dyn Write) -> Result<()> {
        let now = clock::unix_now();
        let mut rows = Vec::new();
        for path in files::in_folder(&self.spool)? {
            let Some(row) = self.row(&path, now) else { continue };
            rows.push(row);
        }
        match rows.len() {
            0 => say(out, "nothing waits in the spool"),
            _ => {
                say(
                    out,
                    "FILE                        STORED               AGE     POINTS     BYTES  FIRST                LAST",
                );
                rows.iter().for_each(|row| say(out, row));
            }
        }
        let quarantined = files::in_folder(&self.quarantine)?.len();
        if quarantined > 0 {
            say(out, format!("{quarantined} damaged files in {}", self.quarantine.display()));
        }
        let rejected = self.refused_bytes()?;
        if rejected > 0 {
            let place = self.rejected.display();
            say(out, format!("{rejected} bytes of refused points in {place}; `puypuy spool requeue` sends them again"));
        }
        let (cached, bytes) = cached::files(&self.settings.own.tmpdir)?;
        if !cached.is_empty() {
            let count = cached.len();
            say(out, format!("{count} old *.cached files ({bytes} bytes); `puypuy spool import` takes them over"));
        }
        Ok(())
    }

    /// Counts everything.
    pub fn count(&self) -> Result<Count> {
        let files = files::in_folder(&self.spool)?;
        let oldest = files.first().and_then(|oldest| codec::read(&fs::read(oldest).ok()?).ok());
        Ok(Count {
            batches: files.len(),
            bytes: files.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum(),
            oldest: oldest.map(|(header, _)| header.stored),
            damaged: files::in_folder(&self.quarantine)?.len(),
            refused: self.refused_bytes()?,
        })
    }

    fn refused_bytes(&self) -> Result<u64> {
        Ok(self.rejected_files()?.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum())
    }

    /// `None` for a file that has disappeared: the daemon may be delivering.
    fn row(&self, path: &Path, now: i64) -> Option<String> {
        let bytes = fs::read(path).ok()?;
        let name = path.file_name()?.to_string_lossy().into_owned();
        let (header, batch) = match codec::read(&bytes) {
            Ok(read) => read,
            Err(why) => return Some(format!("{name:26}  {why}")),
        };
        let times = batch.points.iter().map(|point| point.time).chain(batch.events.iter().map(|event| event.time));
        let (first, last) =
            (times.clone().min().map_or_else(String::new, date), times.max().map_or_else(String::new, date));
        let points = batch.points.len() + batch.events.len();
        let (stored, age) = (date(header.stored), age(now.saturating_sub(header.stored)));
        Some(format!("{name:26}  {stored:19}  {age:>6}  {points:>6}  {:>8}  {first:19}  {last}", bytes.len()))
    }

    /// `verify`: reads every file completely.
    ///
    /// # Errors
    /// Some files are damaged.
    pub fn verify(&self, out: &mut dyn Write) -> Result<()> {
        let (mut whole, mut damaged) = (0, 0);
        for path in files::in_folder(&self.spool)? {
            match fs::read(&path).map(|bytes| codec::read(&bytes)) {
                Ok(Ok(_)) => whole += 1,
                Ok(Err(why)) => {
                    damaged += 1;
                    say(out, format!("{}: {why}", path.display()));
                }
                // It was delivered meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::file("read", &path)(error)),
            }
        }
        say(out, format!("{whole} files are whole, {damaged} damaged"));
        match damaged {
            0 => Ok(()),
            _ => Err(Error::daemon("the daemon will set the damaged files aside and deliver the others")),
        }
    }

    /// `show`: prints the points and events of a file, one JSON object per line.
    pub fn show(&self, file: &Path, out: &mut dyn Write) -> Result<()> {
        let path = self.find(file)?;
        let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
        let (_, batch) = codec::read(&bytes).map_err(|why| Error::daemon(format!("{}: {why}", path.display())))?;
        self.print(&batch, out);
        Ok(())
    }

    /// `export`: prints those of all files, oldest first.
    pub fn export(&self, out: &mut dyn Write) -> Result<()> {
        for path in files::in_folder(&self.spool)? {
            match fs::read(&path).map(|bytes| codec::read(&bytes)) {
                Ok(Ok((_, batch))) => self.print(&batch, out),
                Ok(Err(why)) => log::warn!("{}: {why}", path.display()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::file("read", &path)(error)),
            }
        }
        Ok(())
    }

    fn print(&self, batch: &Batch, out: &mut dyn Write) {
        batch.events.iter().for_each(|event| say(out, event.to_json(&self.own.host)));
        batch.points.iter().for_each(|point| say(out, point.to_json(&self.own.host)));
    }

    /// Finds a file by its name as in `ls`, or by its path.
    fn find(&self, file: &Path) -> Result<PathBuf> {
        let places = [self.spool.join(file), self.quarantine.join(file), file.into()];
        // A path that cannot be checked is returned too, so that reading it reports the reason.
        let found = places.into_iter().find(|path| !matches!(path.try_exists(), Ok(false)));
        found.ok_or_else(|| no_such(file))
    }

    /// `drop`: removes these files, or all.
    pub fn drop(&self, files: &[PathBuf], out: &mut dyn Write) -> Result<()> {
        let _held = self.hold()?;
        let chosen = match files {
            [] => files::in_folder(&self.spool)?,
            some => some.iter().map(|file| self.inside(file)).collect::<Result<_>>()?,
        };
        let mut points = 0;
        for path in &chosen {
            let records = fs::read(path).ok().and_then(|bytes| codec::read_header(&bytes).ok());
            fs::remove_file(path).map_err(Error::file("remove", path))?;
            points += records.map_or(0, |header| header.records);
        }
        say(out, format!("{} files dropped, with {points} points", chosen.len()));
        Ok(())
    }

    /// Only files of the spool are ever removed.
    fn inside(&self, file: &Path) -> Result<PathBuf> {
        let known = files::in_folder(&self.spool)?.into_iter().chain(files::in_folder(&self.quarantine)?);
        let mut named = known.filter(|path| path == file || path.file_name() == Some(file.as_os_str()));
        named.next().ok_or_else(|| no_such(file))
    }

    /// `requeue`: puts refused points, and quarantined files that can be read after all, back into the spool.
    pub fn requeue(&self, out: &mut dyn Write) -> Result<()> {
        let mut spool = self.hold()?;
        let (mut count, mut left) = (0, 0);
        for path in self.rejected_files()? {
            let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
            let (mut points, mut unreadable) = (Vec::new(), Vec::new());
            for line in text.lines() {
                match point_of(line, &self.own.host) {
                    Some(point) => points.push(point),
                    None => unreadable.push(line.to_string()),
                }
            }
            count += points.len();
            left += unreadable.len();
            keep(&mut spool, points)?;
            leave(&path, &unreadable)?;
        }
        for path in files::in_folder(&self.quarantine)? {
            let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
            if let Ok((header, batch)) = codec::read(&bytes) {
                count += batch.points.len() + batch.events.len();
                spool.store(batch, header.stored, Moment::now()).1?;
                fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            }
        }
        say(out, format!("{count} points wait in the spool again"));
        if left > 0 {
            say(out, format!("{left} lines cannot be read and stay in {}", self.rejected.display()));
        }
        tell_dropped(&mut spool, out);
        Ok(())
    }

    /// `import`: puts points that the Python original could not deliver into the spool; the daemon delivers them to the
    /// store that is configured now.
    pub fn import(&self, out: &mut dyn Write) -> Result<()> {
        let mut spool = self.hold()?;
        let (files, _) = cached::files(&self.settings.own.tmpdir)?;
        let mut count = 0;
        for path in &files {
            let bytes = fs::read(path).map_err(Error::file("read", path))?;
            match cached::read(&String::from_utf8_lossy(&bytes), &self.own) {
                Ok(Read { points, unreadable }) => {
                    count += points.len();
                    keep(&mut spool, points)?;
                    leave(path, &unreadable)?;
                    if !unreadable.is_empty() {
                        say(out, format!("{}: {} lines cannot be read and stay", path.display(), unreadable.len()));
                    }
                }
                Err(why) => say(out, format!("{}: left alone, {why}", path.display())),
            }
        }
        say(
            out,
            format!("{count} points of {} files wait in the spool; start the daemon to deliver them", files.len()),
        );
        tell_dropped(&mut spool, out);
        Ok(())
    }

    /// Opens and locks the spool; the daemon must not run.
    fn hold(&self) -> Result<Spool> {
        if daemon::running(&self.settings.own)?.is_some() {
            return Err(Error::daemon("the daemon runs and is at work there; stop it first with `./puypuy.sh stop`"));
        }
        let Settings { own, tsdb, .. } = self.settings;
        Spool::open(Box::new(Folder::new(self.spool.clone())), Bounds::configured(own, tsdb), Moment::now())
    }

    /// The files of the rejected area; of each sink the older one first.
    fn rejected_files(&self) -> Result<Vec<PathBuf>> {
        let paths = folder::entries(&self.rejected)?.into_iter().map(|entry| entry.path());
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".ndjson") || name.ends_with(".ndjson.1")
        };
        let mut paths: Vec<PathBuf> = paths.filter(is_ours).collect();
        paths.sort_by_key(|path| {
            let is_older = path.extension().is_some_and(|end| end == "1");
            (if is_older { path.with_extension("") } else { path.clone() }, !is_older)
        });
        Ok(paths)
    }
}

fn no_such(file: &Path) -> Error {
    Error::daemon(format!("{}: no such file in the spool, see `puypuy spool ls`", file.display()))
}

/// The point in a line of the rejected area.
fn point_of(line: &str, own_host: &str) -> Option<Point> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    Point::from_json(line.get("point")?, own_host)
}

/// Puts points into the spool; all of them are on disk when this returns `Ok`.
fn keep(spool: &mut Spool, points: Vec<Point>) -> Result<()> {
    points.chunks(BATCH).try_for_each(|chunk| {
        spool.store(Batch { points: chunk.to_vec(), events: Vec::new() }, clock::unix_now(), Moment::now()).1
    })
}

/// Replaces a file's content by these lines, or removes the file if there are none.
fn leave(path: &Path, lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return fs::remove_file(path).map_err(Error::file("remove", path));
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unfinished = path.with_extension("unfinished");
    // `Folder` gives files that root makes to the folder's owner.
    let mut folder = Folder::new(path.parent().unwrap_or(Path::new("")).into());
    let text = lines.join("\n") + "\n";
    folder.write(&name(&unfinished), text.as_bytes()).map_err(Error::file("write", &unfinished))?;
    folder.rename(&name(&unfinished), &name(path)).map_err(Error::file("rename", &unfinished))
}

fn tell_dropped(spool: &mut Spool, out: &mut dyn Write) {
    for (bound, points) in spool.take_dropped().iter() {
        say(out, format!("{points} points dropped: {}", bound.sentence()));
    }
}

fn date(seconds: i64) -> String {
    clock::local(seconds)
}

fn age(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
