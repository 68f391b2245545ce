//! The chip's heap: every block that the broker takes is counted as the SDK's allocator would, from a budget that a
//! floor bounds.
//!
//! Counted are blocks taken while [`count`] runs, until they are given back by whomever, for each thread on its own:
//! a test has one broker and one thread.
#![expect(unsafe_code, reason = "an allocator hands out raw memory; the rest of the workspace has none")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr::null_mut,
};

/// Bytes of heap that the broker and the network share on an ESP8266 with Wi-Fi up.
pub(crate) const BUDGET: usize = 45_000;
/// Bytes of them that are to stay free.
pub(crate) const FLOOR: u32 = 10_000;

/// The SDK's allocator puts so many bytes before each block,
const CHIP_HEADER: usize = 16;
/// and rounds its length up to a multiple of this.
const CHIP_ALIGNMENT: usize = 8;

/// Least length of what is put before each block, whose last byte is 1 if the block is counted.
const HEADER: usize = 16;

struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

/// Counts the blocks that `work` takes.
pub(crate) fn count(work: &mut dyn FnMut()) {
    let before = COUNTING.replace(true);
    work();
    COUNTING.set(before);
}

/// Bytes that the broker holds.
pub(crate) fn held() -> usize {
    HELD.get()
}

/// The fewest bytes of the budget that were free since this was last asked.
pub(crate) fn lowest() -> usize {
    BUDGET.saturating_sub(MOST.replace(HELD.get()))
}

/// Bytes of the budget that are free.
pub(crate) fn free() -> u32 {
    u32::try_from(BUDGET.saturating_sub(held())).unwrap_or(u32::MAX)
}

const fn chip_length(layout: Layout) -> usize {
    CHIP_HEADER + layout.size().next_multiple_of(CHIP_ALIGNMENT)
}

/// The layout with a header, and the header's length.
fn whole(layout: Layout) -> Option<(Layout, usize)> {
    let header = layout.align().max(HEADER);
    let size = layout.size().checked_add(header)?;
    Layout::from_size_align(size, header).ok().map(|whole| (whole, header))
}

// SAFETY: every block is one of the system's, longer by a header whose length is a multiple of the block's alignment, and
// is given back to the system with the layout that it was taken with.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((whole, header)) = whole(layout) else { return null_mut() };
        // SAFETY: the layout is not empty, it has a header.
        let block = unsafe { System.alloc(whole) };
        if block.is_null() {
            return block;
        }
        let counted = COUNTING.get();
        if counted {
            HELD.set(HELD.get() + chip_length(layout));
            MOST.set(MOST.get().max(HELD.get()));
        }
        // SAFETY: the header is the block's own.
        unsafe {
            block.add(header - 1).write(u8::from(counted));
            block.add(header)
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let Some((whole, header)) = whole(layout) else { return };
        // SAFETY: `pointer` came from `alloc` with the same layout, so a header is before it.
        unsafe {
            if pointer.sub(1).read() == 1 {
                HELD.set(HELD.get().saturating_sub(chip_length(layout)));
            }
            System.dealloc(pointer.sub(header), whole);
        }
    }
}
