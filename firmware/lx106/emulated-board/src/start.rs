//! What the board is told at start: a block of words that QEMU puts into its RAM.
//!
//! | offset | word |
//! |---|---|
//! | 0 | `"EBBD"` |
//! | 4 | bytes of heap |
//! | 8 | seed |

/// Where it lies.
const BLOCK: *const [u32; 3] = core::ptr::without_provenance(0x603F_F000);
const MAGIC: u32 = u32::from_le_bytes(*b"EBBD");
/// The heap of a chip with Wi-Fi up.
const HEAP: u32 = 45_000;

/// What the board is told.
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
        // SAFETY: the board has RAM there that nothing else uses.
        match unsafe { BLOCK.read_volatile() } {
            [MAGIC, heap, seed] => Self { heap, seed },
            _ => Self { heap: HEAP, seed: 1 },
        }
    }
}
