//! Several writers at once, and a folder that cannot be written.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;

use tamis_runtime::Runtime;

use super::privacy::NOBODY;
use super::{Folder, as_loaded, files, identity, load, policy, runtime};

const WRITERS: usize = 8;
const POLICIES: usize = 12;

/// What tells a process of its own which folder to use.
const FOLDER: &str = "TAMIS_TESTS_CACHE";

fn names() -> impl Iterator<Item = String> {
    (0..POLICIES).map(|number| format!("policy-{number}"))
}

fn load_all(runtime: &Runtime) {
    for name in names() {
        assert_eq!(load(runtime, &policy(&name)), as_loaded(&name));
    }
}

/// There is one file for each policy and nothing else, and each is used.
#[track_caller]
fn assert_whole(folder: &Path) {
    let stored = files(folder);
    assert_eq!(stored.len(), POLICIES, "{stored:?}");
    let before: Vec<_> = stored.iter().map(|file| identity(file)).collect();
    load_all(&runtime(folder));
    assert_eq!(files(folder), stored);
    assert_eq!(stored.iter().map(|file| identity(file)).collect::<Vec<_>>(), before, "compiled again");
}

#[test]
fn threads_that_store_the_same_do_not_disturb_each_other() {
    let folder = Folder::new();
    for name in names() {
        let (bytes, together) = (policy(&name), Barrier::new(WRITERS));
        let load = || {
            together.wait();
            assert_eq!(load(&folder.runtime, &bytes), as_loaded(&name));
        };
        std::thread::scope(|scope| (0..WRITERS).for_each(|_| drop(scope.spawn(load))));
    }
    assert_whole(&folder.path);
}

/// This test program again, for one test that is only run this way, with a folder to use.
fn process(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--ignored"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn assert_succeeds(process: Child) {
    let output = process.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// In a process of its own, where [`process`] says; nowhere if the test is run by hand.
fn given_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

#[test]
fn processes_that_store_the_same_do_not_disturb_each_other() {
    let folder = Folder::new();
    let start = || process("writers::one_of_several_processes", &folder.path).spawn().unwrap();
    let processes: Vec<_> = (0..4).map(|_| start()).collect();
    processes.into_iter().for_each(assert_succeeds);
    assert_whole(&folder.path);
}

#[test]
#[ignore = "run by `processes_that_store_the_same_do_not_disturb_each_other`, in processes of its own"]
fn one_of_several_processes() {
    if let Some(folder) = given_folder() {
        load_all(&runtime(&folder));
    }
}

#[test]
fn a_relative_folder_stays_where_it_was() {
    let base = tempfile::tempdir().unwrap();
    let mut process = process("writers::elsewhere", Path::new("cache"));
    assert_succeeds(process.current_dir(base.path()).spawn().unwrap());
    assert_eq!(files(&base.path().join("cache")).len(), POLICIES);
}

#[test]
#[ignore = "run by `a_relative_folder_stays_where_it_was`, since it changes the process's folder"]
fn elsewhere() {
    if let Some(folder) = given_folder() {
        let runtime = runtime(&folder);
        std::env::set_current_dir("/").unwrap();
        load_all(&runtime);
    }
}

#[test]
fn a_folder_that_is_gone_is_no_reason_to_fail() {
    let folder = Folder::new();
    fs::remove_dir(&folder.path).unwrap();
    for in_the_way in [false, true] {
        if in_the_way {
            fs::write(&folder.path, "a file").unwrap();
        }
        let (name, log) = load(&folder.runtime, &policy("good"));
        assert_eq!(name, "good");
        assert!(log.contains("compiled policy not cached"), "{log}");
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_no_reason_to_fail() {
    let folder = Folder::new();
    let file = folder.store(&policy("good"));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let (name, log) = load(&folder.runtime, &policy("good"));
    assert_eq!(name, "good");
    assert!(log.contains("it is not a file") && log.contains("compiled policy not cached"), "{log}");
    assert_eq!(files(&folder.path), [file], "nothing else is left behind");
}

#[test]
fn a_folder_that_cannot_be_written_is_no_reason_to_fail() {
    let own = fs::metadata(tempfile::tempdir().unwrap().path()).unwrap().uid();
    if own != 0 {
        in_a_folder_that_cannot_be_written();
        return;
    }
    // Root can write everywhere.
    let mut process = process("writers::in_a_folder_that_cannot_be_written", Path::new(""));
    match process.uid(NOBODY).gid(NOBODY).spawn() {
        Ok(process) => assert_succeeds(process),
        Err(error) => println!("not tested: another user cannot run this program: {error}"),
    }
}

#[test]
#[ignore = "run by `a_folder_that_cannot_be_written_is_no_reason_to_fail`, as an ordinary user"]
fn in_a_folder_that_cannot_be_written() {
    let folder = Folder::new();
    let before = folder.store(&policy("before"));
    fs::set_permissions(&folder.path, Permissions::from_mode(0o500)).unwrap();

    let (name, log) = load(&folder.runtime, &policy("good"));
    assert_eq!(name, "good");
    assert!(log.contains("compiled policy not cached") && log.contains("Permission denied"), "{log}");
    assert_eq!(load(&folder.runtime, &policy("before")), as_loaded("before"));
    assert_eq!(files(&folder.path), [before]);

    fs::set_permissions(&folder.path, Permissions::from_mode(0o700)).unwrap();
}
