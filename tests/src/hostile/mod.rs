//! Policies that misbehave, made from WebAssembly text: a valid component in which a test replaces one part.
//!
//! ```
//! use tamis_tests::hostile::{Module, TRAP};
//! let component = Module { describe: TRAP, ..Module::good() }.component();
//! ```

pub mod abi;
pub mod answers;

use abi::Memory;
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
        }
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

    fn text(&self) -> String {
        let Self { describe, filter_chunk, rewrite_query, realloc, post_return, start, more, .. } = self;
        let mut memory = Memory::default();
        let manifest = memory.place(&self.manifest.abi());
        let allow = memory.place(&self.decision.abi());
        let deny = memory.place(&Decision::deny().abi());
        let rewrite = memory.place(&self.rewrite.abi());
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
                (func $start {start})
                (start $start))"#
        )
    }
}

/// `component` with `count` instances of a core module beside its own, which nothing uses.
pub fn with_instances(component: &[u8], module: &str, count: u8) -> Vec<u8> {
    let module = wat::parse_str(module).unwrap();
    let index = sections(component).iter().filter(|id| **id == CORE_MODULE).count();
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

/// The ids of a component's sections.
fn sections(component: &[u8]) -> Vec<u8> {
    let (mut ids, mut rest) = (Vec::new(), &component[8..]);
    while let [id, after @ ..] = rest {
        let digits = after.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let size = after[..digits].iter().rev().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        ids.push(*id);
        rest = &after[digits + size..];
    }
    ids
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

/// `component` with an unused section that makes it `size` bytes long.
pub fn padded(component: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = component.to_vec();
    // An id, four digits of the size, and the empty name of the section.
    let contents = vec![0; size - component.len() - 5];
    append_section(&mut bytes, CUSTOM, &contents);
    assert_eq!(bytes.len(), size);
    bytes
}
