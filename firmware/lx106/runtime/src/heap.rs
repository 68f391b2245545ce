//! [`SizedHeap`]: a heap of a set size with the overhead of the vendor SDK's allocator.
//!
//! The SDK takes 16 bytes of header for each allocation and rounds up to 8; first fit, in the order of the addresses,
//! neighbours joined. What a program costs here it costs on the chip. What the heap refuses Rust's code gets from a
//! [`Reserve`], which is taken out of it at the start.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr::{self, NonNull},
};

use linked_list_allocator::Heap;

use crate::reserve::{RESERVE, Reserve};

/// Bytes in front of each allocation; the first word is the size with the header.
const HEADER: usize = 16;
/// Every allocation's alignment.
const ALIGNMENT: usize = 8;

struct State {
    heap: Heap,
    reserve: Reserve,
    lowest: usize,
    /// Bytes of the block that was freed last, if nothing was allocated since.
    freed: usize,
}

impl State {
    /// Bytes free, the reserve's with them.
    fn free(&self) -> usize {
        self.heap.free() + self.reserve.free()
    }

    fn note_lowest(&mut self) {
        self.lowest = self.lowest.min(self.free());
    }
}

/// The allocator, for a program's `#[global_allocator]`; one in a program. It has nothing to give before
/// [`Self::set_up`].
pub struct SizedHeap {
    state: UnsafeCell<State>,
    fails: fn() -> bool,
}

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
    /// An empty one. It refuses an allocation when `fails` says so, but never where a real heap could not: one of what was
    /// freed last.
    #[must_use]
    pub const fn new(fails: fn() -> bool) -> Self {
        let state = State { heap: Heap::empty(), reserve: Reserve::new(), lowest: 0, freed: 0 };
        Self { state: UnsafeCell::new(state), fails }
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
            let reserve = Layout::from_size_align(RESERVE, ALIGNMENT).ok();
            let reserve = reserve.and_then(|layout| state.heap.allocate_first_fit(layout).ok());
            // SAFETY: the heap gives this block to nobody else.
            unsafe { state.reserve.set_up(reserve) };
            state.lowest = state.free();
        });
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        self.with(|state| Figures { free: state.free(), lowest: state.lowest })
    }

    fn with<R>(&self, use_state: impl FnOnce(&mut State) -> R) -> R {
        // SAFETY: one thread, and no closure of this file gets here again.
        use_state(unsafe { &mut *self.state.get() })
    }

    /// A block aligned to 8, from the heap alone; null where there is none. For C.
    pub fn take(&self, size: usize) -> *mut u8 {
        self.with(|state| {
            let whole = size.saturating_add(HEADER).next_multiple_of(ALIGNMENT);
            let is_certain = whole <= core::mem::take(&mut state.freed);
            if !is_certain && (self.fails)() {
                return ptr::null_mut();
            }
            let block = Layout::from_size_align(whole, ALIGNMENT)
                .ok()
                .and_then(|layout| state.heap.allocate_first_fit(layout).ok());
            let Some(block) = block else { return ptr::null_mut() };
            state.note_lowest();
            // SAFETY: the block is at least a header long and aligned for a word.
            unsafe {
                block.cast::<usize>().write(whole);
                block.as_ptr().add(HEADER)
            }
        })
    }

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// `pointer` is null, or came from [`Self::take`] and was not given before.
    pub unsafe fn give(&self, pointer: *mut u8) {
        let Some(block) = NonNull::new(pointer.wrapping_sub(HEADER)).filter(|_| !pointer.is_null()) else {
            return;
        };
        self.with(|state| {
            // SAFETY: as promised, and `take` wrote the size there.
            unsafe {
                let whole = block.cast::<usize>().read();
                state.freed = whole;
                state.heap.deallocate(block, Layout::from_size_align_unchecked(whole, ALIGNMENT));
            }
        });
    }
}

// SAFETY: both give disjoint blocks aligned to 8; nothing asks for more.
unsafe impl GlobalAlloc for SizedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGNMENT {
            return ptr::null_mut();
        }
        let pointer = self.take(layout.size());
        if !pointer.is_null() {
            return pointer;
        }
        self.with(|state| {
            let block = state.reserve.take(layout);
            state.note_lowest();
            block.map_or(ptr::null_mut(), NonNull::as_ptr)
        })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let block = NonNull::new(pointer).filter(|block| self.with(|state| state.reserve.owns(*block)));
        // SAFETY: the caller promises that it came from `alloc`, which has it from one of the two.
        unsafe {
            match block {
                Some(block) => self.with(|state| state.reserve.give(block, layout)),
                None => self.give(pointer),
            }
        }
    }
}
