//! [`Heap`]: an allocator that costs the same on every machine, and counts what the broker holds.
//!
//! An allocator of the C library takes more or fewer instructions with each of its versions. This one keeps a list of
//! free blocks for each size and merges nothing: taking a block and giving it back is always the same short way. It is
//! not the chip's allocator, so its instructions are reported apart from the broker's.
//!
//! Counted are the blocks taken while [`count`] runs, until they are given back by whomever.
#![expect(unsafe_code, reason = "an allocator hands out raw memory; the workspace's other code has none")]

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::null_mut,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed},
};

/// Bytes that the program may use; its memory is never given back to the system.
const ARENA: usize = 32 << 20;
/// Before each block: 1 if the block is counted.
const HEADER: usize = 16;
/// Every block begins at a multiple of this; no more can be asked for.
const ALIGNMENT: usize = 16;
/// Up to here there is a list for each multiple of [`ALIGNMENT`], beyond one for each power of two.
const SMALL: usize = 4096;
/// Lists: 257 of small sizes (0 is not used), then powers of two up to the arena.
const LISTS: usize = 280;

/// The ESP8266 SDK's allocator puts so many bytes before each block,
const CHIP_HEADER: usize = 16;
/// and rounds its length up to a multiple of this.
const CHIP_ALIGNMENT: usize = 8;

/// The allocator.
pub(crate) struct Heap {
    arena: Arena,
    used: AtomicUsize,
    free: [AtomicPtr<u8>; LISTS],
}

#[repr(C, align(16))]
struct Arena(UnsafeCell<MaybeUninit<[u8; ARENA]>>);

// SAFETY: the program has one thread. Atomics are used for interior mutability only.
unsafe impl Sync for Arena {}

static COUNTING: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: AtomicUsize = AtomicUsize::new(0);
static CHIP_BYTES: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// What the broker holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// As asked for.
    pub(crate) bytes: usize,
    /// With the header and the rounding of the chip's allocator.
    pub(crate) chip_bytes: usize,
    /// Number of blocks.
    pub(crate) blocks: usize,
}

/// What is held now of that taken under [`count`].
pub(crate) fn held() -> Held {
    Held { bytes: BYTES.load(Relaxed), chip_bytes: CHIP_BYTES.load(Relaxed), blocks: BLOCKS.load(Relaxed) }
}

/// Blocks taken under [`count`] since the program began.
pub(crate) fn allocations() -> usize {
    ALLOCATIONS.load(Relaxed)
}

/// Counts the blocks that `work` takes.
#[inline]
pub(crate) fn count<T>(work: impl FnOnce() -> T) -> T {
    COUNTING.store(true, Relaxed);
    let result = work();
    COUNTING.store(false, Relaxed);
    result
}

impl Heap {
    pub(crate) const fn new() -> Self {
        Self {
            arena: Arena(UnsafeCell::new(MaybeUninit::uninit())),
            used: AtomicUsize::new(0),
            free: [const { AtomicPtr::new(null_mut()) }; LISTS],
        }
    }

    #[inline(never)]
    fn take(&self, layout: Layout) -> *mut u8 {
        let (list, length) = list(layout.size());
        let Some(free) = self.free.get(list).filter(|_| layout.align() <= ALIGNMENT) else {
            return null_mut();
        };
        let mut block = free.load(Relaxed);
        if block.is_null() {
            block = self.fresh(HEADER + length);
            if block.is_null() {
                return null_mut();
            }
        } else {
            // SAFETY: a block in the list holds the next one's address at its start, see `give_back`.
            free.store(unsafe { block.cast::<*mut u8>().read() }, Relaxed);
        }
        let counted = COUNTING.load(Relaxed);
        if counted {
            ALLOCATIONS.store(ALLOCATIONS.load(Relaxed) + 1, Relaxed);
            BLOCKS.store(BLOCKS.load(Relaxed) + 1, Relaxed);
            BYTES.store(BYTES.load(Relaxed) + layout.size(), Relaxed);
            CHIP_BYTES.store(CHIP_BYTES.load(Relaxed) + chip_length(layout.size()), Relaxed);
        }
        // SAFETY: the block is `HEADER + length` bytes long, aligned, and nobody else's.
        unsafe {
            block.write(u8::from(counted));
            block.add(HEADER)
        }
    }

    #[inline(never)]
    fn give_back(&self, pointer: *mut u8, layout: Layout) {
        let (list, _) = list(layout.size());
        let Some(free) = self.free.get(list) else { return };
        // SAFETY: `pointer` came from `take` with the same layout, so a header is before it, and the block is ours now.
        unsafe {
            let block = pointer.sub(HEADER);
            if block.read() == 1 {
                BLOCKS.store(BLOCKS.load(Relaxed) - 1, Relaxed);
                BYTES.store(BYTES.load(Relaxed) - layout.size(), Relaxed);
                CHIP_BYTES.store(CHIP_BYTES.load(Relaxed) - chip_length(layout.size()), Relaxed);
            }
            block.cast::<*mut u8>().write(free.load(Relaxed));
            free.store(block, Relaxed);
        }
    }

    /// A block that was never used; null when the arena is full.
    fn fresh(&self, length: usize) -> *mut u8 {
        let start = self.used.load(Relaxed);
        match start.checked_add(length) {
            Some(end) if end <= ARENA => {
                self.used.store(end, Relaxed);
                // SAFETY: `start..end` lies in the arena.
                unsafe { self.arena.0.get().cast::<u8>().add(start) }
            }
            _ => null_mut(),
        }
    }
}

// SAFETY: blocks are aligned to `ALIGNMENT`, which `take` refuses to exceed, as long as asked for, and in no two
// hands: each is cut from the arena once and lies in one list or with one owner.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.give_back(pointer, layout);
    }
}

/// The list for blocks of `size` bytes, and how long they are.
const fn list(size: usize) -> (usize, usize) {
    if size <= SMALL {
        let steps = size.div_ceil(ALIGNMENT);
        (steps, steps * ALIGNMENT)
    } else {
        let bits = usize::BITS - (size - 1).leading_zeros();
        (SMALL / ALIGNMENT + (bits - SMALL.trailing_zeros()) as usize, 1 << bits)
    }
}

const fn chip_length(size: usize) -> usize {
    CHIP_HEADER + size.next_multiple_of(CHIP_ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_blocks_of_one_length_that_is_enough() {
        let mut lengths = vec![None; LISTS];
        for size in (0..=SMALL + 40).chain([65_536, 65_537, 1 << 20, ARENA]) {
            let (list, length) = list(size);
            assert!(length >= size && length.is_multiple_of(ALIGNMENT), "{size}");
            assert_eq!(*lengths[list].get_or_insert(length), length, "{size}");
        }
    }

    #[test]
    fn a_block_is_aligned_and_used_again_for_its_own_length_only() {
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        let first = crate::HEAP.take(layout(20, 8));
        assert!(first.addr().is_multiple_of(ALIGNMENT));
        crate::HEAP.give_back(first, layout(20, 8));
        assert_ne!(crate::HEAP.take(layout(40, 4)), first);
        assert_eq!(crate::HEAP.take(layout(32, 1)), first);
        assert_ne!(crate::HEAP.take(layout(32, 1)), first);
        assert!(crate::HEAP.take(layout(8, 2 * ALIGNMENT)).is_null());
        assert!(crate::HEAP.take(layout(ARENA, 1)).is_null());
    }

    #[test]
    fn a_block_is_counted_with_the_chip_s_overhead() {
        assert_eq!([0, 1, 8, 9, 24].map(chip_length), [16, 24, 24, 32, 40]);
    }
}
