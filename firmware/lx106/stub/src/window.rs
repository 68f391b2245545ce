//! [`Window`]: the last 32 KiB that were unpacked, and the queue of those not yet programmed.

/// Bytes in the window: the farthest that deflate (RFC 1951) refers back.
pub const WINDOW: u32 = 0x8000;

/// A ring of bytes that counts what went in and what came out.
#[derive(Debug)]
#[repr(C)]
pub struct Window {
    filled: u32,
    drained: u32,
    bytes: [u8; WINDOW as usize],
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

impl Window {
    /// An empty one; all its bytes are 0.
    pub const fn new() -> Self {
        Self { bytes: [0; WINDOW as usize], filled: 0, drained: 0 }
    }

    /// Forgets everything.
    pub const fn clear(&mut self) {
        self.filled = 0;
        self.drained = 0;
    }

    /// Bytes that went in.
    pub const fn filled(&self) -> u32 {
        self.filled
    }

    /// Bytes that came out.
    pub const fn drained(&self) -> u32 {
        self.drained
    }

    /// Bytes that can go in before others must come out.
    pub const fn room(&self) -> u32 {
        WINDOW - self.filled.wrapping_sub(self.drained)
    }

    /// Adds a byte; only where there is [`room`](Self::room).
    pub(crate) fn push(&mut self, byte: u8) {
        *self.slot(self.filled) = byte;
        self.filled = self.filled.wrapping_add(1);
    }

    /// The byte that went in `distance` bytes ago, 1 to [`WINDOW`].
    pub(crate) fn back(&mut self, distance: u32) -> u8 {
        *self.slot(self.filled.wrapping_sub(distance))
    }

    /// Takes the oldest byte out of the queue; it stays in the window.
    pub fn pop(&mut self) -> u8 {
        let byte = *self.slot(self.drained);
        self.drained = self.drained.wrapping_add(1);
        byte
    }

    fn slot(&mut self, position: u32) -> &mut u8 {
        const { assert!(WINDOW.is_power_of_two()) };
        let index = (position % WINDOW) as usize;
        #[expect(clippy::indexing_slicing, reason = "a remainder is below the length")]
        &mut self.bytes[index]
    }
}
