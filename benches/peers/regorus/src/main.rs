//! Measures regorus with the benchmarks' rules: its virtual machine, its interpreter, and from the text of the rules to a decision. It
//! prints nanoseconds for each chunk as JSON.
//!
//! ```text
//! regorus-peer INPUT.json
//! ```
//!
//! The benchmarks write the input: who asks, the chunks, and what every other engine decides on them, which is compared first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{Engine, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

const ONE: &str = "data.tamis.allow";

/// What the benchmarks ask for.
#[derive(Deserialize)]
struct Input {
    rules: String,
    action: String,
    subject: Json,
    chunks: Vec<Json>,
    decisions: Vec<bool>,
    batches: Vec<usize>,
    /// How long each measurement goes on.
    milliseconds: u64,
}

/// One measurement.
#[derive(Serialize)]
struct Figure {
    row: &'static str,
    batch: usize,
    nanoseconds: f64,
}

fn main() {
    let path = std::env::args().nth(1).expect("usage: regorus-peer INPUT.json");
    let text = std::fs::read_to_string(path).expect("the input can be read");
    let input: Input = serde_json::from_str(&text).expect("the input is as the benchmarks write it");
    let inputs: Vec<Value> = input.chunks.iter().map(|chunk| question(&input, chunk)).collect();
    let mut interpreter = engine(&input.rules);
    let compiled = interpreter.compile_with_entrypoint(&ONE.into()).expect("compiled");
    let mut machine = RegoVM::new();
    machine.load_program(Arc::clone(&Compiler::compile_from_policy(&compiled, &[ONE]).expect("a program")));
    machine.set_data(Value::new_object()).expect("data");

    let mut run = |chunk: usize| {
        machine.set_input(inputs[chunk].clone());
        machine.execute().expect("executed") == Value::from(true)
    };
    let mut interpret = |chunk: usize| {
        interpreter.set_input(inputs[chunk].clone());
        interpreter.eval_rule(ONE.to_owned()).expect("evaluated") == Value::from(true)
    };
    let mut from_source = |chunk: usize| {
        let mut engine = engine(&input.rules);
        engine.set_input(inputs[chunk].clone());
        engine.eval_rule(ONE.to_owned()).expect("evaluated") == Value::from(true)
    };
    for (chunk, expected) in input.decisions.iter().enumerate() {
        assert_eq!(run(chunk), *expected, "the virtual machine on chunk {chunk}");
        assert_eq!(interpret(chunk), *expected, "the interpreter on chunk {chunk}");
    }
    assert_eq!(from_source(0), input.decisions[0]);

    let mut figures = Vec::new();
    for batch in input.batches.iter().copied() {
        let mut put = |row, decide: &mut dyn FnMut(usize) -> bool| {
            let nanoseconds =
                median(input.milliseconds, || (0..batch).filter(|chunk| decide(*chunk)).count());
            figures.push(Figure { row, batch, nanoseconds: nanoseconds / batch as f64 });
        };
        put("regorus, virtual machine", &mut run);
        put("regorus, interpreter", &mut interpret);
        if batch == 1 {
            put("regorus, from source", &mut from_source);
        }
    }
    println!("{}", json!({"version": version(), "figures": figures}));
}

fn engine(rules: &str) -> Engine {
    let mut engine = Engine::new();
    engine.add_policy("policy.rego".to_owned(), rules.to_owned()).expect("the rules are read");
    engine
}

/// Parsed beforehand, as Cedar's entities are built beforehand.
fn question(input: &Input, chunk: &Json) -> Value {
    json!({"action": input.action, "subject": input.subject, "chunk": chunk}).into()
}

/// As the lock file says.
fn version() -> String {
    let (_, rest) =
        include_str!("../Cargo.lock").split_once("name = \"regorus\"\nversion = \"").expect("a lock file");
    format!("regorus {}", rest.split('"').next().unwrap_or_default())
}

/// The median time of a call in nanoseconds.
fn median(milliseconds: u64, mut call: impl FnMut() -> usize) -> f64 {
    std::hint::black_box(call());
    let (begun, mut samples) = (Instant::now(), Vec::new());
    while samples.len() < 5 || begun.elapsed() < Duration::from_millis(milliseconds) {
        let start = Instant::now();
        std::hint::black_box(call());
        samples.push(start.elapsed());
    }
    samples.sort_unstable();
    samples[samples.len() / 2].as_secs_f64() * 1e9
}
