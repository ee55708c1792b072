//! What a policy may use up, and the bookkeeping of one store.

use std::time::{Duration, Instant};

use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Store, Trap, UpdateDeadline};

use crate::engine::Runtime;
use crate::error::{Error, excerpt};

/// A policy component consists of the policy's module and a few small adapters. Those of the Rust SDK have four.
pub(crate) const MAX_CORE_INSTANCES: u32 = 8;
/// The policy's module has one for indirect calls, and its adapters share one.
pub(crate) const MAX_TABLES: u32 = 4;
/// The policy's module has the only one.
pub(crate) const MAX_MEMORIES: u32 = 1;
/// Rust puts every function whose address is taken into its table; large policies have some thousands.
const MAX_TABLE_ELEMENTS: usize = 20_000;

/// All answers of one gate call together may occupy so many times what one may.
const MAX_ANSWERS: usize = 16;
/// What an answer about one chunk may occupy without being counted among those: a few rules that decided. However many chunks the
/// caller brings, it brought them.
const SMALL_ANSWER: usize = 1 << 10;

/// What a policy may use up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time for one gate call: all chunks of a batch, or one rewrite, instantiation included. The check
    /// happens every few milliseconds, so a call may run over by that much. Default 500 ms: a batch of a thousand
    /// chunks takes a few milliseconds.
    pub deadline: Duration,
    /// Instructions for one gate call, counted by wasmtime's fuel; needs a runtime with fuel. Default none: counting
    /// slows a policy by a quarter or so, and the deadline already bounds it.
    pub fuel: Option<u64>,
    /// Linear memory of one instance in bytes, at most 64 MiB but [in process](crate::Runtime::in_process). Default 16 MiB: policies need
    /// one or two pages of 64 KiB beyond the request.
    pub memory: usize,
    /// Bytes that one answer may occupy in the host, and 16 times as many all answers of one gate call together, of which a kilobyte
    /// about each chunk does not count. Default 4 MiB: a filter of 100 000 group names.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(500), fuel: None, memory: 16 << 20, output: 4 << 20 }
    }
}

/// The state of one store: what it may use, and which limit it met.
pub(crate) struct StoreState {
    limits: Limits,
    deadline: Instant,
    /// For each gate call, if the engine counts instructions: a store without any would run none.
    fuel: Option<u64>,
    /// Bytes of linear memory in all instances of the component.
    memory: usize,
    /// Bytes of the answers that the gate call keeps.
    answers: usize,
    met: Option<String>,
    /// Whether nothing ran since the clock was started.
    fresh: bool,
}

impl StoreState {
    /// A store in which every gate call is bounded by `limits`.
    pub(crate) fn store(runtime: &Runtime, limits: &Limits) -> Result<Store<StoreState>, Error> {
        let state = StoreState {
            limits: limits.clone(),
            deadline: after(limits.deadline),
            fuel: runtime.has_fuel().then(|| limits.fuel.unwrap_or(u64::MAX)),
            memory: 0,
            answers: 0,
            met: None,
            fresh: false,
        };
        let mut store = Store::new(runtime.engine(), state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits.output);
        let interrupted = runtime.interrupted();
        store.epoch_deadline_callback(move |context| {
            let stop = Instant::now() >= context.data().deadline || interrupted.is_some_and(|asked| asked());
            Ok(if stop { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
        begin(&mut store)?;
        Ok(store)
    }
}

/// So much later. What no clock will ever show is as good as a century.
fn after(duration: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    let now = Instant::now();
    now.checked_add(duration).or_else(|| now.checked_add(CENTURY)).unwrap_or(now)
}

/// Starts the clock of a gate call.
pub(crate) fn begin(store: &mut Store<StoreState>) -> Result<(), Error> {
    let state = store.data_mut();
    state.met = None;
    state.answers = 0;
    if state.limits.deadline.is_zero() {
        return Err(late(&state.limits));
    }
    state.deadline = after(state.limits.deadline);
    state.fresh = true;
    let fuel = state.fuel;
    store.set_epoch_deadline(1);
    fuel.map_or(Ok(()), |fuel| store.set_fuel(fuel))
        .map_err(|error| Error::Host(format!("cannot limit the fuel: {error:#}")))
}

/// What is left to a gate call: time, fuel, and room for its answers.
pub(crate) struct Left {
    deadline: Instant,
    fuel: Option<u64>,
    answers: usize,
}

/// What is left to the gate call that runs in this store.
pub(crate) fn left(store: &Store<StoreState>) -> Left {
    let state = store.data();
    let fuel = state.fuel.and_then(|_| store.get_fuel().ok());
    Left { deadline: state.deadline, fuel, answers: state.answers }
}

/// Goes on with a gate call that began in another store.
pub(crate) fn go_on(left: &Left, store: &mut Store<StoreState>) -> Result<(), Error> {
    let state = store.data_mut();
    (state.deadline, state.answers, state.fresh) = (left.deadline, left.answers, false);
    check_deadline(store)?;
    left.fuel
        .map_or(Ok(()), |fuel| store.set_fuel(fuel))
        .map_err(|error| Error::Host(format!("cannot limit the fuel: {error:#}")))
}

/// Instructions that ran in the store since the gate call began; `None` if the engine counts none.
pub(crate) fn instructions(store: &Store<StoreState>) -> Option<u64> {
    let granted = store.data().fuel?;
    Some(granted.saturating_sub(store.get_fuel().ok()?))
}

/// Whether the gate call has used up its time, checked between guest calls.
pub(crate) fn check_deadline(store: &mut Store<StoreState>) -> Result<(), Error> {
    let state = store.data_mut();
    if std::mem::take(&mut state.fresh) {
        return Ok(());
    }
    if Instant::now() >= state.deadline { Err(late(&state.limits)) } else { Ok(()) }
}

/// Counts an answer about one chunk, of so many bytes, that the gate call keeps.
pub(crate) fn keep_answer(store: &mut Store<StoreState>, bytes: usize) -> Result<(), Error> {
    let state = store.data_mut();
    state.answers = state.answers.saturating_add(bytes.saturating_sub(SMALL_ANSWER));
    let most = state.limits.output.saturating_mul(MAX_ANSWERS);
    if state.answers > most {
        return Err(Error::Limit(format!("its answers are larger than {most} bytes")));
    }
    Ok(())
}

/// Says whose fault a failed guest call is.
pub(crate) fn blame(store: &Store<StoreState>, error: &wasmtime::Error) -> Error {
    let state = store.data();
    if let Some(limit) = &state.met {
        return Error::Limit(limit.clone());
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Error::Host(format!("too many policy calls at once: {error}"));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) if Instant::now() < state.deadline => {
            Error::Host("the call was interrupted".to_owned())
        }
        Some(Trap::Interrupt) => late(&state.limits),
        Some(Trap::OutOfFuel) => {
            let fuel = state.limits.fuel.unwrap_or_default();
            Error::Limit(format!("it used up its fuel of {fuel} instructions"))
        }
        Some(Trap::StackOverflow) => Error::Limit("it recursed too deep".to_owned()),
        Some(trap) => Error::Trap(trap.to_string()),
        None => blame_text(state, &format!("{error:#}")),
    }
}

/// wasmtime has no types for these errors; tests pin the texts.
fn blame_text(state: &StoreState, text: &str) -> Error {
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        return Error::Limit(format!("its answer is larger than {} bytes", state.limits.output));
    }
    if text.contains("resource limit exceeded") {
        return Error::Limit(excerpt(text));
    }
    Error::Contract(excerpt(text))
}

fn late(limits: &Limits) -> Error {
    Error::Limit(format!("it took longer than {} ms", limits.deadline.as_millis()))
}

impl ResourceLimiter for StoreState {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current));
        let granted = memory <= self.limits.memory;
        if granted {
            self.memory = memory;
        } else {
            self.met = Some(format!("it wanted more than {} bytes of memory", self.limits.memory));
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= MAX_TABLE_ELEMENTS;
        if !granted {
            self.met = Some(format!("it wanted a table of more than {MAX_TABLE_ELEMENTS} elements"));
        }
        Ok(granted)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_checked_between_guest_calls() {
        for (deadline, in_time) in [(Duration::from_secs(3600), true), (Duration::ZERO, false)] {
            let limits = Limits { deadline, ..Limits::default() };
            let store = StoreState::store(&Runtime::shared().unwrap(), &limits);
            let result = store.and_then(|mut store| {
                begin(&mut store)?;
                // The first check after the beginning looks at no clock.
                check_deadline(&mut store)?;
                check_deadline(&mut store)
            });
            assert_eq!(result.is_ok(), in_time, "{deadline:?}: {result:?}");
        }
    }

    #[test]
    fn time_that_passed_since_the_last_guest_call_counts() {
        let limits = Limits { deadline: Duration::from_millis(1), ..Limits::default() };
        let mut store = StoreState::store(&Runtime::shared().unwrap(), &limits).unwrap();
        begin(&mut store).unwrap();
        check_deadline(&mut store).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(check_deadline(&mut store).is_err());
    }
}
