//! Keeps a folder of compiled policies from growing without end: every policy that ever was loaded leaves a file, and leaves another with
//! every version of wasmtime.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Bytes that are kept: some hundred policies.
pub(super) const MAX_FOLDER: u64 = 256 << 20;
/// A file that was put aside so long ago is left by a writer that died.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Removes what was stored first until the rest fits into so many bytes, and what dead writers left. Whoever wants it compiles again. Other
/// processes may do the same, so what cannot be read or removed is left alone.
pub(super) fn make(folder: &Path, bytes: u64) {
    let mut stored = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
        let Ok(written) = metadata.modified() else { continue };
        match path.extension().and_then(OsStr::to_str) {
            Some("cached") if metadata.is_file() => stored.push((written, metadata.len(), path)),
            Some("tmp") if SystemTime::now().duration_since(written).is_ok_and(|age| age > ABANDONED) => {
                let _ = fs::remove_file(path);
            }
            _ => {}
        }
    }
    stored.sort();
    let mut held: u64 = stored.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in stored {
        if held <= bytes {
            return;
        }
        let _ = fs::remove_file(path);
        held -= size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_first_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (name, size, hours) in [
            ("new.cached", 40, 0),
            ("old.cached", 40, 3),
            ("older.cached", 40, 4),
            ("oldest.cached", 40, 5),
            ("dead.1.tmp", 500, 2),
            ("alive.1.tmp", 500, 0),
            ("other.error", 500, 9),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, vec![0; size]).unwrap();
            let written = now - Duration::from_secs(hours * 3600);
            fs::File::options().append(true).open(&path).unwrap().set_modified(written).unwrap();
        }
        let left = || {
            let mut names: Vec<_> =
                fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        make(folder.path(), 160);
        assert_eq!(
            left(),
            ["alive.1.tmp", "new.cached", "old.cached", "older.cached", "oldest.cached", "other.error"]
        );
        make(folder.path(), 100);
        assert_eq!(left(), ["alive.1.tmp", "new.cached", "old.cached", "other.error"]);
        make(folder.path(), 0);
        assert_eq!(left(), ["alive.1.tmp", "other.error"]);
        make(&folder.path().join("nowhere"), 0);
    }
}
