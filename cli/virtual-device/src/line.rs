//! [`Line`]: the serial line between host and chip, both ways, with what goes wrong on it.

use std::time::Duration;

use crate::fault::{Direction, Faults};
use crate::timing::Pace;
use crate::uart::Wire;

/// SLIP's frame delimiter.
const FRAME_END: u8 = 0xC0;
/// First byte of a loader's reply.
const REPLY: u8 = 0x01;

/// Two wires, the host's rate and the planned faults.
#[derive(Debug)]
pub(crate) struct Line {
    /// What the host sent.
    pub(crate) to_device: Wire,
    /// What the chip sent.
    pub(crate) to_host: Wire,
    /// The adapter's rate for both directions, from the next byte on.
    pub(crate) host_baud: u32,
    /// What goes wrong.
    pub(crate) faults: Faults,
    /// The beginning of what may be a late reply; kept back until its opcode is known.
    held: Vec<u8>,
    /// Where in a frame the chip's next byte is.
    place: Place,
}

/// A place in what the chip sends, as far as late replies are concerned.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Before a frame.
    Outside,
    /// Behind the delimiter that begins one.
    Start,
    /// Where a reply has its opcode.
    Opcode,
    /// Before the delimiter that ends it.
    Inside,
}

impl Line {
    /// An idle line to a host at 115200 baud.
    pub(crate) const fn new(pace: Pace, faults: Faults) -> Self {
        Self {
            to_device: Wire::new(pace),
            to_host: Wire::new(pace),
            host_baud: 115_200,
            faults,
            held: Vec::new(),
            place: Place::Outside,
        }
    }

    /// The host sends a byte.
    pub(crate) fn host_sends(&mut self, byte: u8, now: Duration) {
        for passed in self.faults.pass(Direction::ToDevice, byte, self.host_baud) {
            self.to_device.send(passed, self.host_baud, now);
        }
    }

    /// The chip sends a byte at its own rate, as soon as the line is free; gives when it is through.
    pub(crate) fn chip_sends(&mut self, byte: u8, baud: u32, now: Duration) -> Duration {
        if !self.faults.delays_replies() {
            self.pass_to_host(byte, baud, now);
            return self.to_host.free_at();
        }
        let mut start = now;
        let keep = match (self.place, byte) {
            (Place::Outside | Place::Start, FRAME_END) => {
                self.release(baud, now);
                self.place = Place::Start;
                true
            }
            (Place::Start, REPLY) => {
                self.place = Place::Opcode;
                true
            }
            (Place::Opcode, opcode) => {
                start += self.faults.delay(opcode);
                self.place = Place::Inside;
                false
            }
            (Place::Start, _) => {
                self.place = Place::Inside;
                false
            }
            (Place::Inside, FRAME_END) => {
                self.place = Place::Outside;
                false
            }
            (Place::Outside | Place::Inside, _) => false,
        };
        if keep {
            self.held.push(byte);
            return self.to_host.free_at().max(now);
        }
        self.release(baud, start);
        self.pass_to_host(byte, baud, start);
        self.to_host.free_at()
    }

    fn release(&mut self, baud: u32, now: Duration) {
        for byte in std::mem::take(&mut self.held) {
            self.pass_to_host(byte, baud, now);
        }
    }

    fn pass_to_host(&mut self, byte: u8, baud: u32, now: Duration) {
        for passed in self.faults.pass(Direction::ToHost, byte, self.host_baud) {
            self.to_host.send(passed, baud, now);
        }
    }

    /// The chip stops at `now`: bytes that are not through are gone.
    pub(crate) fn chip_stops(&mut self, now: Duration) {
        self.held.clear();
        self.place = Place::Outside;
        self.to_host.cut(now);
    }
}
