//! Compiled policies on disk, so that a restart does not compile again.
//!
//! Machine code that is read back is trusted like this program's own. So the folder must belong to this user alone,
//! every file is written by this module, and what is read is hashed and compared with what was written.

mod record;
mod room;
mod trusted;

use std::fs;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::Error;
use crate::policy::Digest;
use record::Record;

/// Only the owner may enter, list or write.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner may read or write.
const FILE_MODE: u32 = 0o600;
/// Compiled code is about five times as large as the largest component that is accepted.
const MAX_FILE: u64 = 128 << 20;

/// A folder of compiled policies that belongs to this user alone. It holds 256 MiB at most; then those go that were stored first.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Uses `folder`, and makes it if there is none.
    ///
    /// # Errors
    /// [`Error::Host`] if the folder cannot be made, belongs to someone else, or is open to someone else.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let host =
            |what: &dyn std::fmt::Display| Error::Host(format!("policy cache {}: {what}", folder.display()));
        // The folder that is checked here must be the one that is used, wherever the process goes.
        let folder = std::path::absolute(folder).map_err(|error| host(&error))?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&folder)
            .map_err(|error| host(&error))?;
        let metadata = fs::symlink_metadata(&folder).map_err(|error| host(&error))?;
        if !metadata.is_dir() {
            return Err(host(&"it is not a folder"));
        }
        if metadata.uid() != trusted::user_id() {
            return Err(host(&"it belongs to another user"));
        }
        if metadata.mode() & 0o777 != FOLDER_MODE {
            let mode = metadata.mode() & 0o777;
            return Err(host(&format!(
                "its mode is {mode:o}; it must be 700, since code in it is run as it is"
            )));
        }
        Ok(Self { folder })
    }

    /// The compiled form of the component with this digest, if an engine like this one stored it. What cannot be used is
    /// as good as absent.
    pub(crate) fn get(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(engine, digest);
        let bytes = match read_private(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cached policy not used");
                return None;
            }
        };
        let usable = Record::split(&bytes).and_then(|(record, code)| {
            let wanted = Record { component: *digest.bytes(), engine: engine_hash(engine), code: hash(code) };
            if record == wanted {
                trusted::deserialize(engine, code)
            } else {
                Err("it is not what was stored".into())
            }
        });
        match usable {
            Ok(component) => Some(component),
            Err(reason) => {
                tracing::warn!(path = %path.display(), reason, "cached policy not used");
                None
            }
        }
    }

    /// Stores a compiled component. A cache that cannot be written is no reason to fail.
    pub(crate) fn put(&self, engine: &Engine, digest: &Digest, component: &Component) {
        let path = self.path(engine, digest);
        if let Err(reason) = self.try_put(engine, digest, component, &path) {
            tracing::warn!(path = %path.display(), reason, "compiled policy not cached");
        }
        room::make(&self.folder, room::MAX_FOLDER);
    }

    fn try_put(
        &self,
        engine: &Engine,
        digest: &Digest,
        component: &Component,
        path: &Path,
    ) -> Result<(), String> {
        let code = component.serialize().map_err(|error| error.to_string())?;
        let record = Record { component: *digest.bytes(), engine: engine_hash(engine), code: hash(&code) };
        let header = record.encode()?;
        // Written aside and renamed, so that no one ever reads half a file. Chance keeps writers apart: threads, processes,
        // and containers that share the folder and each have a process 1.
        let aside =
            path.with_extension(format!("{:016x}.tmp", RandomState::new().hash_one(std::process::id())));
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&aside)
            .and_then(|mut file| file.write_all(&header).and_then(|()| file.write_all(&code)))
            .and_then(|()| fs::rename(&aside, path));
        written.map_err(|error| {
            let _ = fs::remove_file(&aside);
            error.to_string()
        })
    }

    fn path(&self, engine: &Engine, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{digest:x}-{:016x}.cached", engine_hash(engine)))
    }
}

/// Reads a file that belongs to this user, is no link, and that nobody else may open.
fn read_private(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = fs::OpenOptions::new().read(true).custom_flags(trusted::NO_FOLLOW).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.uid() != trusted::user_id() {
        return Err(io::Error::other("the file belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("the file is open to others"));
    }
    if metadata.len() > MAX_FILE {
        return Err(io::Error::other("the file is too large"));
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Everything about an engine that compiled code depends on: wasmtime's version, settings, processor features.
fn engine_hash(engine: &Engine) -> u64 {
    // Not `DefaultHasher::new` of a random state: the same engine must hash alike in every process.
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}
