//! What a module without the standard library must do itself besides allocating: find its program, keep its state, and stop.

#![allow(unsafe_code, reason = "the program lies where the compiler put it; a policy has one thread")]

use core::cell::{OnceCell, UnsafeCell};
use core::sync::atomic::{AtomicU32, Ordering};

use bumpalo::Bump;

use crate::batch::Batch;
use crate::program::damaged;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    damaged()
}

/// Address and size of the program. The compiler finds this by its name and writes both numbers here.
#[used]
#[unsafe(no_mangle)]
pub(super) static TAMIS_PROGRAM: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

/// Address and size of the program, behind which the memory that the module has from the start is free; zeros in a module that the
/// compiler has not seen.
pub(super) fn place() -> (usize, usize) {
    let [address, size] = &TAMIS_PROGRAM;
    (address.load(Ordering::Relaxed) as usize, size.load(Ordering::Relaxed) as usize)
}

/// The program's bytes; none in a module that the compiler has not seen.
pub(super) fn program() -> &'static [u8] {
    let (address, size) = place();
    if address == 0 {
        return &[];
    }
    // SAFETY: the compiler wrote a data segment of this size at this address, beyond all that this module allocates
    // statically and within the memory that it has from the start, of which the allocator uses only what lies behind. Nothing writes
    // there.
    unsafe { core::slice::from_raw_parts(address as *const u8, size) }
}

/// What only one thread ever uses.
pub(super) struct OneThread<T>(pub(super) T);

// SAFETY: the host's engine has threads switched off, so nothing is ever shared.
unsafe impl<T> Sync for OneThread<T> {}

/// The batch of this instance, made at the first call, and the arena that lasts as long.
pub(super) fn batch(
    make: fn(&'static Bump) -> Batch<'static>,
) -> (&'static Bump, &'static mut Batch<'static>) {
    static ARENA: OneThread<OnceCell<Bump>> = OneThread(OnceCell::new());
    static BATCH: OneThread<UnsafeCell<Option<Batch<'static>>>> = OneThread(UnsafeCell::new(None));
    let arena = ARENA.0.get_or_init(Bump::new);
    // SAFETY: there is one thread, and the exported functions, none of which calls another, ask for this once each.
    let batch = unsafe { &mut *BATCH.0.get() };
    (arena, batch.get_or_insert_with(|| make(arena)))
}
