//! The machine that measures, and this process on it.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Packages whose versions readers want to know.
const PEERS: [&str; 5] = ["cedar-policy", "regorus", "rusqlite", "wasmtime", "criterion"];

/// What it is, and what built the programs, in one line.
pub fn describe() -> String {
    let line = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
        found.map(|(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = line("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unknown processor".to_owned());
    let memory = line("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let system = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "Machine: {processor}, {cores} cores, {memory} of memory, {} {}.",
        std::env::consts::OS,
        system.trim()
    )
}

/// When this is, what built the programs, and the versions of what is measured. `folder` is that of the benchmarks.
pub fn versions(folder: &Path) -> String {
    let first_line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder).output().ok()?;
        String::from_utf8_lossy(&output.stdout).lines().next().map(|line| line.trim().to_owned())
    };
    let lock = |path: &str| fs::read_to_string(folder.join(path)).unwrap_or_default();
    // That of regorus has it last: there is one of each.
    let lock = lock("../Cargo.lock") + &lock("peers/regorus/Cargo.lock");
    let version = |name: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(format!("{name} {}", rest.split_once('"')?.0))
    };
    let modules = fs::read_to_string(folder.join("peers/opa/go.mod")).unwrap_or_default();
    let opa = modules.lines().find_map(|line| line.strip_prefix("require github.com/open-policy-agent/opa "));
    let peers: Vec<String> = PEERS.into_iter().filter_map(version).collect();
    format!(
        "{}, {}, {}. {}, OPA {}. Chunks and requests are made without randomness: there is no seed.",
        first_line("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default(),
        first_line("rustc", &["--version"]).unwrap_or_default(),
        first_line("go", &["version"]).unwrap_or_else(|| "no Go".to_owned()),
        peers.join(", "),
        opa.unwrap_or("unknown"),
    )
}

/// One of the sizes in what Linux says of this process, in bytes.
pub fn status(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
