//! Replacing a policy whenever its file changes.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::error::{Error, panic_message};
use crate::handle::PolicyHandle;
use crate::policy::{MAX_BYTES, check_size};

/// How long the file must lie still before it is read, once nobody writes it any more. Whoever moves a finished file into place is not kept
/// waiting noticeably.
const SETTLE: Duration = Duration::from_millis(5);

/// The same of a file of which the system does not tell whether somebody writes it.
const STILL: Duration = Duration::from_millis(50);

/// How often the file is looked at without being told of a change. The system tells of changes in the file's own folder:
/// not that a link's target changed, that the folder was replaced, or what others do on a network file system.
///
/// And how long a file is waited for that somebody writes: half a component is none, but half a text may be a policy that forbids less.
const LOOK: Duration = Duration::from_secs(1);

/// Watches a policy file for as long as it lives.
#[must_use = "the file is watched only as long as this is kept"]
#[derive(Debug)]
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    thread: Option<JoinHandle<()>>,
}

/// Makes a component of what a file holds.
pub(crate) type Prepare = Box<dyn Fn(Vec<u8>) -> Result<Vec<u8>, Error> + Send>;

impl Watch {
    pub(crate) fn start(handle: Arc<PolicyHandle>, path: &Path, prepare: Prepare) -> Result<Self, Error> {
        let host =
            |what: &dyn std::fmt::Display| Error::Host(format!("cannot watch {}: {what}", path.display()));
        let path = std::path::absolute(path).map_err(|error| host(&error))?;
        // The folder and not the file: a file that is replaced by renaming is another file.
        let folder = path.parent().map(Path::to_owned).ok_or_else(|| host(&"it is no file"))?;
        let name = path.file_name().map(ToOwned::to_owned).ok_or_else(|| host(&"it is no file"))?;
        let (sender, events) = channel();
        let concerns =
            move |event: &notify::Event| event.paths.iter().any(|changed| changed.file_name() == Some(&name));
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let change = match event {
                Ok(event) if concerns(&event) => Change::of(event.kind),
                Ok(event) => event.need_rescan().then_some(Change::Done),
                Err(_) => Some(Change::Done),
            };
            if let Some(change) = change {
                // The receiver is gone only while the watch is being dropped.
                let _ = sender.send(change);
            }
        })
        .map_err(|error| host(&error))?;
        watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(|error| match error.kind {
            notify::ErrorKind::PathNotFound => host(&"its folder does not exist"),
            _ => host(&error),
        })?;
        let thread = std::thread::Builder::new()
            .name("tamis-watch".to_owned())
            .spawn(move || reload_on(&events, &handle, &path, &prepare))
            .map_err(|error| host(&error))?;
        Ok(Self { watcher: Some(watcher), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Ends the watcher's thread, which closes the channel, which ends ours.
        drop(self.watcher.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the system tells of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Somebody writes it, and has not closed it yet.
    Writing,
    /// Whoever wrote it is done, or it is another file now.
    Done,
}

impl Change {
    fn of(event: EventKind) -> Option<Self> {
        match event {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Self::Done),
            EventKind::Access(_) => None,
            // Other systems do not tell when it is closed.
            EventKind::Modify(ModifyKind::Data(_)) if cfg!(target_os = "linux") => Some(Self::Writing),
            _ => Some(Self::Done),
        }
    }
}

fn reload_on(events: &Receiver<Change>, handle: &PolicyHandle, path: &Path, prepare: &Prepare) {
    loop {
        // Looked at before it is read, so that what changes meanwhile is a change. So is what happened before the watch
        // began.
        let read = look(path);
        reload(handle, path, prepare);
        if !wait_for_change(events, read, || look(path)) {
            return;
        }
    }
}

/// Waits until the file is not as it was when it was read, and is whole; `false` means that the watch is over.
fn wait_for_change(events: &Receiver<Change>, read: Looks, look: impl Fn() -> Looks) -> bool {
    // What it looked like last, if nothing was told of it.
    let (mut writing, mut seen) = loop {
        match events.recv_timeout(LOOK) {
            Ok(change) => break (change == Change::Writing, None),
            Err(RecvTimeoutError::Timeout) => {
                let now = look();
                if now != read {
                    break (false, Some(now));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    };
    let begun = Instant::now();
    // A file that never lies still is read all the same.
    while let Some(left) = LOOK.checked_sub(begun.elapsed()) {
        let patience = match (writing, seen) {
            (true, _) => left,
            (false, Some(_)) => STILL,
            (false, None) => SETTLE,
        };
        match events.recv_timeout(patience) {
            Ok(change) => writing = change == Change::Writing,
            Err(RecvTimeoutError::Timeout) => {
                let Some(before) = &mut seen else { return true };
                let now = look();
                if now == *before {
                    return true;
                }
                *before = now;
            }
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

/// Which file it is, its size, and when it changed last; `None` if there is none.
type Looks = Option<(u64, u64, u64, i64, i64)>;

fn look(path: &Path) -> Looks {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}

fn reload(handle: &PolicyHandle, path: &Path, prepare: &Prepare) {
    // A panic would end the thread, and with it all reloading.
    let replaced = catch_unwind(AssertUnwindSafe(|| match read(path).and_then(prepare) {
        // A failure is kept and logged by the handle.
        Ok(bytes) => drop(handle.replace(&bytes)),
        Err(error) => handle.report(error),
    }));
    if let Err(panic) = replaced {
        handle.report(Error::Host(format!("a panic while reloading: {}", panic_message(panic))));
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let host = |error: io::Error| Error::Host(format!("cannot read {}: {error}", path.display()));
    // Or a pipe that nobody writes to would keep the thread for ever.
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(host)?;
    let metadata = file.metadata().map_err(host)?;
    if !metadata.is_file() {
        return Err(host(io::Error::other("it is not a file")));
    }
    check_size(metadata.len())?;
    let mut bytes = Vec::new();
    // It may grow meanwhile.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(host)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, MetadataKind, RenameMode};

    use super::*;

    #[test]
    fn what_the_system_tells_is_a_change_once_it_is_done() {
        let of = Change::of;
        assert!(of(EventKind::Access(AccessKind::Close(AccessMode::Write))) == Some(Change::Done));
        for read in [AccessKind::Read, AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read)]
        {
            assert!(of(EventKind::Access(read)).is_none());
        }
        let writing = if cfg!(target_os = "linux") { Change::Writing } else { Change::Done };
        assert!(of(EventKind::Modify(ModifyKind::Data(DataChange::Any))) == Some(writing));
        for done in [
            EventKind::Any,
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
        ] {
            assert!(of(done) == Some(Change::Done));
        }
    }
}
