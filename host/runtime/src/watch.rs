//! Replacing a policy whenever its file changes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::error::Error;
use crate::handle::PolicyHandle;
use crate::policy::{MAX_BYTES, check_size};

/// How long the file must lie still before it is read. Programs write a file in several steps, a millisecond or two apart;
/// whoever takes longer has half a file looked at, which changes nothing, and then the whole. Whoever moves a finished file into place
/// is not kept waiting noticeably.
const SETTLE: Duration = Duration::from_millis(5);

/// How often the file is looked at without being told of a change. The system tells of changes in the file's own folder:
/// not that a link's target changed, that the folder was replaced, or what others do on a network file system.
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
        let concerns = move |event: &notify::Event| {
            !event.kind.is_access() && event.paths.iter().any(|changed| changed.file_name() == Some(&name))
        };
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let changed = match event {
                Ok(event) => event.need_rescan() || concerns(&event),
                Err(_) => true,
            };
            if changed {
                // The receiver is gone only while the watch is being dropped.
                let _ = sender.send(());
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

fn reload_on(events: &Receiver<()>, handle: &PolicyHandle, path: &Path, prepare: &Prepare) {
    loop {
        // Looked at before it is read, so that what changes meanwhile is a change. So is what happened before the watch
        // began.
        let read = look(path);
        reload(handle, path, prepare);
        if !wait_for_change(events, || look(path) != read) {
            return;
        }
    }
}

/// Waits until the file has changed and lies still; `false` means that the watch is over.
fn wait_for_change(events: &Receiver<()>, looks_changed: impl Fn() -> bool) -> bool {
    loop {
        match events.recv_timeout(LOOK) {
            Ok(()) => break,
            Err(RecvTimeoutError::Timeout) if looks_changed() => break,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    loop {
        match events.recv_timeout(SETTLE) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Which file it is, its size, and when it changed last; `None` if there is none.
fn look(path: &Path) -> Option<(u64, u64, u64, i64, i64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}

fn reload(handle: &PolicyHandle, path: &Path, prepare: &Prepare) {
    match read(path).and_then(prepare) {
        // A failure is kept and logged by the handle.
        Ok(bytes) => drop(handle.replace(&bytes)),
        Err(error) => handle.report(error),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let host = |error: io::Error| Error::Host(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(host)?;
    check_size(file.metadata().map_err(host)?.len())?;
    let mut bytes = Vec::new();
    // It may grow meanwhile, or be a device without a size.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(host)?;
    Ok(bytes)
}
