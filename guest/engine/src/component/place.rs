//! What a module without the standard library must do itself: find its program, keep its state, allocate, and stop.

#![allow(unsafe_code, reason = "the program lies where the compiler put it; a policy has one thread")]

use alloc::boxed::Box;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};

use bumpalo::Bump;

use crate::batch::Batch;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    super::abort()
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

struct OneThread<T>(RefCell<T>);

// SAFETY: the host's engine has threads switched off, so nothing is ever shared.
unsafe impl<T> Sync for OneThread<T> {}

/// Lets `act` at what was prepared in this instance, and at the arena that lasts as long.
pub(super) fn with_batch<R>(act: impl FnOnce(&'static Bump, &mut Option<Batch<'static>>) -> R) -> R {
    static BATCH: OneThread<Option<Batch<'static>>> = OneThread(RefCell::new(None));
    static ARENA: OneThread<Option<&'static Bump>> = OneThread(RefCell::new(None));
    match (BATCH.0.try_borrow_mut(), ARENA.0.try_borrow_mut()) {
        (Ok(mut batch), Ok(mut arena)) => {
            let arena = arena.get_or_insert_with(|| Box::leak(Box::new(Bump::new())));
            act(arena, &mut batch)
        }
        _ => super::abort(),
    }
}
