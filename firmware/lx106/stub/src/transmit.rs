//! [`Frame`]: what goes to the host, SLIP-escaped, without a buffer of its own.

use crate::chip::{Chip, FIFO};
use crate::receive::{END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE};
use crate::wire::Refusal;

/// A frame that has begun; [`Frame::end`] ends it.
pub(crate) struct Frame<'a, C> {
    chip: &'a mut C,
}

impl<'a, C: Chip> Frame<'a, C> {
    pub(crate) fn begin(chip: &'a mut C) -> Self {
        chip.send(END);
        Self { chip }
    }

    /// A frame that has begun already.
    pub(crate) fn inside(chip: &'a mut C) -> Self {
        Self { chip }
    }

    /// A response up to its data, of which `length` bytes follow.
    pub(crate) fn response(chip: &'a mut C, operation: u8, value: u32, length: u32) -> Self {
        let mut frame = Self::begin(chip);
        let [low, high, ..] = (length + 2).to_le_bytes();
        frame.bytes(&[1, operation, low, high]);
        frame.bytes(&value.to_le_bytes());
        frame
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        let second = match byte {
            END => ESCAPED_END,
            ESCAPE => ESCAPED_ESCAPE,
            _ => return self.chip.send(byte),
        };
        self.chip.send(ESCAPE);
        self.chip.send(second);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.byte(byte);
        }
    }

    /// The first `length` bytes of a flash buffer.
    pub(crate) fn words(&mut self, buffer: &[u32; FIFO / 4], length: usize) {
        for byte in buffer.iter().flat_map(|word| word.to_le_bytes()).take(length) {
            self.byte(byte);
        }
    }

    /// The chip, while the frame is not ended.
    pub(crate) fn chip(&mut self) -> &mut C {
        self.chip
    }

    /// Ends a response with the two status bytes of success.
    pub(crate) fn succeed(mut self) {
        self.bytes(&[0, 0]);
        self.end();
    }

    pub(crate) fn end(self) {
        self.chip.send(END);
    }
}

/// A whole response without data.
pub(crate) fn respond<C: Chip>(chip: &mut C, operation: u8, result: Result<u32, Refusal>) {
    let (value, status) = match result {
        Ok(value) => (value, [0, 0]),
        Err(refusal) => (0, [1, refusal as u8]),
    };
    let mut frame = Frame::response(chip, operation, value, 0);
    frame.bytes(&status);
    frame.end();
}

/// What a host waits for after the upload.
pub(crate) fn greet<C: Chip>(chip: &mut C) {
    let mut frame = Frame::begin(chip);
    frame.bytes(b"OHAI");
    frame.end();
}
