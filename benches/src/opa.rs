//! The same ten policies as OPA compiles them to WebAssembly, called through wasmtime as OPA's documentation says, ABI 1.2.
//!
//! The module with its source: `benches/peers/opa`.

use serde_json::Value as Json;
use tamis_core::{Chunk, Request};
use wasmtime::{
    Caller, Engine, Error, Instance, Linker, Memory, MemoryType, Module, Store, TypedFunc, WasmParams,
};

use crate::rego;

const MODULE: &[u8] = include_bytes!("../peers/opa/policy.wasm");
/// Pages of memory: enough for a thousand chunks in one input, and what the module makes of them.
const PAGES: u32 = 256;
/// Results as JSON.
const JSON: i32 = 0;

/// `opa_eval`: reserved, entry point, data, input, its length, heap, form of the result.
type Evaluate = TypedFunc<(i32, i32, i32, i32, i32, i32, i32), i32>;

/// An instance of the module, and the texts of all inputs.
pub struct Opa {
    store: Store<()>,
    memory: Memory,
    evaluate: Evaluate,
    allow: i32,
    allowed: i32,
    data: i32,
    heap: i32,
    inputs: Vec<String>,
}

impl std::fmt::Debug for Opa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opa").field("inputs", &self.inputs.len()).finish_non_exhaustive()
    }
}

impl Opa {
    /// Everything built that can be built before the first decision: one text for each chunk.
    pub fn new(request: &Request, chunks: &[Chunk]) -> Self {
        let engine = Engine::default();
        let module = Module::new(&engine, MODULE).unwrap();
        let mut store = Store::new(&engine, ());
        let memory = Memory::new(&mut store, MemoryType::new(PAGES, None)).unwrap();
        let instance = link(&mut store, memory).instantiate(&mut store, &module).unwrap();
        let names = dump(&mut store, &instance, memory, "entrypoints");
        let entry = |name: &str| i32::try_from(names[name].as_i64().unwrap()).unwrap();
        assert_eq!(dump(&mut store, &instance, memory, "builtins"), serde_json::json!({}));
        let data = parse(&mut store, &instance, memory, "{}");
        let heap = call::<()>(&mut store, &instance, "opa_heap_ptr_get", ());
        let subject = rego::subject(request);
        Self {
            evaluate: instance.get_typed_func(&mut store, "opa_eval").unwrap(),
            allow: entry("tamis/allow"),
            allowed: entry("tamis/allowed"),
            store,
            memory,
            data,
            heap,
            inputs: chunks.iter().map(|chunk| rego::question(&subject, chunk).to_string()).collect(),
        }
    }

    /// The decision on the chunk with this number: its text in, a text out.
    pub fn allows(&mut self, chunk: usize) -> bool {
        let input = std::mem::take(&mut self.inputs[chunk]);
        let allows = self.evaluate(self.allow, &input) == br#"[{"result":true}]"#;
        self.inputs[chunk] = input;
        allows
    }

    /// How many of the chunks in `input` may be read, in one evaluation.
    pub fn count(&mut self, input: &str) -> usize {
        let result: Json = serde_json::from_slice(self.evaluate(self.allowed, input)).unwrap();
        result[0]["result"].as_array().unwrap().len()
    }

    fn evaluate(&mut self, entry: i32, input: &str) -> &[u8] {
        // The input lies where the heap begins, and the heap behind it, at a multiple of eight.
        let length = i32::try_from(input.len()).unwrap();
        self.memory.write(&mut self.store, offset(self.heap), input.as_bytes()).unwrap();
        let heap = (self.heap + length + 7) & !7;
        let arguments = (0, entry, self.data, self.heap, length, heap, JSON);
        let result = self.evaluate.call(&mut self.store, arguments).unwrap();
        text(self.memory.data(&self.store), result)
    }
}

fn link(store: &mut Store<()>, memory: Memory) -> Linker<()> {
    let mut linker = Linker::new(store.engine());
    linker.define(&mut *store, "env", "memory", memory).unwrap();
    let abort = move |caller: Caller<'_, ()>, at: i32| -> Result<(), Error> {
        let text = String::from_utf8_lossy(text(memory.data(&caller), at)).into_owned();
        Err(Error::msg(text))
    };
    linker.func_wrap("env", "opa_abort", abort).unwrap();
    linker.func_wrap("env", "opa_println", |_: i32| {}).unwrap();
    // The rules need no function of the host: see the assertion above.
    linker.func_wrap("env", "opa_builtin0", |_: i32, _: i32| 0).unwrap();
    linker.func_wrap("env", "opa_builtin1", |_: i32, _: i32, _: i32| 0).unwrap();
    linker.func_wrap("env", "opa_builtin2", |_: i32, _: i32, _: i32, _: i32| 0).unwrap();
    linker.func_wrap("env", "opa_builtin3", |_: i32, _: i32, _: i32, _: i32, _: i32| 0).unwrap();
    linker.func_wrap("env", "opa_builtin4", |_: i32, _: i32, _: i32, _: i32, _: i32, _: i32| 0).unwrap();
    linker
}

/// A value that a function without arguments gives.
fn dump(store: &mut Store<()>, instance: &Instance, memory: Memory, name: &str) -> Json {
    let value = call(store, instance, name, ());
    let at = call(store, instance, "opa_json_dump", value);
    serde_json::from_slice(text(memory.data(&*store), at)).unwrap()
}

/// Puts a value into the module's memory.
fn parse(store: &mut Store<()>, instance: &Instance, memory: Memory, json: &str) -> i32 {
    let length = i32::try_from(json.len()).unwrap();
    let at = call(store, instance, "opa_malloc", length);
    memory.write(&mut *store, offset(at), json.as_bytes()).unwrap();
    call(store, instance, "opa_json_parse", (at, length))
}

fn call<Arguments: WasmParams>(
    store: &mut Store<()>,
    instance: &Instance,
    name: &str,
    arguments: Arguments,
) -> i32 {
    let function: TypedFunc<Arguments, i32> = instance.get_typed_func(&mut *store, name).unwrap();
    function.call(store, arguments).unwrap()
}

/// A text that ends with a zero.
fn text(memory: &[u8], at: i32) -> &[u8] {
    let text = &memory[offset(at)..];
    &text[..text.iter().position(|byte| *byte == 0).unwrap()]
}

fn offset(address: i32) -> usize {
    usize::try_from(address).unwrap()
}
