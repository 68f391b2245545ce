//! The heap: the SDK's, which lwIP and the radio use too. What it refuses Rust's code gets from a [`Reserve`], which is
//! taken out of it at the start.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::{Cell, UnsafeCell},
    ptr::{self, NonNull},
};

use espbroker_lx106_runtime::reserve::{RESERVE, Reserve};

use crate::bindings::{pvPortMalloc, system_get_free_heap_size, vPortFree};

/// Every allocation's alignment.
const ALIGNMENT: usize = 8;

struct SdkHeap {
    lowest: Cell<u32>,
    reserve: UnsafeCell<Reserve>,
}

// SAFETY: one task, and no interrupt handler reaches here.
unsafe impl Sync for SdkHeap {}

#[global_allocator]
static HEAP: SdkHeap = SdkHeap { lowest: Cell::new(u32::MAX), reserve: UnsafeCell::new(Reserve::new()) };

/// Takes the reserve out of the heap; once, before the device begins.
pub(crate) fn set_up() {
    let block = NonNull::new(HEAP.take(RESERVE));
    // SAFETY: the heap gives this block to nobody else.
    HEAP.with(|reserve| unsafe { reserve.set_up(block) });
}

/// Bytes free now, and the fewest that were seen. Others allocate too: what was lower for a moment is not seen.
pub(crate) fn figures() -> (u32, u32) {
    let reserve = HEAP.with(|reserve| reserve.free());
    let free = system_get_free_heap_size().saturating_add(u32::try_from(reserve).unwrap_or(0));
    HEAP.lowest.set(HEAP.lowest.get().min(free));
    (free, HEAP.lowest.get())
}

impl SdkHeap {
    fn with<R>(&self, use_reserve: impl FnOnce(&mut Reserve) -> R) -> R {
        // SAFETY: one task, and no closure of this file gets here again.
        use_reserve(unsafe { &mut *self.reserve.get() })
    }

    /// A block of the SDK's heap; null where there is none.
    fn take(&self, size: usize) -> *mut u8 {
        // SAFETY: the name of a source file is for the SDK's search for leaks, which is off; the address is one of a
        // string. Data memory, as instruction memory takes whole words only.
        unsafe { pvPortMalloc(size, c"".as_ptr(), 0, false) }.cast()
    }
}

// SAFETY: both give disjoint blocks aligned to 8; nothing asks for more.
unsafe impl GlobalAlloc for SdkHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGNMENT {
            return ptr::null_mut();
        }
        let mut pointer = self.take(layout.size());
        if pointer.is_null() {
            pointer = self.with(|reserve| reserve.take(layout)).map_or(ptr::null_mut(), NonNull::as_ptr);
        }
        figures();
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let block = NonNull::new(pointer).filter(|block| self.with(|reserve| reserve.owns(*block)));
        // SAFETY: the caller promises that it came from `alloc`, which has it from one of the two.
        unsafe {
            match block {
                Some(block) => self.with(|reserve| reserve.give(block, layout)),
                None => vPortFree(pointer.cast(), c"".as_ptr(), 0),
            }
        }
    }
}
