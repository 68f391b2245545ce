//! Faults that the outside asks for, by words of the [start block](crate::start) that are looked at each time.
//!
//! | word | | |
//! |---|---|---|
//! | 3 | out | allocations that could fail, counted |
//! | 4 | in | the first of them that fails; 0 for none |
//! | 5 | in | how many fail from there on |
//! | 6 | out | how many have failed |
//! | 7 | out | writes and erases of the flash, counted |
//! | 8 | in | the one that stops in its middle; 0 for none |
//! | 9 | in | how far that one comes, in 256th |
//! | 10 | both | 1 while the board stands there; 0 lets it go on |

use crate::start::Word;

/// Counts an allocation; whether it is to fail.
pub(crate) fn allocation_fails() -> bool {
    let count = Word::Allocations.count();
    let first = Word::FailFrom.read();
    let fails = first != 0 && count >= first && count - first < Word::FailCount.read();
    if fails {
        Word::Failed.count();
    }
    fails
}

/// Counts an operation of the flash; how far it comes, in 256th, when it is to stop in its middle.
pub(crate) fn cut() -> Option<u32> {
    let count = Word::FlashOperations.count();
    (Word::CutAt.read() == count).then(|| Word::CutShare.read())
}

/// Does nothing more, as without power, until the outside says so: it can look at the flash meanwhile.
pub(crate) fn stand() {
    Word::Standing.write(1);
    while Word::Standing.read() != 0 {}
}
