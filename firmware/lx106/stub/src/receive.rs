//! [`Receiver`]: frames from the serial line, filled by an interrupt while the rest of the stub works.
//!
//! SLIP (RFC 1055) is undone byte by byte in the interrupt, so the ring holds frames, each behind its length. One
//! writer (the interrupt) and one reader (the main loop), which share two positions: plain loads and stores, as the
//! LX106 has nothing more.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

pub(crate) const END: u8 = 0xC0;
pub(crate) const ESCAPE: u8 = 0xDB;
pub(crate) const ESCAPED_END: u8 = 0xDC;
pub(crate) const ESCAPED_ESCAPE: u8 = 0xDD;

/// The first byte of a frame of which a part was lost; a request's is 0.
pub(crate) const CUT: u8 = 0xFE;
/// The shortest frame that is kept when a part was lost: below it nobody knows what it was.
const HEADER: usize = 8;
/// Bytes of length before each frame.
const PREFIX: usize = 2;

/// A ring of `N` bytes, at most 65,535.
///
/// In this order: the CPU reaches a kilobyte behind a pointer in one instruction.
#[derive(Debug)]
#[repr(C)]
pub struct Receiver<const N: usize> {
    /// Where the frame begins that is being received; all before it are whole.
    end: AtomicUsize,
    /// Where the reader is.
    start: AtomicUsize,
    // The rest belongs to the interrupt alone.
    length: AtomicUsize,
    escaped: AtomicBool,
    cut: AtomicBool,
    bytes: [AtomicU8; N],
}

impl<const N: usize> Default for Receiver<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Receiver<N> {
    /// An empty ring; all its bytes are 0.
    pub const fn new() -> Self {
        const { assert!(N <= 0xFFFF, "a length has 16 bits") };
        Self {
            end: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            length: AtomicUsize::new(0),
            escaped: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            bytes: [const { AtomicU8::new(0) }; N],
        }
    }

    /// Takes bytes from the line until `next` has none; for the interrupt alone. `lost` says that some were lost
    /// before these: the frame that they belong to is damaged.
    ///
    /// A frame that is damaged or finds no room keeps its beginning and is marked, so it is refused by its operation;
    /// without a whole header it is dropped.
    pub fn interrupt(&self, lost: Lost, mut next: impl FnMut() -> Option<u8>) {
        let mut end = self.end.load(Ordering::Relaxed);
        let mut length = self.length.load(Ordering::Relaxed);
        let mut escaped = self.escaped.load(Ordering::Relaxed);
        let mut cut = self.cut.load(Ordering::Relaxed) | (lost == Lost::Some);
        let mut room = self.room(end);
        while let Some(byte) = next() {
            let byte = if byte == END {
                if cut && length < HEADER {
                    length = 0;
                }
                if length > 0 {
                    if cut {
                        self.put(wrapped::<N>(end + PREFIX), CUT);
                    }
                    let [low, high, ..] = length.to_le_bytes();
                    self.put(end, low);
                    self.put(wrapped::<N>(end + 1), high);
                    end = wrapped::<N>(end + PREFIX + length);
                    // The reader sees the bytes before it sees the frame.
                    self.end.store(end, Ordering::Release);
                }
                room = self.room(end);
                length = 0;
                escaped = false;
                cut = false;
                continue;
            } else if escaped {
                escaped = false;
                match byte {
                    ESCAPED_END => END,
                    ESCAPED_ESCAPE => ESCAPE,
                    other => {
                        cut = true;
                        other
                    }
                }
            } else if byte == ESCAPE {
                escaped = true;
                continue;
            } else {
                byte
            };
            if length < room {
                self.put(wrapped::<N>(end + PREFIX + length), byte);
                length += 1;
            } else {
                cut = true;
            }
        }
        self.length.store(length, Ordering::Relaxed);
        self.escaped.store(escaped, Ordering::Relaxed);
        self.cut.store(cut, Ordering::Relaxed);
    }

    /// Bytes of frame that fit behind its length; one byte stays free, as a full ring would look empty.
    fn room(&self, end: usize) -> usize {
        let start = self.start.load(Ordering::Acquire);
        let free = if start > end { start - end } else { N + start - end };
        free.saturating_sub(PREFIX + 1)
    }

    /// The length of the first frame; the reader stands behind it after this, and must take that many bytes.
    pub(crate) fn take_frame(&self) -> Option<usize> {
        let start = self.start.load(Ordering::Relaxed);
        if start == self.end.load(Ordering::Acquire) {
            return None;
        }
        let length = usize::from(self.peek(0)) | usize::from(self.peek(1)) << 8;
        self.skip(PREFIX);
        Some(length)
    }

    /// The byte `offset` behind the reader. Not inlined, here and elsewhere, as every byte of the stub is uploaded.
    #[inline(never)]
    pub(crate) fn peek(&self, offset: usize) -> u8 {
        self.byte(wrapped::<N>(self.start.load(Ordering::Relaxed) + offset))
    }

    /// Gives `count` bytes back to the interrupt.
    #[inline(never)]
    pub(crate) fn skip(&self, count: usize) {
        let start = self.start.load(Ordering::Relaxed);
        self.start.store(wrapped::<N>(start + count), Ordering::Release);
    }

    fn byte(&self, index: usize) -> u8 {
        self.bytes.get(index).map_or(0, |byte| byte.load(Ordering::Relaxed))
    }

    fn put(&self, index: usize, value: u8) {
        if let Some(byte) = self.bytes.get(index) {
            byte.store(value, Ordering::Relaxed);
        }
    }
}

/// Whether the line lost bytes before those that are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// All are there.
    None,
    /// The UART's own queue was full.
    Some,
}

/// A position of up to one round too many.
const fn wrapped<const N: usize>(position: usize) -> usize {
    if position >= N { position - N } else { position }
}

/// The reader's bytes one after the other, up to the end of a frame.
pub(crate) struct Input<'a, const N: usize> {
    receiver: &'a Receiver<N>,
    position: usize,
    taken: usize,
    left: &'a mut usize,
}

impl<'a, const N: usize> Input<'a, N> {
    /// `left` is what the frame still holds, and counts down.
    pub(crate) fn new(receiver: &'a Receiver<N>, left: &'a mut usize) -> Self {
        Self { receiver, position: receiver.start.load(Ordering::Relaxed), taken: 0, left }
    }
}

impl<const N: usize> Iterator for Input<'_, N> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        *self.left = self.left.checked_sub(1)?;
        let byte = self.receiver.byte(self.position);
        self.position = wrapped::<N>(self.position + 1);
        self.taken += 1;
        Some(byte)
    }
}

impl<const N: usize> Drop for Input<'_, N> {
    fn drop(&mut self) {
        self.receiver.skip(self.taken);
    }
}
