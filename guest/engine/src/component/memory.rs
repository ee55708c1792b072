//! Memory: what is freed is kept by size and given out again. Sizes are powers of two, so a block fits whatever is of its size.
//!
//! It takes a few hundred bytes of every compiled policy; an allocator that also joins free blocks takes six thousand. What that would
//! save does not matter: an instance lives for one request, asks for few sizes, and gives back what it no longer needs.

#![allow(unsafe_code, reason = "this is the allocator; a policy has one thread")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::{Cell, UnsafeCell};
use core::ptr::null_mut;

use bumpalo::Bump;

use super::place::{OneThread, place};
use crate::program::damaged;

/// Bytes in a page of memory.
const PAGE: usize = 65_536;
/// The smallest block, and what all are aligned to: as strict as any type of this target.
const SMALLEST: usize = 16;

struct Blocks {
    /// Free blocks of each power of two: the first of each points to the next.
    free: [*mut u8; 32],
    /// Memory that was never given out.
    fresh: usize,
    /// Where that ends.
    end: usize,
}

#[global_allocator]
static BLOCKS: OneThread<UnsafeCell<Blocks>> =
    OneThread(UnsafeCell::new(Blocks { free: [null_mut(); 32], fresh: 0, end: 0 }));

/// Which power of two a block for `size` bytes has.
fn power(size: usize) -> u32 {
    usize::BITS - (size.max(SMALLEST) - 1).leading_zeros()
}

impl Blocks {
    /// A block of 2 to the power of `power` bytes, never used. Without memory for it the call ends.
    fn carve(&mut self, power: u32) -> usize {
        let size = 1_usize.checked_shl(power).unwrap_or_else(|| damaged());
        if self.end == 0 {
            let (address, size) = place();
            // A module that the compiler has not seen has no memory to begin with.
            if address != 0 {
                (self.fresh, self.end) =
                    ((address + size).next_multiple_of(SMALLEST), memory_size::<0>() * PAGE);
            }
        }
        if self.end - self.fresh < size {
            let pages = size.div_ceil(PAGE);
            let before = memory_grow::<0>(pages);
            if before == usize::MAX {
                damaged();
            }
            if before * PAGE != self.end {
                self.fresh = before * PAGE;
            }
            self.end = memory_size::<0>() * PAGE;
        }
        let block = self.fresh;
        self.fresh += size;
        block
    }
}

// SAFETY: a block has at least the size that was asked for and the alignment of everything; it is in `free` or given out, never both.
unsafe impl GlobalAlloc for OneThread<UnsafeCell<Blocks>> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: there is one thread, and nothing here calls anything that allocates.
        let blocks = unsafe { &mut *self.0.get() };
        let power = power(layout.size());
        match blocks.free.get_mut(power as usize) {
            Some(first) if !first.is_null() => {
                let block = *first;
                // SAFETY: a free block begins with the address of the next one.
                *first = unsafe { block.cast::<*mut u8>().read() };
                block
            }
            _ => blocks.carve(power) as *mut u8,
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        let blocks = unsafe { &mut *self.0.get() };
        if let Some(first) = blocks.free.get_mut(power(layout.size()) as usize) {
            // SAFETY: the block is no longer in use, aligned, and large enough for an address.
            unsafe { block.cast::<*mut u8>().write(*first) };
            *first = block;
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if power(layout.size()) == power(size) {
            return block;
        }
        // SAFETY: a layout of more bytes is as valid as the caller's, and both blocks have room for what is copied.
        unsafe {
            let larger = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            larger.copy_from_nonoverlapping(block, layout.size().min(size));
            self.dealloc(block, layout);
            larger
        }
    }
}

/// What lasts for one call: what the host passes, what is answered, and all between. One arena, emptied when the next call begins.
static ARENA: OneThread<UnsafeCell<Option<Bump>>> = OneThread(UnsafeCell::new(None));
/// Whether the current call has its answer.
static ANSWERED: OneThread<Cell<bool>> = OneThread(Cell::new(false));

/// The arena of the current call.
///
/// References into it last until [`answer`]: no longer than the function that is exported. Without a call, one begins.
pub(super) fn call() -> &'static Bump {
    if ANSWERED.0.replace(false) {
        // SAFETY: there is one thread. The host has read the answer before it calls again, so nothing refers to the arena.
        if let Some(arena) = unsafe { &mut *ARENA.0.get() } {
            arena.reset();
        }
    }
    // SAFETY: there is one thread, and until the call is answered the arena is only shared.
    match unsafe { &*ARENA.0.get() } {
        Some(arena) => arena,
        // SAFETY: there is no arena that anything could refer to.
        None => unsafe { &mut *ARENA.0.get() }.insert(Bump::new()),
    }
}

/// Ends the call with an answer, which the host reads before it calls again.
pub(super) fn answer<T: Copy>(answer: T) -> *const T {
    let place = call().alloc(answer);
    ANSWERED.0.set(true);
    place
}

/// Makes room for what the host is about to pass. It frees nothing, so an old block may stay as it is until the call ends.
#[unsafe(no_mangle)]
extern "C" fn cabi_realloc(block: *const u8, size: usize, align: usize, wanted: usize) -> *mut u8 {
    let Ok(layout) = Layout::from_size_align(wanted, align) else { damaged() };
    let room = call().alloc_layout(layout).as_ptr();
    // SAFETY: the host passes a block of `size` bytes, or none, and both have room for what is copied.
    unsafe { room.copy_from_nonoverlapping(block, size.min(wanted)) };
    room
}
