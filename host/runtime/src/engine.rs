//! The engine that all policies of a process share, and the clock that interrupts them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures};

use crate::cache::Cache;
use crate::error::Error;
use crate::functions::Functions;
use crate::limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES};

/// How often a running policy looks at the clock. A deadline is kept to within this; 250 wake-ups a second cost a
/// process nothing that can be measured.
const TICK: Duration = Duration::from_millis(4);

/// Stack for one guest call. Policies recurse over the nesting of values, which the host limits; a quarter of
/// wasmtime's default leaves room in threads with small stacks.
const GUEST_STACK: usize = 256 << 10;

/// Instances that may be alive at once: one per session. A slot has room for the largest policy that the limits allow, so that
/// no policy takes the room of another. Slots reserve address space (some 4 GiB each, for accesses that need no bounds check),
/// not memory.
const POOL_SLOTS: u32 = 256;
/// What one memory can grow to at most, whatever a policy's limits.
const POOL_MEMORY: usize = 64 << 20;
/// Memory of a freed slot that is cleared in place and stays resident. Compiled policies have this much from the start; what is more
/// goes back to the system, which costs page faults later and interrupts every other thread of the process now. (To clear just what was
/// touched, wasmtime would ask the system through a file that after a fork still tells of the parent's memory.)
const POOL_KEEP_RESIDENT: usize = 192 << 10;

/// Where nothing is reserved, a memory that grows is copied unless there is room behind it: so much.
const MODEST_GROWTH: u64 = 1 << 20;

static SHARED: OnceLock<Result<Runtime, Error>> = OnceLock::new();

/// How a [`Runtime`] is set up.
#[derive(Clone, Debug, Default)]
pub struct RuntimeConfig {
    /// Whether policies can be given fuel. Compiled code then counts instructions.
    pub fuel: bool,
    /// Where compiled policies are kept between runs. Without it a process compiles each policy that it loads.
    pub cache: Option<Cache>,
}

/// How to live in a process that belongs to someone else, such as the backend of a database server: no thread is started, no
/// signal handler is set, no address space is reserved beyond what a policy uses, and every access of a policy's memory is checked
/// by its own code.
///
/// As there is no thread, there is no clock but what the process has: it calls [`Runtime::tick`], such as from a timer of its own.
/// Until it does, a running policy looks neither at its deadline nor at `interrupted`.
#[derive(Clone, Copy, Debug)]
pub struct InProcess {
    /// Whether a running policy should stop because someone wants the process to do something else. Asked at every tick, with the
    /// policy's frames on the stack: it must only look, and neither unwind nor jump.
    pub interrupted: fn() -> bool,
}

/// What all policies of a process share: the engine, the clock, the cache. Cloning shares it.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    fuel: bool,
    cache: Option<Arc<Cache>>,
    interrupted: Option<fn() -> bool>,
    ticker: Option<Arc<Ticker>>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("fuel", &self.fuel)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Sets up an engine and its clock thread. One is enough for a process: see [`Runtime::shared`].
    ///
    /// # Errors
    /// [`Error::Host`] if this machine cannot run WebAssembly or start a thread.
    pub fn new(config: RuntimeConfig) -> Result<Self, Error> {
        let mut engine_config = engine_config(config.fuel)?;
        engine_config.allocation_strategy(pool());
        let engine = Engine::new(&engine_config).or_else(|error| {
            tracing::warn!(%error, "no room for an instance pool; instances are allocated one by one");
            engine_config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            Engine::new(&engine_config).map_err(no_engine)
        })?;
        let ticker = Ticker::start(&engine)?;
        let cache = config.cache.map(Arc::new);
        Ok(Self { engine, fuel: config.fuel, cache, interrupted: None, ticker: Some(Arc::new(ticker)) })
    }

    /// Sets up an engine for a process that belongs to someone else.
    ///
    /// # Errors
    /// [`Error::Host`] if this machine cannot run WebAssembly.
    pub fn in_process(config: RuntimeConfig, process: InProcess) -> Result<Self, Error> {
        let mut engine_config = engine_config(config.fuel)?;
        live_modestly(&mut engine_config);
        let engine = Engine::new(&engine_config).map_err(no_engine)?;
        let cache = config.cache.map(Arc::new);
        Ok(Self { engine, fuel: config.fuel, cache, interrupted: Some(process.interrupted), ticker: None })
    }

    /// Makes running policies look at the clock and whether they are interrupted. For processes of others, which have no thread
    /// that does: see [`InProcess`]. All that happens is that a number is counted up atomically, so signal handlers may call it.
    pub fn tick(&self) {
        self.engine.increment_epoch();
    }

    /// Starts the clock of [`Runtime::shared`] again, if that was set up: for a process that was forked. Threads are not, and without
    /// a clock no policy meets its deadline.
    ///
    /// # Errors
    /// [`Error::Host`] if no thread can be started.
    pub fn restart_clock() -> Result<(), Error> {
        match SHARED.get() {
            Some(Ok(Self { engine, ticker: Some(ticker), .. })) => ticker.run(engine),
            _ => Ok(()),
        }
    }

    /// The process-wide runtime: no fuel, no cache. Set up at the first call.
    ///
    /// # Errors
    /// As [`Runtime::new`], the same at every call.
    pub fn shared() -> Result<Self, Error> {
        SHARED.get_or_init(|| Runtime::new(RuntimeConfig::default())).clone()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref()
    }

    pub(crate) fn has_fuel(&self) -> bool {
        self.fuel
    }

    /// What the memory of a policy can grow to at most, whatever its limits.
    pub(crate) fn most_memory(&self) -> usize {
        // Nothing is reserved in somebody else's process.
        if self.interrupted.is_some() { usize::MAX } else { POOL_MEMORY }
    }

    /// Whether a running policy should stop for another reason than its deadline.
    pub(crate) fn interrupted(&self) -> Option<fn() -> bool> {
        self.interrupted
    }
}

fn no_engine(error: wasmtime::Error) -> Error {
    Error::Host(format!("cannot set up the WebAssembly engine: {error:#}"))
}

fn engine_config(fuel: bool) -> Result<Config, Error> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.consume_fuel(fuel);
    config.max_wasm_stack(GUEST_STACK);
    // A policy is a pure function: what could make two runs differ, or is of no use to it, is off.
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config.wasm_features(WasmFeatures::MEMORY64 | WasmFeatures::MULTI_MEMORY, false);
    config.wasm_backtrace_max_frames(None);
    config.enable_incremental_compilation(Arc::new(Functions::default())).map_err(no_engine)?;
    Ok(config)
}

/// What [`InProcess`] promises.
fn live_modestly(config: &mut Config) {
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config.signals_based_traps(false);
    config.memory_reservation(0);
    config.memory_guard_size(0);
    config.memory_reservation_for_growth(MODEST_GROWTH);
}

fn pool() -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(POOL_SLOTS);
    pool.total_core_instances(POOL_SLOTS * MAX_CORE_INSTANCES);
    pool.total_memories(POOL_SLOTS * MAX_MEMORIES);
    pool.total_tables(POOL_SLOTS * MAX_TABLES);
    pool.max_memory_size(POOL_MEMORY);
    pool.linear_memory_keep_resident(POOL_KEEP_RESIDENT);
    pool.table_keep_resident(POOL_KEEP_RESIDENT);
    InstanceAllocationStrategy::Pooling(pool)
}

/// A thread that advances the engine's epoch once per [`TICK`]. When it wakes late it ticks once, not once per tick
/// missed: policies measure time by the clock and use ticks only as occasions to look at it.
struct Ticker {
    stop: Arc<AtomicBool>,
}

impl Ticker {
    fn start(engine: &Engine) -> Result<Self, Error> {
        let ticker = Self { stop: Arc::new(AtomicBool::new(false)) };
        ticker.run(engine)?;
        Ok(ticker)
    }

    fn run(&self, engine: &Engine) -> Result<(), Error> {
        let stopped = Arc::clone(&self.stop);
        let engine = engine.weak();
        std::thread::Builder::new()
            .name("tamis-clock".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    let Some(engine) = engine.upgrade() else {
                        return;
                    };
                    engine.increment_epoch();
                }
            })
            .map_err(|error| Error::Host(format!("cannot start the clock thread: {error}")))?;
        Ok(())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
