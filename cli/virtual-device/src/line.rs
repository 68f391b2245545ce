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
        match (&self.held[..], byte) {
            ([] | [FRAME_END], FRAME_END) => {
                self.release(baud, now);
                self.held.push(byte);
                return self.to_host.free_at().max(now);
            }
            ([FRAME_END], REPLY) => {
                self.held.push(byte);
                return self.to_host.free_at().max(now);
            }
            ([FRAME_END, REPLY], opcode) => start += self.faults.delay(opcode),
            _ => {}
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
        self.to_host.cut(now);
    }
}
