//! What decisions allocate once everything is warm, and the most memory that a process had: one process for each way of deciding.
//!
//! ```text
//! memory              everything, into the figures
//! memory WAY          the peak of one way, in bytes, above what the chunks take
//! ```

use std::alloc::System;
use std::process::Command;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tamis_benches::figures::{Figures, Unit};
use tamis_benches::machine::status;
use tamis_benches::ways::{Setting, Way};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BATCH: usize = 100;
const ROUNDS: usize = 50;

fn main() {
    match std::env::args().nth(1) {
        Some(name) => println!("{}", peak(&name)),
        None => measure(),
    }
}

fn measure() {
    let mut figures = Figures::default();
    let program = std::env::current_exe().unwrap();
    for way in Setting::new(1000).ten().iter().filter(|way| way.most >= BATCH) {
        let (allocations, bytes) = allocated(way);
        let group = "memory, batches of 100";
        figures.put(group, way.name, "allocations for each chunk", allocations, Unit::Count);
        figures.put(group, way.name, "bytes for each chunk", bytes, Unit::Bytes);
        let output = Command::new(&program).arg(way.name).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let peak = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        figures.put(group, way.name, "peak of the process", peak, Unit::Bytes);
    }
    figures.save("memory");
}

/// How often memory is asked for, and how much, for each chunk; memory inside WebAssembly is not counted.
fn allocated(way: &Way) -> (f64, f64) {
    let mut decide = way.of(BATCH);
    for _ in 0..5 {
        decide();
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..ROUNDS {
        std::hint::black_box(decide());
    }
    let change = region.change();
    let chunks = (BATCH * ROUNDS) as f64;
    let calls = (change.allocations + change.reallocations) as f64;
    (calls / chunks, change.bytes_allocated as f64 / chunks)
}

/// Above what the process has with nothing but the chunks, which all ways share.
fn peak(name: &str) -> u64 {
    let ways = Setting::new(1000).ten();
    let way = ways.iter().find(|way| way.name == name).unwrap();
    // Forgets the peak so far.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS").unwrap();
    let mut decide = way.of(BATCH);
    for _ in 0..ROUNDS {
        std::hint::black_box(decide());
    }
    status("VmHWM").unwrap().saturating_sub(before)
}
