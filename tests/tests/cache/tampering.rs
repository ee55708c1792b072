//! Files that are not what was stored: none is used, each is replaced, and the policy loads all the same.

use std::fs::{self, File};
use std::path::Path;

use super::{Folder, as_loaded, files, identity, load, policy, with_fuel};

// The layout of a file: magic number, version, SHA-256 of the component, engine, SHA-256 of the code, the code.
const VERSION: usize = 8;
const COMPONENT: usize = VERSION + 1;
const ENGINE: usize = COMPONENT + 32;
pub(super) const CODE_HASH: usize = ENGINE + 8;
const CODE: usize = CODE_HASH + 32;

/// The policy `good` loads although its file is no good; that is logged for `reason`, and the file is good again.
#[track_caller]
fn assert_not_used(folder: &Folder, file: &Path, what: &str, reason: &str) {
    let good = policy("good");
    let tampered = identity(file);
    let (name, log) = load(&folder.runtime, &good);
    assert_eq!(name, "good", "{what}");
    assert!(log.contains("cached policy not used") && log.contains(reason), "{what}: {log}");
    assert!(log.contains(file.to_str().unwrap()), "the log says where: {log}");

    let replaced = identity(file);
    assert_ne!(replaced, tampered, "{what}: left as it was");
    assert_eq!(load(&folder.runtime, &good), as_loaded("good"), "{what}");
    assert_eq!(identity(file), replaced, "{what}: compiled twice");
}

#[test]
fn a_file_with_any_part_changed_is_not_used() {
    let folder = Folder::new();
    let file = folder.store(&policy("good"));
    let stored = fs::read(&file).unwrap();
    let flipped = |position: usize| {
        let mut bytes = stored.clone();
        bytes[position] ^= 1;
        bytes
    };
    let last = stored.len() - 1;
    for (what, bytes, reason) in [
        ("the magic number", flipped(0), "it is not a cached policy"),
        ("the magic number's end", flipped(VERSION - 1), "it is not a cached policy"),
        ("the version", flipped(VERSION), "it is of another version"),
        ("the component's hash", flipped(COMPONENT), "it is not what was stored"),
        ("the component's hash's end", flipped(ENGINE - 1), "it is not what was stored"),
        ("the engine", flipped(ENGINE), "it is not what was stored"),
        ("the code's hash", flipped(CODE_HASH), "it is not what was stored"),
        ("the first byte of the code", flipped(CODE), "it is not what was stored"),
        ("a byte of the code", flipped(CODE.midpoint(last)), "it is not what was stored"),
        ("the last byte of the code", flipped(last), "it is not what was stored"),
    ] {
        fs::write(&file, bytes).unwrap();
        assert_not_used(&folder, &file, what, reason);
    }
}

#[test]
fn a_file_of_another_length_is_not_used() {
    let folder = Folder::new();
    let file = folder.store(&policy("good"));
    let stored = fs::read(&file).unwrap();
    for (what, bytes, reason) in [
        ("empty", vec![], "it is not a cached policy"),
        ("half a magic number", stored[..4].to_vec(), "it is not a cached policy"),
        ("no version", stored[..VERSION].to_vec(), "it is of another version"),
        ("no hashes", stored[..COMPONENT].to_vec(), "it is cut off"),
        ("half a header", stored[..ENGINE].to_vec(), "it is cut off"),
        ("a header less one byte", stored[..CODE - 1].to_vec(), "it is cut off"),
        ("no code", stored[..CODE].to_vec(), "it is not what was stored"),
        ("half the code", stored[..CODE.midpoint(stored.len())].to_vec(), "it is not what was stored"),
        ("one byte missing", stored[..stored.len() - 1].to_vec(), "it is not what was stored"),
        ("one byte more", [stored.as_slice(), &[0]].concat(), "it is not what was stored"),
        ("text", b"not a policy".to_vec(), "it is not a cached policy"),
    ] {
        fs::write(&file, bytes).unwrap();
        assert_not_used(&folder, &file, what, reason);
    }
    // All holes: it occupies no disk, and must not occupy memory either.
    File::options().write(true).open(&file).unwrap().set_len(1 << 34).unwrap();
    assert_not_used(&folder, &file, "16 GiB", "the file is too large");
}

#[test]
fn a_file_of_another_policy_or_engine_is_not_used() {
    let folder = Folder::new();
    let file = folder.store(&policy("good"));
    let other = folder.store(&policy("other"));
    fs::copy(other, &file).unwrap();
    assert_not_used(&folder, &file, "another policy's", "it is not what was stored");

    let base = tempfile::tempdir().unwrap();
    let elsewhere = base.path().join("cache");
    with_fuel(&elsewhere)(&policy("good"));
    fs::copy(&files(&elsewhere)[0], &file).unwrap();
    assert_not_used(&folder, &file, "another engine's", "it is not what was stored");
}

#[test]
fn code_that_wasmtime_refuses_is_not_used() {
    let folder = Folder::new();
    let file = folder.store(&policy("good"));
    let header = fs::read(&file).unwrap()[..CODE_HASH].to_vec();
    // The SHA-256 of no code at all: a file that is whole, and useless.
    let nothing = [
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
        0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ];
    fs::write(&file, [header.as_slice(), &nothing].concat()).unwrap();
    assert_not_used(&folder, &file, "no code", "");
}
