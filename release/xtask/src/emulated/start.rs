//! [`Start`]: the block of words that QEMU puts into the board's RAM, and where each of them can be changed while the
//! board runs.
//!
//! The numbers are those of `firmware/lx106/emulated-board/src/start.rs`.

/// Where the board has the block.
pub(crate) const START: u32 = 0x603F_F000;

/// A word of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Allocations that could fail, counted by the board.
    Allocations = 3,
    /// The first of them that fails; 0 for none.
    FailFrom = 4,
    /// How many fail from there on.
    FailCount = 5,
    /// How many have failed, counted by the board.
    Failed = 6,
    /// Writes and erases of the flash, counted by the board.
    FlashOperations = 7,
    /// The one that stops in its middle; 0 for none.
    CutAt = 8,
    /// How far that one comes, in 256th.
    CutShare = 9,
    /// Set by the board while it stands in that operation; 0 lets it go on.
    Standing = 10,
}

impl Word {
    /// Where the board has it.
    pub(crate) const fn address(self) -> u32 {
        START + 4 * self as u32
    }
}

/// What the board starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// Bytes of heap.
    pub(crate) heap: u32,
    /// Any number.
    pub(crate) seed: u32,
    /// The first allocation that fails, counted from 1, and how many do.
    pub(crate) fail: Option<(u32, u32)>,
}

impl Start {
    /// The bytes for QEMU.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (first, count) = self.fail.unwrap_or_default();
        let words = [u32::from_le_bytes(*b"EBBD"), self.heap, self.seed, 0, first, count, 0, 0, 0, 0, 0];
        words.map(u32::to_le_bytes).concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_lies_where_the_board_looks_for_it() {
        let bytes = Start { heap: 45_000, seed: 7, fail: Some((12, 3)) }.encode();
        let word = |word: u32| {
            let start = usize::try_from(4 * word).unwrap();
            u32::from_le_bytes(*bytes[start..].first_chunk().unwrap())
        };
        assert_eq!(&bytes[..4], b"EBBD");
        assert_eq!([1, 2].map(word), [45_000, 7]);
        assert_eq!([Word::FailFrom, Word::FailCount].map(|name| word(name as u32)), [12, 3]);
        let zero = [Word::Allocations, Word::Failed, Word::FlashOperations, Word::CutAt, Word::Standing];
        assert_eq!(zero.map(|name| word(name as u32)), [0; 5]);
        assert_eq!(bytes.len(), 4 * (Word::Standing as usize + 1));
        assert_eq!(Word::Standing.address(), 0x603F_F028);
    }
}
