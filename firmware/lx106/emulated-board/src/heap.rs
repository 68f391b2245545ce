//! The heap, for Rust and for lwIP's C: of a set size, with the overhead of the vendor SDK's allocator.
//!
//! The SDK takes 16 bytes of header for each allocation and rounds up to 8; first fit, in the order of the addresses,
//! neighbours joined. What it refuses Rust's code gets from a [`Reserve`], which is taken out of it at the start.
//!
//! It fails when it is told to, see [`faults`]; never where a real one could not: an allocation of what was freed last.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ffi::c_void,
    ptr::{self, NonNull},
};

use espbroker_lx106_runtime::reserve::{RESERVE, Reserve};
use linked_list_allocator::Heap;

use crate::faults;

/// Bytes in front of each allocation; the first word is the size with the header.
const HEADER: usize = 16;
/// Every allocation's alignment.
const ALIGNMENT: usize = 8;

unsafe extern "C" {
    static mut lx106_heap_start: u8;
    static mut lx106_heap_end: u8;
}

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

struct BoardHeap(UnsafeCell<State>);

// SAFETY: one thread, and the interrupt handler is a few instructions that allocate nothing.
unsafe impl Sync for BoardHeap {}

#[global_allocator]
static HEAP: BoardHeap =
    BoardHeap(UnsafeCell::new(State { heap: Heap::empty(), reserve: Reserve::new(), lowest: 0, freed: 0 }));

/// Figures of the heap, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) free: usize,
    pub(crate) lowest: usize,
}

/// Sets the heap up, of so many bytes or of as many as there are. Nothing may be allocated before.
pub(crate) fn set_up(size: usize) {
    HEAP.with(|state| {
        let start = &raw mut lx106_heap_start;
        let there = (&raw const lx106_heap_end).addr() - start.addr();
        // SAFETY: the link script gives this range to nothing else; it is done once, before anything is allocated.
        unsafe { state.heap.init(start, size.min(there)) };
        let reserve = Layout::from_size_align(RESERVE, ALIGNMENT).ok();
        let reserve = reserve.and_then(|layout| state.heap.allocate_first_fit(layout).ok());
        // SAFETY: the heap gives this block to nobody else.
        unsafe { state.reserve.set_up(reserve) };
        state.lowest = state.free();
    });
}

/// The figures now.
pub(crate) fn figures() -> Figures {
    HEAP.with(|state| Figures { free: state.free(), lowest: state.lowest })
}

impl BoardHeap {
    fn with<R>(&self, use_state: impl FnOnce(&mut State) -> R) -> R {
        // SAFETY: one thread, and no closure of this file gets here again.
        use_state(unsafe { &mut *self.0.get() })
    }

    fn take(&self, size: usize) -> *mut u8 {
        self.with(|state| {
            let whole = size.saturating_add(HEADER).next_multiple_of(ALIGNMENT);
            let is_certain = whole <= core::mem::take(&mut state.freed);
            if !is_certain && faults::allocation_fails() {
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
                state.freed = whole;
                state.heap.deallocate(block, Layout::from_size_align_unchecked(whole, ALIGNMENT));
            }
        });
    }
}

// SAFETY: `take` gives disjoint blocks aligned to 8; nothing asks for more.
unsafe impl GlobalAlloc for BoardHeap {
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
