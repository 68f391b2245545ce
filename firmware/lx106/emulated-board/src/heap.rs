//! The heap, for Rust and for lwIP's C. It fails when it is told to, see [`faults`].

use core::{ffi::c_void, ptr};

use espbroker_lx106_runtime::heap::{Figures, SizedHeap};

use crate::faults;

unsafe extern "C" {
    static mut lx106_heap_start: u8;
    static mut lx106_heap_end: u8;
}

#[global_allocator]
static HEAP: SizedHeap = SizedHeap::new(faults::allocation_fails);

/// Sets the heap up, of so many bytes or of as many as there are. Nothing may be allocated before.
pub(crate) fn set_up(size: usize) {
    let start = &raw mut lx106_heap_start;
    let there = (&raw const lx106_heap_end).addr() - start.addr();
    // SAFETY: the link script gives this range to nothing else; it is done once, before anything is allocated.
    unsafe { HEAP.set_up(start, size.min(there)) };
}

/// The figures now.
pub(crate) fn figures() -> Figures {
    HEAP.figures()
}

/// C's `malloc`.
#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    HEAP.take(size).cast()
}

/// C's `calloc`.
#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(size) = count.checked_mul(size) else { return ptr::null_mut() };
    let pointer = HEAP.take(size);
    if !pointer.is_null() {
        // SAFETY: the block is that long.
        unsafe { pointer.write_bytes(0, size) };
    }
    pointer.cast()
}

/// C's `free`.
///
/// # Safety
///
/// As C has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(pointer: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe { HEAP.give(pointer.cast()) };
}
