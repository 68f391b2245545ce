//! The heap: what the vendor's SDK leaves to a program, with its overhead.

use espbroker_lx106_runtime::heap::SizedHeap;

unsafe extern "C" {
    static mut board_heap_start: u8;
    static board_heap_size: u8;
}

#[global_allocator]
static HEAP: SizedHeap = SizedHeap::new(|| false);

/// Gives the heap its memory; once, before anything is allocated.
pub(crate) fn set_up() {
    // SAFETY: the link script gives this range to nothing else, and start-up calls this first, once. The size is a
    // symbol's value.
    unsafe { HEAP.set_up(&raw mut board_heap_start, (&raw const board_heap_size).addr()) };
}

/// Bytes free now, and the fewest that ever were.
pub(crate) fn figures() -> (u32, u32) {
    let figures = HEAP.figures();
    let bytes = |count| u32::try_from(count).unwrap_or(u32::MAX);
    (bytes(figures.free), bytes(figures.lowest))
}
