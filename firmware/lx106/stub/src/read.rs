//! [`Reading`]: a span of flash on its way to the host, and digests of spans.

use crate::chip::{Chip, FIFO};
use crate::flash::{Buffer, Flash, PIECE};
use crate::transmit::Frame;

/// The most blocks in flight; esptool's stub has this limit, too.
const IN_FLIGHT_MAX: u32 = 64;

/// A READ_FLASH that is under way.
#[derive(Debug)]
pub(crate) struct Reading<D> {
    offset: u32,
    size: u32,
    block: u32,
    /// Bytes that may be sent beyond those that are acknowledged.
    ahead: u32,
    sent: u32,
    acknowledged: u32,
    digest: D,
}

impl<D> Reading<D> {
    /// Begins to read a span, which the flash holds. `block` is not 0.
    pub(crate) const fn new(offset: u32, size: u32, block: u32, in_flight: u32, digest: D) -> Self {
        let in_flight = if in_flight == 0 {
            1
        } else if in_flight > IN_FLIGHT_MAX {
            IN_FLIGHT_MAX
        } else {
            in_flight
        };
        let ahead = block * in_flight;
        Self { offset, size, block, ahead, sent: 0, acknowledged: 0, digest }
    }

    /// Takes the host's count of what it has. It counts in all, so one that is lost does not matter; no host has more
    /// than was sent.
    pub(crate) const fn acknowledge(&mut self, count: u32) {
        if count > self.acknowledged && count <= self.sent {
            self.acknowledged = count;
        }
    }

    /// Sends the next block if it may be sent, and after the last acknowledgement the digest.
    pub(crate) fn send<C: Chip<Digest = D>>(&mut self, chip: &mut C) -> Reads {
        if self.acknowledged == self.size {
            let digest = chip.finish(&mut self.digest);
            let mut frame = Frame::begin(chip);
            frame.bytes(&digest);
            frame.end();
            return Reads::Done;
        }
        if self.sent < self.size && self.sent - self.acknowledged < self.ahead {
            let length = self.block.min(self.size - self.sent);
            let mut frame = Frame::begin(chip);
            for_each_piece(frame.chip(), self.offset + self.sent, length, |chip, buffer, length| {
                chip.update(&mut self.digest, buffer, length);
                Frame::inside(chip).words(buffer, length);
            });
            frame.end();
            self.sent += length;
        }
        Reads::On
    }
}

/// Whether a reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    On,
    Done,
}

/// The MD5 of a span, which the flash holds.
pub(crate) fn digest<C: Chip>(chip: &mut C, offset: u32, size: u32) -> [u8; 16] {
    let mut digest = chip.digest();
    for_each_piece(chip, offset, size, |chip, buffer, length| chip.update(&mut digest, buffer, length));
    chip.finish(&mut digest)
}

fn for_each_piece<C: Chip>(
    chip: &mut C,
    offset: u32,
    size: u32,
    mut each: impl FnMut(&mut C, &Buffer, usize),
) {
    let mut buffer: Buffer = [0; FIFO / 4];
    let mut done = 0;
    while done < size {
        let length = (size - done).min(PIECE);
        Flash::read(chip, offset + done, length as usize, &mut buffer);
        each(chip, &buffer, length as usize);
        done += length;
    }
}
