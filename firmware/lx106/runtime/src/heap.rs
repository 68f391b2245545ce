//! [`SizedHeap`]: a heap of a set size with the overhead of the vendor SDK's allocator.
//!
//! The SDK takes 16 bytes of header for each allocation and rounds up to 8; first fit, in the order of the addresses,
//! neighbours joined. What a program costs here it costs on the chip.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr::{self, NonNull},
};

use linked_list_allocator::Heap;

/// Bytes in front of each allocation; the first word is the size with the header.
const HEADER: usize = 16;
/// Every allocation's alignment.
const ALIGNMENT: usize = 8;

struct State {
    heap: Heap,
    lowest: usize,
}

/// The allocator, for a program's `#[global_allocator]`; one in a program. It has nothing to give before
/// [`Self::set_up`].
pub struct SizedHeap(UnsafeCell<State>);

// SAFETY: the boards have one thread, and their interrupt handlers are a few instructions that allocate nothing.
unsafe impl Sync for SizedHeap {}

/// Figures of the heap, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Free now.
    pub free: usize,
    /// The fewest that ever were free.
    pub lowest: usize,
}

impl SizedHeap {
    /// An empty one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a static is made with it, never a value")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(State { heap: Heap::empty(), lowest: 0 }))
    }

    /// Gives it its memory.
    ///
    /// # Safety
    ///
    /// Once, before anything is allocated; the memory is that long, aligned to 8, and nobody else's for ever.
    pub unsafe fn set_up(&self, start: *mut u8, size: usize) {
        self.with(|state| {
            // SAFETY: as the caller promises.
            unsafe { state.heap.init(start, size) };
            state.lowest = state.heap.free();
        });
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        self.with(|state| Figures { free: state.heap.free(), lowest: state.lowest })
    }

    fn with<R>(&self, use_state: impl FnOnce(&mut State) -> R) -> R {
        // SAFETY: one thread, and no closure of this file gets here again.
        use_state(unsafe { &mut *self.0.get() })
    }

    fn take(&self, size: usize) -> *mut u8 {
        self.with(|state| {
            let whole = size.saturating_add(HEADER).next_multiple_of(ALIGNMENT);
            let block = Layout::from_size_align(whole, ALIGNMENT)
                .ok()
                .and_then(|layout| state.heap.allocate_first_fit(layout).ok());
            let Some(block) = block else { return ptr::null_mut() };
            state.lowest = state.lowest.min(state.heap.free());
            // SAFETY: the block is at least a header long and aligned for a word.
            unsafe {
                block.cast::<usize>().write(whole);
                block.as_ptr().add(HEADER)
            }
        })
    }

    /// # Safety
    ///
    /// `pointer` is null, or came from `take` and was not given before.
    unsafe fn give(&self, pointer: *mut u8) {
        let Some(block) = NonNull::new(pointer.wrapping_sub(HEADER)).filter(|_| !pointer.is_null()) else {
            return;
        };
        self.with(|state| {
            // SAFETY: as promised, and `take` wrote the size there.
            unsafe {
                let whole = block.cast::<usize>().read();
                state.heap.deallocate(block, Layout::from_size_align_unchecked(whole, ALIGNMENT));
            }
        });
    }
}

// SAFETY: `take` gives disjoint blocks aligned to 8; nothing asks for more.
unsafe impl GlobalAlloc for SizedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGNMENT { ptr::null_mut() } else { self.take(layout.size()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, _: Layout) {
        // SAFETY: the caller promises that it came from `alloc`.
        unsafe { self.give(pointer) };
    }
}
