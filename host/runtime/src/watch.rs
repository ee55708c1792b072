//! Replacing a policy whenever its file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::error::Error;
use crate::handle::PolicyHandle;

/// How long the file must lie still before it is read. Programs write a file in several steps, a few milliseconds apart
/// at most; whoever moves a finished file into place is not kept waiting noticeably.
const SETTLE: Duration = Duration::from_millis(10);

/// Watches a policy file for as long as it lives.
#[must_use = "the file is watched only as long as this is kept"]
#[derive(Debug)]
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(handle: Arc<PolicyHandle>, path: &Path) -> Result<Self, Error> {
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
        watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(|error| host(&error))?;
        let thread = std::thread::Builder::new()
            .name("tamis-watch".to_owned())
            .spawn(move || reload_on(&events, &handle, &path))
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

fn reload_on(events: &Receiver<()>, handle: &PolicyHandle, path: &PathBuf) {
    // What happened before the watch began counts as a change.
    reload(handle, path);
    while events.recv().is_ok() {
        loop {
            match events.recv_timeout(SETTLE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        reload(handle, path);
    }
}

fn reload(handle: &PolicyHandle, path: &PathBuf) {
    match std::fs::read(path) {
        // A failure is kept and logged by the handle.
        Ok(bytes) => drop(handle.replace(&bytes)),
        Err(error) => handle.report(Error::Host(format!("cannot read {}: {error}", path.display()))),
    }
}
