//! What a module without the standard library must do itself besides allocating: find its program, keep its state, and stop.

#![allow(unsafe_code, reason = "the program lies where the compiler put it; a policy has one thread")]

use core::cell::UnsafeCell;
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

/// The program's bytes; none in a module that the compiler has not seen.
pub(super) fn program() -> &'static [u8] {
    let [address, size] = &TAMIS_PROGRAM;
    let (address, size) = (address.load(Ordering::Relaxed), size.load(Ordering::Relaxed));
    if address == 0 {
        return &[];
    }
    // SAFETY: the compiler wrote a data segment of this size at this address, beyond all that this module allocates
    // statically and within the memory that it has from the start, which the allocator never uses. Nothing writes there.
    unsafe { core::slice::from_raw_parts(address as *const u8, size as usize) }
}

/// What only one thread ever uses.
pub(super) struct OneThread<T>(pub(super) T);

// SAFETY: the host's engine has threads switched off, so nothing is ever shared.
unsafe impl<T> Sync for OneThread<T> {}

/// What lasts as long as the instance: an arena, and what was prepared.
struct Lasting {
    arena: Bump,
    batch: Option<Batch<'static>>,
}

static LASTING: OneThread<UnsafeCell<Option<Lasting>>> = OneThread(UnsafeCell::new(None));

/// The batch of this instance, made at the first call, and the arena that lasts as long.
pub(super) fn batch(
    make: fn(&'static Bump) -> Batch<'static>,
) -> (&'static Bump, &'static mut Batch<'static>) {
    // SAFETY: there is one thread, and the exported functions, none of which calls another, ask for this once each. What is in the
    // static is never replaced once it is there, so the arena is never moved or freed.
    unsafe {
        let lasting = (*LASTING.0.get()).get_or_insert_with(|| Lasting { arena: Bump::new(), batch: None });
        let arena: &'static Bump = &*core::ptr::from_ref(&lasting.arena);
        (arena, lasting.batch.get_or_insert_with(|| make(arena)))
    }
}
