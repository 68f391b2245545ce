//! What the board is told from outside: a block of words that QEMU puts into its RAM, and that a debugger may change
//! while the board runs.
//!
//! | word | | |
//! |---|---|---|
//! | 0 | in | `"EBBD"` |
//! | 1 | in | bytes of heap |
//! | 2 | in | seed |
//! | 3-6 | | allocations, see [`faults`](crate::faults) |
//! | 7-10 | | operations of the flash, see there |

/// Where it lies.
const BLOCK: *mut u32 = core::ptr::without_provenance_mut(0x603F_F000);
const MAGIC: u32 = u32::from_le_bytes(*b"EBBD");
/// The heap of a chip with Wi-Fi up.
const HEAP: u32 = 45_000;

/// What the board is told at start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// Bytes.
    pub(crate) heap: u32,
    /// Any number, another one at each start.
    pub(crate) seed: u32,
}

impl Start {
    /// Reads the block; what a chip has where there is none.
    pub(crate) fn read() -> Self {
        match [Word::Magic, Word::Heap, Word::Seed].map(Word::read) {
            [MAGIC, heap, seed] => Self { heap, seed },
            _ => Self { heap: HEAP, seed: 1 },
        }
    }
}

/// A word of the block. The numbers are those of the driver (`release/xtask/src/emulated/start.rs`).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    Magic = 0,
    Heap = 1,
    Seed = 2,
    Allocations = 3,
    FailFrom = 4,
    FailCount = 5,
    Failed = 6,
    FlashOperations = 7,
    CutAt = 8,
    CutShare = 9,
    Standing = 10,
}

impl Word {
    const fn address(self) -> *mut u32 {
        BLOCK.wrapping_add(self as usize)
    }

    /// What stands there now.
    pub(crate) fn read(self) -> u32 {
        // SAFETY: the board has RAM there that nothing else uses.
        unsafe { self.address().read_volatile() }
    }

    /// Tells the outside.
    pub(crate) fn write(self, value: u32) {
        // SAFETY: as above.
        unsafe { self.address().write_volatile(value) };
    }

    /// Adds one, and returns the sum.
    pub(crate) fn count(self) -> u32 {
        let count = self.read().wrapping_add(1);
        self.write(count);
        count
    }
}
