//! The heap: the SDK's, which lwIP and the radio use too.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    ptr,
};

use crate::bindings::{pvPortMalloc, system_get_free_heap_size, vPortFree};

/// Every allocation's alignment.
const ALIGNMENT: usize = 8;

struct SdkHeap {
    lowest: Cell<u32>,
}

// SAFETY: one task, and no interrupt handler reaches here.
unsafe impl Sync for SdkHeap {}

#[global_allocator]
static HEAP: SdkHeap = SdkHeap { lowest: Cell::new(u32::MAX) };

/// Bytes free now, and the fewest that were seen. Others allocate too: what was lower for a moment is not seen.
pub(crate) fn figures() -> (u32, u32) {
    let free = system_get_free_heap_size();
    HEAP.lowest.set(HEAP.lowest.get().min(free));
    (free, HEAP.lowest.get())
}

// SAFETY: the SDK's allocator gives disjoint blocks aligned to 8; nothing asks for more.
unsafe impl GlobalAlloc for SdkHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGNMENT {
            return ptr::null_mut();
        }
        // SAFETY: the name of a source file is for the SDK's search for leaks, which is off; the address is one of a
        // string. Data memory, as instruction memory takes whole words only.
        let pointer = unsafe { pvPortMalloc(layout.size(), c"".as_ptr(), 0, false) };
        figures();
        pointer.cast()
    }

    unsafe fn dealloc(&self, pointer: *mut u8, _: Layout) {
        // SAFETY: the caller promises that it came from `alloc`.
        unsafe { vPortFree(pointer.cast(), c"".as_ptr(), 0) };
    }
}
