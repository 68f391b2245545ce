//! [`Rtc`]: the registers and the memory that live on through every reset but that of the supply.
//!
//! Follows the vendor SDK's `eagle_soc.h` and the boot ROM: a reset by software is a bit here, and the cause of the
//! last one is read here. Left out: sleep, calibration, and the timer's interrupt.

use crate::boot::Cause;
use crate::machine::registers::Plain;
use crate::machine::time::Ticks;
use crate::uart::CLOCK;

const CONTROL: u32 = 0x00;
const STATE: u32 = 0x14;
const COUNTER: u32 = 0x1C;
const SOFTWARE_RESET: u32 = 1 << 31;
/// The oscillator behind the counter; a real one is off by some per cent.
const RATE: u64 = 150_000;

/// RTC registers and memory.
#[derive(Clone, Debug)]
pub(crate) struct Rtc {
    registers: Plain,
    memory: [u32; 256],
    cause: Cause,
}

impl Default for Rtc {
    fn default() -> Self {
        Self { registers: Plain::default(), memory: [0; 256], cause: Cause::PowerOn }
    }
}

impl Rtc {
    /// The chip was reset for this reason.
    pub(crate) fn restart(&mut self, cause: Cause) {
        self.cause = cause;
        self.registers.write(CONTROL, 0);
    }

    /// Reads the register at `offset`.
    pub(crate) fn read(&self, offset: u32, now: Ticks) -> u32 {
        match offset {
            STATE => self.cause as u32,
            COUNTER => {
                let [a, b, c, d, ..] = (now / (u64::from(CLOCK) / RATE)).to_le_bytes();
                u32::from_le_bytes([a, b, c, d])
            }
            _ => self.registers.read(offset),
        }
    }

    /// Writes the register at `offset`; true when that resets the chip.
    pub(crate) fn write(&mut self, offset: u32, value: u32) -> bool {
        self.registers.write(offset, value);
        offset == CONTROL && value & SOFTWARE_RESET != 0
    }

    /// The word of RTC memory at `offset`.
    pub(crate) fn memory(&mut self, offset: u32) -> Option<&mut u32> {
        self.memory.get_mut((offset / 4) as usize)
    }
}
