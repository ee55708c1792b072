//! Who may write what runs: only this user. Anything else is refused or not used.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use tamis_runtime::{Cache, Error};

use super::{Folder, as_loaded, load, policy};

/// Some user that this process is not.
pub(super) const NOBODY: u32 = 65534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Only root can give files away.
fn can_give_away() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let can = chown(folder.path(), Some(NOBODY), None).is_ok();
    if !can {
        println!("not root: what belongs to another user is not tested");
    }
    can
}

#[track_caller]
fn assert_refused(folder: &Path, reason: &str) {
    let error = Cache::open(folder).unwrap_err();
    assert!(matches!(&error, Error::Host(_)));
    let wanted = format!("policy cache {}: {reason}", folder.display());
    assert!(error.to_string().contains(&wanted), "{error}");
}

#[test]
fn a_folder_that_others_may_enter_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("cache");
    fs::create_dir(&folder).unwrap();
    for mode in [0o755, 0o777, 0o770, 0o750, 0o701, 0o710, 0o702, 0o720, 0o704] {
        set_mode(&folder, mode);
        assert_refused(&folder, &format!("its mode is {mode:o}; it must be 700"));
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, mode, "not for the cache to change");
    }
    set_mode(&folder, 0o700);
    Cache::open(&folder).unwrap();
}

#[test]
fn a_folder_is_made_for_this_user_alone() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("not/there/yet");
    for _ in 0..2 {
        Cache::open(&folder).unwrap();
    }
    for made in folder.ancestors().take(3) {
        assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o700, "{}", made.display());
    }
}

#[test]
fn what_is_no_folder_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("file");
    fs::write(&file, "").unwrap();
    assert_refused(&file, "File exists");
    assert_refused(&file.join("cache"), "Not a directory");

    let private = base.path().join("private");
    DirBuilder::new().mode(0o700).create(&private).unwrap();
    let link = base.path().join("link");
    symlink(&private, &link).unwrap();
    assert_refused(&link, "it is not a folder");
}

#[test]
fn another_users_folder_is_refused() {
    if !can_give_away() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("cache");
    Cache::open(&folder).unwrap();
    chown(&folder, Some(NOBODY), None).unwrap();
    assert_refused(&folder, "it belongs to another user");
}

/// Puts a file in place that makes the policy `good` another one, changes it by `expose`, and expects it not to be used.
#[track_caller]
fn assert_not_used(what: &str, expose: impl FnOnce(&Path), reason: &str) {
    let folder = Folder::new();
    let [good, other] = [policy("good"), policy("other")];
    let forged = folder.forge(&other, &good);
    let file = folder.store(&good);
    fs::write(&file, forged).unwrap();
    assert_eq!(load(&folder.runtime, &good), as_loaded("other"), "as it is, the file is used");

    expose(&file);
    let (name, log) = load(&folder.runtime, &good);
    assert_eq!(name, "good", "{what}");
    assert!(log.contains("cached policy not used") && log.contains(reason), "{what}: {log}");

    let replaced = fs::symlink_metadata(&file).unwrap();
    assert!(replaced.is_file(), "{what}: it is replaced by a file of the cache's own");
    assert_eq!(replaced.mode() & 0o7777, 0o600, "{what}");
    assert_eq!(load(&folder.runtime, &good), as_loaded("good"), "{what}");
}

#[test]
fn a_file_that_others_may_open_is_not_used() {
    for mode in [0o660, 0o620, 0o602, 0o640, 0o604, 0o610, 0o666] {
        assert_not_used(&format!("{mode:o}"), |file| set_mode(file, mode), "the file is open to others");
    }
}

#[test]
fn another_users_file_is_not_used() {
    if can_give_away() {
        assert_not_used(
            "nobody's",
            |file| chown(file, Some(NOBODY), None).unwrap(),
            "the file belongs to another user",
        );
    }
}

#[test]
fn a_link_is_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    let link = |file: &Path| {
        fs::rename(file, &target).unwrap();
        symlink(&target, file).unwrap();
    };
    assert_not_used("a link", link, "symbolic link");

    assert_not_used(
        "a link to nowhere",
        |file| fs::remove_file(file).and_then(|()| symlink("nowhere", file)).unwrap(),
        "",
    );
}

#[test]
fn what_a_link_leads_to_is_not_written() {
    let folder = Folder::new();
    let file = folder.store(&policy("good"));
    let target = folder.base.path().join("target");
    fs::write(&target, "precious").unwrap();
    fs::remove_file(&file).unwrap();
    symlink(&target, &file).unwrap();
    assert_eq!(load(&folder.runtime, &policy("good")).0, "good");
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
}
