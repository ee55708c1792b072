use super::*;
use std::time::Instant;

fn timed(name: &str, bytes: Vec<u8>, limits: Limits) -> Option<Policy> {
    let start = Instant::now();
    let result = Policy::load(&Runtime::shared().unwrap(), &bytes, &limits);
    let text = match &result { Ok(_) => "ok".to_owned(), Err(e) => e.to_string().chars().take(200).collect() };
    eprintln!("{name}: {} bytes, load {:?}: {text}", bytes.len(), start.elapsed());
    result.ok()
}

#[test]
fn scratch_fill() {
    for n in [1000, 2000, 4000] {
    let body = "(memory.fill (i32.const 0x80000) (i32.const 0) (i32.const 0xe00000))".repeat(n) + "(global.get $allow)";
    let module = Module { filter_chunk: body.leak(), pages: 250, ..Module::good() };
    let p = timed("fill", module.component(), hasty()).unwrap();
    let start = Instant::now();
    let r = p.filter(&bob(), &chunks()[..1]);
    eprintln!("fill {n}: {:?} {:?}", start.elapsed(), r.map(|_|()));
    }
}

#[test]
fn scratch_nested() {
    for depth in [18, 20] {
        let mut c = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
        for d in 1..=depth {
            let i = d - 1;
            c = format!("(component $c{d} {c} (instance (instantiate $c{i})) (instance (instantiate $c{i})))");
        }
        timed(&format!("nested {depth}"), wat::parse_str(&c).unwrap(), hasty());
    }
}

#[test]
fn scratch_nested_aliases() {
    // no core modules at all
    for depth in [20, 22] {
        let mut c = "(component $c0)".to_owned();
        for d in 1..=depth {
            let i = d - 1;
            c = format!("(component $c{d} {c} (instance (instantiate $c{i})) (instance (instantiate $c{i})))");
        }
        timed(&format!("nested empty {depth}"), wat::parse_str(&c).unwrap(), hasty());
    }
}

#[test]
fn scratch_types() {
    for depth in [10, 18, 25, 40] {
        let mut c = "(type $t0 (tuple u32 u32))".to_owned();
        for d in 1..=depth {
            let i = d - 1;
            c += &format!("(type $t{d} (tuple $t{i} $t{i}))");
        }
        timed(&format!("types {depth}"), wat::parse_str(format!("(component {c})")).unwrap(), hasty());
    }
}

#[test]
fn scratch_compile() {
    for n in [1000, 2000, 4000, 8000] {
        let body = format!("(local $x i64) (local.set $x (i64.load (local.get $arguments))) {} (i64.store (i32.const 0) (local.get $x)) (global.get $allow)",
            "(local.set $x (i64.mul (local.get $x) (i64.add (local.get $x) (i64.load (i32.wrap_i64 (local.get $x))))))".repeat(n));
        timed(&format!("straight {n}"), Module { filter_chunk: body.leak(), ..Module::good() }.component(), hasty());
    }
    for n in [500, 1000, 2000] {
        let mut body = "(local $x i32)".to_owned();
        for i in 0..n { body += &format!("(block $b{i} "); }
        for i in 0..n { body += &format!("(br_if $b{i} (local.tee $x (i32.load (local.get $x))))"); }
        for _ in 0..n { body += "(local.set $x (i32.mul (local.get $x) (i32.const 3))))"; }
        body += "(i32.add (global.get $allow) (i32.and (local.get $x) (i32.const 0)))";
        timed(&format!("blocks {n}"), Module { filter_chunk: body.leak(), ..Module::good() }.component(), hasty());
    }
    for n in [500, 1000, 2000] {
        let locals = "(local i64)".repeat(n);
        let mut body = locals;
        for i in 0..n { body += &format!("(local.set {} (i64.load offset={} (i32.const 0)))", i + 1, i * 8); }
        body += "(loop $l ";
        for i in 0..n { body += &format!("(local.set {} (i64.add (local.get {}) (local.get {})))", i + 1, i + 1, (i * 7919) % n + 1); }
        body += "(br_if $l (i64.eqz (local.get 1)))) (global.get $allow)";
        timed(&format!("locals {n}"), Module { filter_chunk: body.leak(), ..Module::good() }.component(), hasty());
    }
}

#[test]
fn scratch_batch_output() {
    use tamis_tests::hostile::answers::Decision;
    use tamis_tests::hostile::abi::{Abi, span};
    let decision = Decision { reasons: Abi::List(vec![span(200_000, 3 << 20)]), ..Decision::allow() };
    let policy = load(Module { pages: 100, decision, ..Module::good() }.component(), Limits::default()).unwrap();
    let many = vec![chunk(r#"{"id":"a"}"#); 1000];
    let start = Instant::now();
    let r = policy.filter(&bob(), &many);
    eprintln!("batch: {:?} {:?}", start.elapsed(), r.map(|d| d.iter().map(|d| d.reasons.first().unwrap().len()).sum::<usize>()));
}
