//! Policies that misbehave, made from WebAssembly text: a valid component in which a test replaces one part.
//!
//! ```
//! use tamis_tests::hostile::{Module, TRAP};
//! let component = Module { describe: TRAP, ..Module::good() }.component();
//! ```

pub mod abi;
pub mod answers;

use abi::{Abi, Memory};
use answers::{Decision, Manifest, Rewrite, node};

/// A body that never ends.
pub const FOREVER: &str = "(loop $forever (br $forever)) (unreachable)";

/// A body that gives up.
pub const TRAP: &str = "(unreachable)";

/// The parts of a policy. A body is the text of a function's instructions; it can use the globals `$manifest`,
/// `$allow`, `$deny` and `$rewrite` (addresses of the answers), `$calls` (a counter, 0 at first), `$unused` (the
/// address where no answer lies any more), and for `filter_chunk` the local `$arguments`.
#[derive(Clone, Debug)]
pub struct Module {
    /// Body of `describe`, which returns the address of a manifest.
    pub describe: &'static str,
    /// Body of `filter-chunk`, which returns the address of a decision.
    pub filter_chunk: &'static str,
    /// Body of `rewrite-query`, which returns the address of a rewrite.
    pub rewrite_query: &'static str,
    /// Body of `cabi_realloc`, which returns the address of `$size` bytes.
    pub realloc: &'static str,
    /// What runs after the host has read a decision.
    pub post_return: &'static str,
    /// What runs when the component is instantiated.
    pub start: &'static str,
    /// More declarations: tables, functions, globals.
    pub more: &'static str,
    /// Initial memory in pages of 64 KiB beyond what the answers occupy.
    pub pages: usize,
    /// At `$manifest`.
    pub manifest: Manifest,
    /// At `$allow`.
    pub decision: Decision,
    /// At `$rewrite`.
    pub rewrite: Rewrite,
    /// The interface `batch`, if there is one.
    pub batch: Option<Batch>,
}

/// The interface `batch`. A body can also call `$codes`, which takes how many and which and returns the address of so many codes, and
/// use the globals `$columns` and `$narrowed`.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Body of `columns`, which returns the address of a list.
    pub columns: &'static str,
    /// Body of `prepare`, which returns a number; the request is at `$request` and `$size` long.
    pub prepare: &'static str,
    /// Body of `filter-chunks`, which returns the address of codes; it can use the locals `$prepared`, `$frame` and `$size`.
    pub filter_chunks: &'static str,
    /// Body of `rewrite-prepared`, which returns the address of a list of bytes; it can use the local `$prepared`.
    pub rewrite_prepared: &'static str,
    /// At `$columns`: see [`answers::column`].
    pub wanted: Vec<Abi>,
    /// At `$narrowed`: see [`answers::bytes`].
    pub rewrite: Vec<u8>,
}

impl Batch {
    /// Wants no columns, tells principals apart, and allows every chunk.
    pub fn good() -> Self {
        Self {
            columns: "(global.get $columns)",
            prepare: "(i32.load (local.get $request))",
            filter_chunks: "(call $codes (i32.load (local.get $frame)) (i32.const 1))",
            rewrite_prepared: "(global.get $narrowed)",
            wanted: vec![],
            rewrite: answers::bytes::rewrite(&[answers::bytes::ALWAYS]),
        }
    }

    /// Everything that the interface exports.
    fn text(&self, memory: &mut Memory) -> String {
        let Self { columns: body, prepare, filter_chunks, rewrite_prepared, wanted, rewrite } = self;
        let columns = memory.place(&Abi::List(wanted.clone()));
        let narrowed = memory.place(&Abi::List(rewrite.iter().map(|byte| Abi::U8(*byte)).collect()));
        format!(
            r#"(global $columns i32 (i32.const {columns}))
            (global $narrowed i32 (i32.const {narrowed}))
            (func $codes (param $count i32) (param $code i32) (result i32)
                (local $at i32)
                (local.set $at (global.get $heap))
                (global.set $heap (i32.and (i32.add (i32.add (local.get $at) (local.get $count)) (i32.const 7)) (i32.const -8)))
                (memory.fill (local.get $at) (local.get $code) (local.get $count))
                (i32.store (i32.const 8) (local.get $at))
                (i32.store (i32.const 12) (local.get $count))
                (i32.const 8))
            (func (export "tamis:policy/batch@0.1.0#columns") (result i32) {body})
            (func (export "tamis:policy/batch@0.1.0#prepare") (param $request i32) (param $size i32) (result i32)
                {prepare})
            (func (export "tamis:policy/batch@0.1.0#filter-chunks")
                (param $prepared i32) (param $frame i32) (param $size i32) (result i32)
                {filter_chunks})
            (func (export "tamis:policy/batch@0.1.0#rewrite-prepared")
                (param $prepared i32) (param $collection i32) (param $size i32) (param $k i32) (result i32)
                {rewrite_prepared})"#
        )
    }
}

impl Module {
    /// Reads nothing, allows every chunk and matches every chunk.
    pub fn good() -> Self {
        Self {
            describe: "(global.get $manifest)",
            filter_chunk: "(global.get $allow)",
            rewrite_query: "(global.get $rewrite)",
            realloc: "
                (global.set $heap (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                (global.get $heap)
                (global.set $heap (i32.add (global.get $heap) (local.get $size)))",
            post_return: "",
            start: "",
            more: "",
            pages: 8,
            manifest: Manifest::good(),
            decision: Decision::allow(),
            rewrite: Rewrite::of(vec![node::always()]),
            batch: None,
        }
    }

    /// As [`Module::good`], and decides on batches.
    pub fn batching(batch: Batch) -> Self {
        Self { batch: Some(batch), ..Self::good() }
    }

    /// As [`Module::good`] with another body of `filter-chunk`.
    pub fn filtering(filter_chunk: &'static str) -> Self {
        Self { filter_chunk, ..Self::good() }
    }

    /// The component, with the contract's description as `tamis build` adds it.
    pub fn component(&self) -> Vec<u8> {
        let module = wat::parse_str(self.text()).unwrap();
        tamis_build::componentize(&module).unwrap()
    }

    /// The component as one of the world `batch-policy` of another contract, given as the text of its WIT file.
    pub fn component_of(&self, contract: &str) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve.push_str("policy.wit", contract).unwrap();
        let world = resolve.select_world(&[package], Some("batch-policy")).unwrap();
        let encoding = wit_component::StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
        wit_component::ComponentEncoder::default()
            .module(&module)
            .and_then(|encoder| encoder.encode())
            .unwrap()
    }

    fn text(&self) -> String {
        let Self { describe, filter_chunk, rewrite_query, realloc, post_return, start, more, .. } = self;
        let mut memory = Memory::default();
        let manifest = memory.place(&self.manifest.abi());
        let allow = memory.place(&self.decision.abi());
        let deny = memory.place(&Decision::deny().abi());
        let rewrite = memory.place(&self.rewrite.abi());
        let batch = self.batch.as_ref().map(|batch| batch.text(&mut memory)).unwrap_or_default();
        let unused = memory.bytes().len();
        let pages = self.pages + unused.div_ceil(1 << 16);
        let data: String = memory.bytes().iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module
                (memory (export "memory") {pages})
                (data (i32.const 0) "{data}")
                (global $manifest i32 (i32.const {manifest}))
                (global $allow i32 (i32.const {allow}))
                (global $deny i32 (i32.const {deny}))
                (global $rewrite i32 (i32.const {rewrite}))
                (global $unused i32 (i32.const {unused}))
                (global $heap (mut i32) (i32.const {unused}))
                (global $calls (mut i32) (i32.const 0))
                {more}
                (func (export "tamis:policy/gates@0.1.0#describe") (result i32) {describe})
                (func (export "tamis:policy/gates@0.1.0#filter-chunk") (param $arguments i32) (result i32)
                    {filter_chunk})
                (func (export "tamis:policy/gates@0.1.0#rewrite-query") (param $arguments i32) (result i32)
                    {rewrite_query})
                (func (export "cabi_post_tamis:policy/gates@0.1.0#filter-chunk") (param i32) {post_return})
                (func (export "cabi_realloc")
                    (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
                    {realloc})
                {batch}
                (func $start {start})
                (start $start))"#
        )
    }
}

/// `component` without the interface `batch`: its module, as one of the world `policy`.
pub fn without_batch(component: &[u8]) -> Vec<u8> {
    let mut module = first_module(component);
    let mut resolve = wit_parser::Resolve::default();
    let contract = include_str!("../../../wit/policy.wit");
    let package = resolve.push_str("policy.wit", contract).unwrap();
    let world = resolve.select_world(&[package], Some("policy")).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
    wit_component::ComponentEncoder::default().module(&module).and_then(|encoder| encoder.encode()).unwrap()
}

/// `component` with `count` instances of a core module beside its own, which nothing uses.
pub fn with_instances(component: &[u8], module: &str, count: u8) -> Vec<u8> {
    let module = wat::parse_str(module).unwrap();
    let index = sections(component).iter().filter(|(id, _)| *id == CORE_MODULE).count();
    let mut bytes = component.to_vec();
    append_section(&mut bytes, CORE_MODULE, &module);
    // How many; then for each: instantiate (0) which module, with how many arguments (0).
    let mut instances = vec![count];
    for _ in 0..count {
        instances.extend([0, u8::try_from(index).unwrap(), 0]);
    }
    append_section(&mut bytes, CORE_INSTANCE, &instances);
    bytes
}

const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const CORE_INSTANCE: u8 = 2;

/// A component's sections: their ids and what they hold.
fn sections(component: &[u8]) -> Vec<(u8, &[u8])> {
    let (mut sections, mut rest) = (Vec::new(), &component[8..]);
    while let [id, after @ ..] = rest {
        let digits = after.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let size = after[..digits].iter().rev().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        sections.push((*id, &after[digits..digits + size]));
        rest = &after[digits + size..];
    }
    sections
}

/// The module that a component is made of; behind it are adapters.
fn first_module(component: &[u8]) -> Vec<u8> {
    sections(component).into_iter().find(|(id, _)| *id == CORE_MODULE).unwrap().1.to_vec()
}

fn append_section(component: &mut Vec<u8>, id: u8, contents: &[u8]) {
    component.push(id);
    let mut size = contents.len();
    while size >= 0x80 {
        component.push(0x80 | u8::try_from(size & 0x7f).unwrap());
        size >>= 7;
    }
    component.push(u8::try_from(size).unwrap());
    component.extend(contents);
}

/// A component under the names of another version of the contract.
pub fn good_of_another_contract(component: &[u8]) -> Vec<u8> {
    let (old, new) = (b"tamis:policy/gates@0.1.0", b"tamis:policy/gates@0.9.0");
    let mut bytes = component.to_vec();
    for at in 0..bytes.len() - old.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + new.len()].copy_from_slice(new);
        }
    }
    assert_ne!(bytes, component);
    bytes
}

/// `component` with an unused section that makes it `size` bytes long.
pub fn padded(component: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = component.to_vec();
    // An id, four digits of the size, and the empty name of the section.
    let contents = vec![0; size - component.len() - 5];
    append_section(&mut bytes, CUSTOM, &contents);
    assert_eq!(bytes.len(), size);
    bytes
}
