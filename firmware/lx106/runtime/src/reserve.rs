//! [`Reserve`]: memory for what the device must not fail to get, when the heap gives nothing more.
//!
//! Rust ends the program where it gets no memory for a growing list or a text. The device refuses clients and messages
//! long before, while a floor of the heap is still free; but the network stack and the radio take from the same heap
//! without asking, and what is free may be in pieces. Then the small things, such as the word that a client is to be
//! closed, come from here: only Rust's allocations do, and for a moment only.

use core::{alloc::Layout, fmt, ptr::NonNull};

use linked_list_allocator::Heap;

/// Bytes of the reserve. In it there are no headers, so it holds more small blocks than as much of the vendor's heap.
pub const RESERVE: usize = 2_048;

/// The reserve; empty until [`Self::set_up`].
pub struct Reserve(Heap);

impl Reserve {
    /// Without any memory.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a static is made with it, never a value")]
    pub const fn new() -> Self {
        Self(Heap::empty())
    }

    /// Takes over [`RESERVE`] bytes; nothing happens without them.
    ///
    /// # Safety
    ///
    /// Nothing else uses these bytes from now on, and it is called once.
    pub unsafe fn set_up(&mut self, start: Option<NonNull<u8>>) {
        if let Some(start) = start {
            // SAFETY: as promised.
            unsafe { self.0.init(start.as_ptr(), RESERVE) };
        }
    }

    /// Bytes that are free here.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.free()
    }

    /// A block, while there is one.
    pub fn take(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.0.allocate_first_fit(layout).ok()
    }

    /// Whether a block is one of these.
    #[must_use]
    pub fn owns(&self, block: NonNull<u8>) -> bool {
        let (start, address) = (self.0.bottom().addr(), block.as_ptr().addr());
        address >= start && address - start < self.0.size()
    }

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// It came from [`Self::take`] with this layout, and nothing uses it any more.
    pub unsafe fn give(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as promised.
        unsafe { self.0.deallocate(block, layout) };
    }
}

impl fmt::Debug for Reserve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Reserve").field(&self.0.free()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_what_it_has_and_takes_it_back() {
        let memory = NonNull::from(Box::leak(Box::new([0_u64; RESERVE / 8]))).cast();
        let mut reserve = Reserve::new();
        let layout = Layout::from_size_align(100, 8).unwrap();
        assert_eq!(reserve.take(layout), None);
        // SAFETY: nobody else has this memory.
        unsafe { reserve.set_up(Some(memory)) };
        let mut blocks = Vec::new();
        while let Some(block) = reserve.take(layout) {
            assert!(reserve.owns(block));
            blocks.push(block);
        }
        assert!(blocks.len() >= 15, "{}", blocks.len());
        assert!(!reserve.owns(NonNull::dangling()));
        for block in blocks {
            // SAFETY: it came from there, with this layout.
            unsafe { reserve.give(block, layout) };
        }
        assert_eq!(reserve.free(), RESERVE);
    }
}
