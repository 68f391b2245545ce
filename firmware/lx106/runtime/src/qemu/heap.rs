//! [`Heap`]: all memory between the end of the data and the stacks, free list in order of addresses.
//!
//! One thread and no interrupts: nothing guards it.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr::{NonNull, null_mut},
};

use linked_list_allocator as list;

unsafe extern "C" {
    static mut lx106_heap_start: u8;
    static mut lx106_heap_end: u8;
}

/// An allocator for a program's `#[global_allocator]`; one in a program.
#[derive(Debug)]
pub struct Heap(UnsafeCell<list::Heap>);

// SAFETY: the board has one CPU, and what interrupts do allocates nothing.
unsafe impl Sync for Heap {}

impl Heap {
    /// A heap that takes the memory at its first use.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a static is made with it, never a value")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(list::Heap::empty()))
    }

    /// Hands out the heap, set up at the first call.
    #[expect(clippy::mut_from_ref, reason = "one thread, and the reference ends with the allocator's call")]
    fn ready(&self) -> &mut list::Heap {
        // SAFETY: no other reference lives: one thread, and no function of this file calls another with one.
        let heap = unsafe { &mut *self.0.get() };
        if heap.size() == 0 {
            let start = &raw mut lx106_heap_start;
            let length = (&raw const lx106_heap_end).addr() - start.addr();
            // SAFETY: the link script gives this range to nothing else, and it is done once.
            unsafe { heap.init(start, length) };
        }
        heap
    }
}

// SAFETY: the list keeps the contract; it is used from one thread.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.ready().allocate_first_fit(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some(pointer) = NonNull::new(pointer) {
            // SAFETY: the caller promises that it came from `alloc` with this layout.
            unsafe { self.ready().deallocate(pointer, layout) };
        }
    }
}
